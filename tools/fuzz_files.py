"""Cuts and changes image files at random, and looks for anything but an image or one sentence of refusal.

    python tools/fuzz_files.py --files 5000 --seed 1

Each damaged file is read as an image and as a raster. The script prints each file that ends in another
exception than `Sat2MapError`, keeps it in the folder named by --keep, and exits with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

from sat2map.errors import Sat2MapError
from sat2map.geo.detect import is_raster
from sat2map.geo.gdal import gdal_env
from sat2map.geo.read import open_raster
from sat2map.images.pixels import read_image, read_size

SIDE = 40


def write_samples(folder: Path) -> list[Path]:
    """Write one sound file of each kind, and return them."""
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    image = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png", "a.webp", "a.bmp", "a.tif"):
        options: dict[str, Any] = {} if name == "a.bmp" else {"exif": exif}
        image.save(folder / name, **options)
    image.quantize(16).save(folder / "p.png")
    image.quantize(16).save(folder / "p.gif", save_all=True, append_images=[image.rotate(90)])
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("CMYK").save(folder / "cmyk.tif")
    image.convert("YCbCr").save(folder / "ycbcr.tif")
    image.convert("1").save(folder / "line.tif")
    image.save(folder / "two.tif", save_all=True, append_images=[image], compression="tiff_lzw")
    image.save(folder / "two.webp", save_all=True, append_images=[image.rotate(90)])
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6)}
    bands = np.moveaxis(rgb, -1, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        for dtype in ("uint8", "uint16", "int16", "float32", "float64", "complex64"):
            for name, where in (("plain", {}), ("geo", place)):
                how = (
                    {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
                    if where
                    else {}
                )
                with rasterio.open(
                    folder / f"{name}-{dtype}.tif", "w", driver="GTiff", count=3, height=SIDE, width=SIDE,
                    dtype=dtype, nodata=0 if where else None, **how, **where,
                ) as dataset:  # fmt: skip
                    dataset.write(bands.astype(dtype))
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                folder / "mask.tif", "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype="uint8",
                nbits=4, **place,
            ) as dataset,
        ):  # fmt: skip
            dataset.write(bands[:1] // 17)
            dataset.write_mask(bands[0] > 90)
        with rasterio.open(
            folder / "deep.png", "w", driver="PNG", count=3, height=SIDE, width=SIDE, dtype="uint16"
        ) as dataset:
            dataset.write(bands.astype(np.uint16) * 257)
    return sorted(path for path in folder.iterdir() if path.is_file())


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut a file, change some of its bytes, or put bytes in or out."""
    kind = rng.integers(4)
    data = bytearray(content)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
        del data[at : at + length]
        return bytes(data)
    # Headers are at the start, or at the end in a TIFF: half of the changes go there.
    edge = min(len(data), 200)
    for _ in range(int(rng.integers(1, 9))):
        places = (
            int(rng.integers(len(data))),
            int(rng.integers(edge)),
            len(data) - 1 - int(rng.integers(edge)),
        )
        at = places[rng.integers(3)]
        data[at] = rng.integers(256) if kind == 2 else data[at] ^ (1 << int(rng.integers(8)))
    return bytes(data)


def _read_raster(path: Path) -> None:
    with gdal_env(), open_raster(path, bands=None, count=3) as raster:
        if raster.grid.height * raster.grid.width < 1e7:
            raster.read(raster.grid.whole)
            raster.read_mask(raster.grid.whole)


READERS: tuple[Callable[[Path], object], ...] = (
    read_size, read_image, lambda path: is_raster(str(path)), _read_raster,
)  # fmt: skip


def fuzz(folder: Path, files: int, seed: int) -> Iterator[tuple[Path, str]]:
    """Damage and read files.

    Args:
        folder: Where they are written.
        files: How many.
        seed: Which ones.

    Yields:
        Each file that a reader failed at, and the traceback.
    """
    rng = np.random.default_rng(seed)
    sound = folder / "sound"
    sound.mkdir(parents=True, exist_ok=True)
    samples = write_samples(sound)
    for number in range(files):
        sample = samples[rng.integers(len(samples))]
        path = folder / f"{seed}-{number}-{sample.name}"
        path.write_bytes(damage(sample.read_bytes(), rng))
        failed = False
        for read in READERS:
            try:
                read(path)
            except Sat2MapError as error:
                if "\n" in str(error):
                    failed = True
                    yield path, f"more than one line: {error!r}"
            except Exception:
                failed = True
                yield path, traceback.format_exc()
        if not failed:
            path.unlink()


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, help="how many damaged files to read")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        failures = 0
        for path, text in fuzz(folder, given.files, given.seed):
            failures += 1
            print(f"{path.name}\n{text}")
    print(f"{given.files} damaged files, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
