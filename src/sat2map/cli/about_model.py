"""What `info` prints; apart from the other commands on models, since it needs no parser."""

from __future__ import annotations


def print_info(model: str | None = None) -> None:
    """Print what a model file holds, and how this machine runs it."""
    from sat2map.models.describe import describe
    from sat2map.models.model import Model
    from sat2map.runtime.cpu import describe_processor

    found = Model.find(model)
    print(f"{describe(found.path, found.header)}\n")
    for name, fact in describe_processor().items():
        print(f"{name + ':':<11} {fact}")
