"""Where tiles go: MBTiles, PMTiles, or a folder of PNG files."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pmtiles.convert import mbtiles_to_pmtiles

from sat2map.errors import OutputError
from sat2map.files import atomic_folder, atomic_path, atomic_write_text

MARKER: Final = "tiles.json"  # TileJSON; marks a folder of ours

Put = Callable[[int, int, int, bytes], None]


@contextlib.contextmanager
def open_archive(output: Path, about: dict[str, Any]) -> Iterator[Put]:
    """Yield a function that takes tiles (zoom, x, y, PNG); the archive appears when all are there.

    It is .mbtiles, .pmtiles, or a folder, with metadata as in TileJSON.

    Raises:
        OutputError: It cannot be written.
    """
    kind = output.suffix.lower()
    if kind == ".mbtiles":
        with atomic_path(output) as temporary, _mbtiles(temporary, about) as put:
            yield put
    elif kind == ".pmtiles":
        with atomic_path(output) as temporary:
            box = temporary.with_suffix(".mbtiles")
            try:
                with _mbtiles(box, about) as put:
                    yield put
                mbtiles_to_pmtiles(box, temporary, None)  # type: ignore[no-untyped-call]
            finally:
                box.unlink(missing_ok=True)
    else:
        with _folder(output, about) as put:
            yield put


@contextlib.contextmanager
def _mbtiles(path: Path, about: dict[str, Any]) -> Iterator[Put]:
    """Write a database as the MBTiles specification 1.3 says; its rows count from the south."""
    words = {
        name: ",".join(f"{v:.9g}" for v in value) if isinstance(value, list) else str(value)
        for name, value in about.items()
    }
    try:
        with contextlib.closing(sqlite3.connect(path)) as box, box:
            box.execute("CREATE TABLE metadata (name text, value text)")
            box.execute(
                "CREATE TABLE tiles "
                "(zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
            )
            box.execute("CREATE UNIQUE INDEX tile_index on tiles (zoom_level, tile_column, tile_row)")
            rows = {**words, "format": "png", "type": "overlay", "version": "1"}
            box.executemany("INSERT INTO metadata VALUES (?, ?)", rows.items())

            def put(zoom: int, x: int, y: int, content: bytes) -> None:
                box.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (zoom, x, 2**zoom - 1 - y, content))

            yield put
    except sqlite3.Error as error:
        raise OutputError(
            f"the tiles cannot be written ({error}): free some space, or choose another place"
        ) from None


@contextlib.contextmanager
def _folder(output: Path, about: dict[str, Any]) -> Iterator[Put]:
    with atomic_folder(output) as unfinished:

        def put(zoom: int, x: int, y: int, content: bytes) -> None:
            path = unfinished / str(zoom) / str(x) / f"{y}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        yield put
        tilejson = {"tilejson": "3.0.0", "tiles": ["{z}/{x}/{y}.png"], **about}
        atomic_write_text(unfinished / MARKER, json.dumps(tilejson, indent=2) + "\n")
