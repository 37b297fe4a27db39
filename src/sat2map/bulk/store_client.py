"""Clients of object storage: retries, time limits, and what ~/.aws says, which obstore does not read."""

from __future__ import annotations

import configparser
import contextlib
import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MAX_RETRIES: Final = 4


@lru_cache(maxsize=64)
def open_client(url: str, seconds: int) -> ObjectStore:
    """Return obstore's client for an address, without the folder's objects being looked at.

    Args:
        url: As `Store` checks it.
        seconds: How long a request may take, its body included.
    """
    from obstore.store import LocalStore, MemoryStore, from_url

    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path), mkdir=True)
    more: dict[str, Any] = _aws_profile() if parts.scheme == "s3" else {}
    return from_url(
        url,
        retry_config={
            "max_retries": MAX_RETRIES,
            "backoff": {
                "init_backoff": timedelta(seconds=0.5),
                "max_backoff": timedelta(seconds=8),
                "base": 2,
            },
            "retry_timeout": timedelta(seconds=2 * seconds),
        },
        client_options={
            "timeout": timedelta(seconds=seconds),
            "connect_timeout": timedelta(seconds=5),
            "allow_http": True,
        },
        **more,
    )


def _aws_profile() -> dict[str, str]:
    """Return what a profile in ~/.aws says, which obstore does not read, and the environment does not."""
    profile = os.environ.get("AWS_PROFILE", "default")
    found = configparser.RawConfigParser(default_section="")
    home = Path("~/.aws").expanduser()
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        found.read(os.environ.get("AWS_CONFIG_FILE", home / "config"), "utf-8")
        found.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"), "utf-8")
    values: dict[str, str] = {}
    for section in (f"profile {profile}", profile):
        values |= dict(found[section]) if found.has_section(section) else {}
    keys = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key",
            "aws_session_token": "session_token"}  # fmt: skip
    if "AWS_ACCESS_KEY_ID" in os.environ:
        keys = {}
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & os.environ.keys():
        keys["region"] = "region"
    if not {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"} & os.environ.keys():
        keys["endpoint_url"] = "endpoint"
    return {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
