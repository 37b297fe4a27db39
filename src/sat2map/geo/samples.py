"""Which bands of a raster a model reads, which of their pixels are valid, and how they become 8 bits.

The rules are those of `sat2map.images`; here they meet an open raster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from sat2map.errors import ImageError
from sat2map.geo.gdal import FAILURES, reason
from sat2map.images.bands import Limits, band_meanings, check_bands, choose_bands, default_names
from sat2map.images.levels import Stretch, given_limits, lab_error, measure_limits, reject_complex
from sat2map.images.masks import SAMPLE, PixelMask, reduced_shape
from sat2map.images.vrt import unmarked_vrt

_ADDED_ALPHA = {"uint16": 65535, "int16": 32767}  # what GDAL's warper writes where a pixel is valid; else 255


@contextlib.contextmanager
def without_alpha(dataset: rasterio.DatasetReader, mask: PixelMask) -> Iterator[rasterio.DatasetReader]:
    """Yield a dataset in which no band is marked as alpha, where the one that is holds measurements.

    GDAL would weigh the other bands by it.
    """
    if mask.alpha is not None or "alpha" not in band_meanings(dataset):
        yield dataset
        return
    with rasterio.open(unmarked_vrt(dataset)) as unmarked:
        yield unmarked


def warped(
    dataset: rasterio.DatasetReader | WarpedVRT, mask: PixelMask, *, resampling: Resampling, **target: Any
) -> tuple[WarpedVRT, PixelMask]:
    """Return a dataset on another grid, and how its valid pixels are found there.

    Its alpha is marked only if it is a mask; `target` is the grid, as `rasterio.vrt.WarpedVRT` takes it.
    """
    nan = {}
    if mask.kind == "nodata" and dataset.nodata is None:  # floats that may be NaN, which would spread
        nan = {"src_nodata": float("nan"), "nodata": float("nan")}
    if mask.alpha is not None:
        return WarpedVRT(dataset, resampling=resampling, **nan, **target), mask
    vrt = WarpedVRT(dataset, resampling=resampling, add_alpha=True, **nan, **target)
    opaque = _ADDED_ALPHA.get(vrt.dtypes[-1], 255)
    return vrt, replace(mask, alpha=vrt.count, opaque=opaque, stored=False, nodata=(None,) * len(mask.nodata))


def find_bands(
    dataset: rasterio.DatasetReader, bands: tuple[int, ...] | None, count: int, name: str, notes: list[str]
) -> tuple[int, ...]:
    """Return the bands to read, from 1: the user's choice, or as many as the model takes.

    Raises:
        ImageError: There are too few, or they hold complex numbers or L*a*b* colours.
        SettingsError: The choice does not fit.
    """
    if bands is not None:
        check_bands(bands, dataset.count, count, name)
        chosen = bands
    else:
        chosen, note = choose_bands(band_meanings(dataset), default_names(count), name)
        notes += [note] if note else []
    if dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE") == "CIELAB":
        raise lab_error(name)
    for band in chosen:
        reject_complex(dataset.dtypes[band - 1], name)
    return chosen


def find_mask(
    dataset: rasterio.DatasetReader, bands: tuple[int, ...], name: str, notes: list[str]
) -> PixelMask:
    """Return how the valid pixels of these bands are found.

    Raises:
        ImageError: The raster is damaged.
    """
    with readable(name):
        mask = PixelMask.of(dataset, bands, name)
    notes += mask.notes
    return mask


def find_limits(
    dataset: rasterio.DatasetReader,
    bands: tuple[int, ...],
    mask: PixelMask,
    scale: tuple[float, ...] | None,
    name: str,
    notes: list[str],
    stretch: Stretch = measure_limits,
) -> Limits | None:
    """Return the limits of each band that become 0 and 255, or None for 8 bits as they are.

    Where none are given, `stretch` finds them in a reduced copy, from overviews where there are any.

    Raises:
        ImageError: The copy shows no valid pixel, or the raster is damaged.
        SettingsError: The limits that the user gives do not fit.
    """
    if scale is not None:
        return given_limits(scale, len(bands))
    if all(dataset.dtypes[band - 1] == "uint8" for band in bands):
        return None
    shape = reduced_shape(dataset, SAMPLE)
    with readable(name):
        values = dataset.read(bands, out_shape=(len(bands), *shape))
        valid = mask.read(dataset, values, out_shape=shape) > 0
    limits, note = stretch(values, valid, name)
    notes += [note] if note else []
    return limits


def check_units(
    dataset: rasterio.DatasetReader,
    bands: tuple[int, ...],
    scale: tuple[float, ...] | None,
    name: str,
    notes: list[str],
) -> None:
    """Check that stored numbers may be read for the values that they stand for (scale x number + offset).

    Limits of each band undo any scale above 0; 8 bits as they are, and one pair of limits for all bands, need
    the same in all.

    Raises:
        ImageError: They may not.
    """
    units = [(dataset.scales[band - 1], dataset.offsets[band - 1]) for band in bands]
    if set(units) == {(1.0, 0.0)}:
        return
    said = ", ".join(f"{factor:g}·n{offset:+g}" for factor, offset in dict.fromkeys(units))
    has_own_limits = (scale is None or len(scale) > 2) and any(
        dataset.dtypes[band - 1] != "uint8" for band in bands
    )
    if min(factor for factor, _ in units) <= 0 or (len(set(units)) > 1 and not has_own_limits):
        raise ImageError(
            f"the numbers of {name} stand for other values ({said}), which change its colours",
            hint="apply them first, with gdal_translate -unscale -ot Float32",
        )
    if scale is not None:
        notes.append(f"the numbers of {name} stand for {said}: the limits count in the stored numbers")


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what GDAL raises at a damaged file into an ImageError; even its attributes may raise."""
    try:
        yield
    except FAILURES as error:
        raise ImageError(
            f"{name} cannot be read ({reason(error)})", hint="it is truncated or damaged; fetch it again"
        ) from None
