"""Inputs of a bulk job: files, folders, globs, addresses, and lists of them."""

from __future__ import annotations

import csv
import fnmatch
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

from sat2map.bulk.store import Store
from sat2map.errors import DataError, MissingExtraError, nearest
from sat2map.geo.detect import RASTER_SUFFIXES, is_raster
from sat2map.images.inputs import expand_input
from sat2map.images.pixels import IMAGE_SUFFIXES

PATH_COLUMNS = ("path", "source", "file", "location", "href", "url")
"""Columns that hold paths, in the order in which they are looked for; GDAL's tile indexes say `location`."""
LISTS = (".csv", ".json", ".geojson", ".parquet", ".geoparquet")
STORES = ("s3://", "gs://", "az://")
"""Addresses whose folders can be listed."""
_VISUAL_ASSETS = ("visual", "image", "data")


def find_sources(inputs: Iterable[str], *, column: str | None = None, asset: str | None = None) -> list[str]:
    """Return every source that the inputs name, in order, each once; files by their absolute paths.

    Args:
        inputs: Files, folders, quoted globs, addresses; or lists: a CSV or GeoParquet file with a column of
            paths, a STAC Item or ItemCollection as JSON. What a list names is relative to the list. In object
            storage, a folder ends with a slash.
        column: The lists' column of paths; None: the first of `PATH_COLUMNS` that is there.
        asset: The STAC items' asset; None: the one that is a picture.

    Raises:
        DataError: An input does not exist, matches nothing, or is a list that cannot be read.
        OutputError: Object storage does not answer, or refuses.
        MissingExtraError: A GeoParquet file, without pyarrow; a list or folder in object storage, without
            obstore.
    """
    found: dict[str, None] = {}
    for text in inputs:
        path = Path(text)
        if path.suffix.lower() in LISTS and (text.startswith(STORES) or path.is_file()):
            found.update(dict.fromkeys(_from_list(text, column, asset)))
        elif text.startswith(STORES) and (text.endswith("/") or set("*?[") & set(text)):
            found.update(dict.fromkeys(_in_store(text)))
        else:
            found.update(dict.fromkeys(_expand(text)))
    if not found:
        raise DataError(
            "there is nothing to translate: name files, folders, globs, addresses or lists of them"
        )
    return [name if is_address(name) else str(Path(name).absolute()) for name in found]


def is_address(source: str) -> bool:
    """Whether a source is no file here: https://…, s3://…, /vsicurl/…."""
    return "://" in source or source.startswith("/vsi")


def _expand(text: str) -> list[str]:
    if is_raster(text) and not Path(text).exists():  # an address, or GDAL's name of a raster
        return [text]
    return expand_input(text, _is_image, "images or rasters with a known suffix: name them by a glob")


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES or is_raster(name, listed=True)


def _in_store(text: str) -> list[str]:
    """Return the images right in a folder of object storage, or what a glob matches, as in a shell."""
    scheme, _, rest = text.partition("://")
    parts = rest.split("/")
    plain = next((i for i, part in enumerate(parts) if set("*?[") & set(part)), len(parts) - 1)
    folder, pattern = f"{scheme}://{'/'.join(parts[:plain])}", parts[plain:]
    if "**" not in pattern and len(pattern) == 1:
        names = [name for name, _ in Store(folder).sizes(prefix_only=True)]
    else:
        names = [name for name, _ in Store(folder).sizes()]
    if pattern == [""]:
        known = (*IMAGE_SUFFIXES, *RASTER_SUFFIXES)
        names = [n for n in names if n.lower().endswith(known) and not n.startswith(".")]
    else:
        names = [name for name in names if _matches(name.split("/"), pattern)]
    if not names:
        raise DataError(f"{text} holds no images or rasters", hint="check the address, or quote the pattern")
    return [f"{folder}/{name}" for name in sorted(names)]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _from_list(path: str, column: str | None, asset: str | None) -> Iterator[str]:
    suffix = PurePosixPath(path).suffix.lower()
    content = _read_list(path)
    if suffix == ".csv":
        named = _from_csv(path, content, column)
    elif suffix.endswith("parquet"):
        named = _from_parquet(path, content, column)
    else:
        named = _from_stac(path, content, asset)
    for number, name in enumerate(named, 1):
        if not name:
            raise DataError(f"{path}: entry {number} names no file")
        yield _beside(path, name)


def _read_list(path: str) -> bytes:
    if path.startswith(STORES):
        folder, _, name = path.rpartition("/")
        content = Store(folder).get(name)
        if content is None:
            raise DataError(f"{path} does not exist")
        return content
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _beside(path: str, name: str) -> str:
    if is_address(name):
        return name
    return f"{path.rpartition('/')[0]}/{name}" if path.startswith(STORES) else str(Path(path).parent / name)


def _pick_column(path: str, columns: Sequence[str], column: str | None) -> str:
    for name in (column,) if column is not None else PATH_COLUMNS:
        if name in columns:
            return name
    if column is not None:
        raise DataError(f"{path} has no column '{column}', {nearest(column, columns)}")
    raise DataError(
        f"{path} has no column of paths ({', '.join(PATH_COLUMNS)})", hint="name it", setting="column"
    )


def _from_csv(path: str, content: bytes, column: str | None) -> list[str]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        name = _pick_column(path, reader.fieldnames or [], column)
        return [row[name] or "" for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from None


def _from_parquet(path: str, content: bytes, column: str | None) -> list[str]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise MissingExtraError(f"a list in Parquet ({path})", "ray") from None
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            name = _pick_column(path, file.schema_arrow.names, column)
            return [str(value or "") for value in file.read(columns=[name])[name].to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _from_stac(path: str, content: bytes, asset: str | None) -> list[str]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None
    items = found.get("features", [found]) if isinstance(found, dict) else []
    if not items or not all(isinstance(item, dict) and item.get("assets") for item in items):
        raise DataError(
            f"{path} is no STAC Item or ItemCollection: its features have no assets; a list of paths goes "
            "into a CSV file"
        )
    return [_asset_of(path, item, asset) for item in items]


def _asset_of(path: str, item: dict[str, Any], asset: str | None) -> str:
    """Return where an item's picture lies: https://github.com/radiantearth/stac-spec, item-spec."""
    assets: dict[str, dict[str, Any]] = item["assets"]
    who = f"{path}: item '{item.get('id', '?')}'"
    if asset is None:
        pictures = [
            name
            for name, about in assets.items()
            if about.get("type", "").startswith("image/") and not {"thumbnail", "overview"} & _roles(about)
        ]
        asset = next((name for name in _VISUAL_ASSETS if name in assets), None)
        if asset is None and len(pictures) == 1:
            asset = pictures[0]
        if asset is None:
            raise DataError(
                f"{who} has the assets {', '.join(assets)}", hint="name the image", setting="asset"
            )
    if asset not in assets:
        raise DataError(f"{who} has no asset '{asset}', {nearest(asset, assets)}")
    href = str(assets[asset].get("href", ""))
    here = next((link.get("href", "") for link in item.get("links", []) if link.get("rel") == "self"), "")
    return urljoin(here, href) if "://" in here and "://" not in href else href


def _roles(about: dict[str, Any]) -> set[str]:
    return set(about.get("roles") or [])
