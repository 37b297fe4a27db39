"""Names of sources: whether they are far away, and how they are shown."""

from __future__ import annotations

from urllib.parse import urlsplit

NETWORK = ("/vsicurl/http", "/vsis3", "/vsigs", "/vsiaz")  # of GDAL's file systems, those that are far away


def is_remote(source: str) -> bool:
    """Whether reading goes over a network."""
    if source.startswith("/vsi"):
        return source.startswith(("/vsicurl", *NETWORK))
    return "://" in source and not source.startswith("file://")


def shown(source: str) -> str:
    """Return a source's name for messages and tags: an address without its query, which may hold a key."""
    if "://" not in source:
        return source
    address = urlsplit(source)
    host = address.netloc.rpartition("@")[2]
    return address._replace(netloc=host, query="", fragment="").geturl()
