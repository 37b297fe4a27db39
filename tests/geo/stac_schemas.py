"""Validates STAC items with pystac, by the schemas in `schemas/`; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pystac
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

FOLDER = Path(__file__).with_name("schemas")
PREFIX = "https://stac-extensions.github.io/"


def load(address: str) -> Any:
    """Return the schema of an address such as …/mlm/v1.4.0/schema.json."""
    name, version = address.removeprefix(PREFIX).split("/")[:2]
    if name == "classification":
        version = "v2.0.0"  # MLM names v1.1.0, whose classes are the same but for `nodata` and `percentage`
    return json.loads((FOLDER / f"{name}-{version}.json").read_text("utf-8"))


def _retrieve(address: str) -> Resource[Any]:
    if "projjson" in address:
        return Resource.from_contents({}, default_specification=DRAFT7)
    if address.startswith(PREFIX):
        return Resource.from_contents(load(address), default_specification=DRAFT7)
    for path in (Path(pystac.__file__).parent / "validation" / "jsonschemas").rglob(Path(address).name):
        return Resource.from_contents(json.loads(path.read_text("utf-8")), default_specification=DRAFT7)
    raise LookupError(address)


def validate(item: dict[str, Any]) -> None:
    """Raise where an item is not valid by STAC's own schema or by that of an extension that it names."""
    pystac.Item.from_dict(item)
    core = Path(pystac.__file__).parent / "validation" / "jsonschemas" / "stac-spec" / "v1.1.0" / "item.json"
    registry: Registry[Any] = Registry(retrieve=_retrieve)  # type: ignore[call-arg]
    for schema in (json.loads(core.read_text("utf-8")), *map(load, item["stac_extensions"])):
        Draft7Validator(schema, registry=registry).validate(item)
