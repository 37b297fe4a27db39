"""An open raster as a model needs it: some bands, 8 bits, a mask, any rectangle, any resolution."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.gdal import FAILURES, is_remote, reason, shown
from sat2map.geo.georeference import read_grid, reject_container
from sat2map.geo.grid import GeoGrid
from sat2map.inference.tiling import Area

T = TypeVar("T")
MaskKind = Literal["none", "nodata", "alpha", "mask"]
Scale = tuple[tuple[float, float], ...]

RETRY_AFTER = (1.0, 3.0)  # s; for a server that GDAL's own retries did not wake
MAX_READ = 8 * 2**30  # bytes that are read at once; a header may claim any width
SAMPLE = 1024  # px; side of the reduced picture that statistics are measured on
PERCENTILES = (2, 98)
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
LOCAL_CRS = "EPSG:3857"  # stands in for a missing CRS where GDAL wants one, on both sides


@dataclass
class Raster:
    """A raster, open. Use it from one thread at a time.

    Attributes:
        name: What to call it in messages.
        grid: Its pixels on the ground.
        bands: The bands that are read, from 1.
        mask_kind: How the file marks missing pixels.
        nodata: Its nodata value.
        scale: Limits (lowest, highest) of each band that become 0 and 255; None for 8 bits as they are.
        notes: What a person should know about how it is read.
    """

    name: str
    grid: GeoGrid
    bands: tuple[int, ...]
    mask_kind: MaskKind
    nodata: float | None
    scale: Scale | None
    remote: bool
    dataset: rasterio.DatasetReader | WarpedVRT
    notes: list[str] = field(default_factory=list)

    def read(self, area: Area) -> NDArray[np.uint8]:
        """Read a rectangle, uint8 (bands, h, w); what is not there reads as anything.

        Raises:
            ImageError: The file is damaged, or the connection broke off.
        """
        values = self._retrying(area, lambda window: self.dataset.read(self.bands, window=window))
        return values if self.scale is None else _to_8_bits(values, self.scale)

    def read_mask(self, area: Area) -> NDArray[np.uint8]:
        """Read a rectangle's mask, uint8 (h, w): 0 where there is nothing, else 255 (or the alpha).

        Raises:
            ImageError: As in `read`.
        """
        if self.mask_kind == "none":
            return np.full((area.height, area.width), 255, np.uint8)
        mask: NDArray[np.uint8] = self._retrying(
            area, lambda window: self.dataset.dataset_mask(window=window)
        )
        if np.dtype(self.dataset.dtypes[0]).kind == "f":  # NaN is never ground, whatever the nodata value
            values = self._retrying(area, lambda window: self.dataset.read(self.bands, window=window))
            mask = np.where(np.isfinite(values).all(axis=0), mask, np.uint8(0))
        return mask

    @contextlib.contextmanager
    def resampled(self, across: float, down: float) -> Iterator[Raster]:
        """Yield this raster with pixels `across` times as wide and `down` times as high."""
        grid = self.grid.scaled(across, down)
        with WarpedVRT(
            self.dataset,
            src_crs=self.grid.crs or LOCAL_CRS,
            crs=self.grid.crs or LOCAL_CRS,
            src_transform=self.grid.transform,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling.cubic,
            add_alpha=self.mask_kind == "mask",
        ) as warped:
            yield replace(self, grid=grid, dataset=warped)

    def _retrying(self, area: Area, read: Callable[[Window], T]) -> T:
        needed = area.height * area.width * len(self.bands) * np.dtype(self.dataset.dtypes[0]).itemsize
        if needed > MAX_READ:
            raise ImageError(
                f"{self.name} is {self.grid.width}×{self.grid.height} px: a strip of its tiles takes "
                f"{needed / 2**30:.0f} GiB",
                hint="translate a part of it",
                setting="window",
            )
        window = Window(area.left, area.top, area.width, area.height)
        for wait in (*(RETRY_AFTER if self.remote else ()), None):
            try:
                return read(window)
            except FAILURES as error:
                if wait is None:
                    raise self._read_error(area, error) from None
                time.sleep(wait)
        raise AssertionError

    def _read_error(self, area: Area, error: BaseException) -> ImageError:
        where = f"{self.name} cannot be read in rows {area.top} to {area.bottom} ({reason(error)})"
        if self.remote:
            return ImageError(
                f"{where}: the connection broke off, and asking again did not help; try it later"
            )
        return ImageError(f"{where}: it is truncated or damaged; fetch or export it again")


@contextlib.contextmanager
def open_raster(
    source: str | Path,
    *,
    bands: tuple[int, ...] | None,
    count: int,
    scale: tuple[float, ...] | None = None,
    crs: str | None = None,
    gsd: float | None = None,
) -> Iterator[Raster]:
    """Open whatever GDAL reads.

    Args:
        source: A path, or an address that GDAL knows (https://, s3://, /vsicurl/…).
        bands: Which bands to read, from 1; None for red, green, blue, or the first ones.
        count: How many are needed; a single grey one is repeated.
        scale: Lowest and highest value, once or for each band, that become 0 and 255; None leaves 8 bits as
            they are, and measures percentiles 2 and 98 of anything else.
        crs: Its CRS, where the file names none or a wrong one.
        gsd: Its metres per pixel, where it has no CRS.

    Raises:
        ImageError: It cannot be opened, holds no pixels that a model could take, or lies nowhere.
        SettingsError: `bands`, `scale`, `crs` or `gsd` do not fit it.
    """
    name = shown(str(source))
    try:
        dataset = rasterio.open(source)
    except FAILURES as error:
        if "://" not in str(source) and not str(source).startswith("/vsi") and not Path(source).exists():
            raise ImageError(f"{name} does not exist") from None
        raise ImageError(f"{name} cannot be opened as a raster ({reason(error)})") from None
    with dataset:
        notes: list[str] = []
        reject_container(dataset, name)
        grid = read_grid(dataset, name, notes, crs=crs, gsd=gsd)
        mask_kind = _mask_kind(dataset, bands, name, notes)
        chosen = _choose_bands(dataset, bands, count, name)
        _reject_unsupported_bands(dataset, chosen, name)
        raster = Raster(
            name, grid, chosen, mask_kind, dataset.nodata, None, is_remote(str(source)), dataset, notes
        )
        yield replace(raster, scale=_find_scale(raster, scale))


def _choose_bands(
    dataset: rasterio.DatasetReader, bands: tuple[int, ...] | None, count: int, name: str
) -> tuple[int, ...]:
    has = f"{name} has {dataset.count} band{'s' if dataset.count > 1 else ''}"
    if bands is not None:
        missing = [band for band in bands if not 1 <= band <= dataset.count]
        if missing:
            raise SettingsError(f"{has}: there is no band {missing[0]} for --bands; they count from 1")
        if len(bands) != count:
            raise SettingsError(
                f"--bands names {len(bands)} bands, but this model takes {count}: name {count}, such as "
                f"--bands {','.join(str(i % dataset.count + 1) for i in range(count))}"
            )
        return bands
    colours = [i for i, meaning in enumerate(dataset.colorinterp, 1) if meaning != ColorInterp.alpha] or list(
        dataset.indexes
    )
    if count == 3 and set(_RGB) <= set(dataset.colorinterp):
        return tuple(dataset.colorinterp.index(colour) + 1 for colour in _RGB)
    if len(colours) == 1:
        return tuple(colours * count)
    if len(colours) < count:
        colours = list(dataset.indexes)
    if len(colours) < count:
        raise ImageError(
            f"{has}, but this model takes {count}: choose among them with --bands, repeating some"
        )
    return tuple(colours[:count])


def _mask_kind(
    dataset: rasterio.DatasetReader, bands: tuple[int, ...] | None, name: str, notes: list[str]
) -> MaskKind:
    flags = dataset.mask_flag_enums[0]
    if MaskFlags.all_valid in flags:
        return "nodata" if np.dtype(dataset.dtypes[0]).kind == "f" else "none"  # there may be NaN
    if MaskFlags.nodata in flags:
        return "nodata"
    if MaskFlags.alpha not in flags:
        return "mask"
    alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
    if bands is not None and alpha in bands:
        return "none"
    values = _sample(dataset, name, lambda shape: dataset.read(alpha, out_shape=shape))
    if dataset.dtypes[alpha - 1] == "uint8" and np.isin(values, (0, 255)).mean() < 0.5:
        notes.append(
            f"band {alpha} of {name} is marked as alpha, but holds measurements (perhaps near infrared): it "
            "is not taken for a mask"
        )
        return "none"
    return "alpha"


def _reject_unsupported_bands(dataset: rasterio.DatasetReader, bands: tuple[int, ...], name: str) -> None:
    for band in bands:
        kind = np.dtype(dataset.dtypes[band - 1]) if dataset.dtypes[band - 1] != "complex_int16" else None
        if kind is None or kind.kind == "c":
            raise ImageError(f"{name} holds complex numbers: export its amplitude first, and translate that")
        if dataset.colorinterp[band - 1] == ColorInterp.palette:
            raise ImageError(
                f"{name} holds numbers of palette colours, not colours: expand it first, with "
                f"gdal_translate -expand rgb"
            )


def _find_scale(raster: Raster, scale: tuple[float, ...] | None) -> Scale | None:
    bands = len(raster.bands)
    if scale is not None:
        if len(scale) not in (2, 2 * bands):
            raise SettingsError(
                f"--scale has {len(scale)} numbers: give the lowest and the highest value, such as --scale "
                f"0,3000, or both for each of the {bands} bands"
            )
        pairs = tuple(zip(scale[::2], scale[1::2], strict=True))
        if any(low >= high for low, high in pairs):
            raise SettingsError(
                f"--scale {','.join(f'{v:g}' for v in scale)}: each lowest value must be below its highest"
            )
        return pairs * (bands // len(pairs))
    if all(raster.dataset.dtypes[band - 1] == "uint8" for band in raster.bands):
        return None
    return _measure_scale(raster)


def _measure_scale(raster: Raster) -> Scale:
    """Measure percentiles 2 and 98 of each band on a reduced picture, from overviews where there are any."""
    dataset = raster.dataset
    values = _sample(
        dataset,
        raster.name,
        lambda shape: dataset.read(raster.bands, out_shape=(len(raster.bands), *shape), masked=True),
    )
    scale = []
    for band, number in zip(values, raster.bands, strict=True):
        known = np.ma.masked_invalid(band).compressed()
        if not known.size:
            raise ImageError(
                f"{raster.name} shows no valid pixel in band {number} when reduced: it is all nodata, or "
                "needs --scale"
            )
        low, high = (float(v) for v in np.percentile(known, PERCENTILES))
        scale.append((low, high if high > low else low + 1))
    limits = ", ".join(f"{low:.6g} to {high:.6g}" for low, high in dict.fromkeys(scale))
    raster.notes.append(
        f"{raster.name} holds {dataset.dtypes[raster.bands[0] - 1]}: percentiles 2 and 98 ({limits}) became "
        "black and white; --scale sets other limits"
    )
    return tuple(scale)


def _sample(
    dataset: rasterio.DatasetReader | WarpedVRT, name: str, read: Callable[[tuple[int, int]], T]
) -> T:
    shrink = max(1.0, max(dataset.shape) / SAMPLE)
    try:
        return read((max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink))))
    except FAILURES as error:
        raise ImageError(
            f"{name} cannot be read ({reason(error)}): it is truncated or damaged; fetch it again"
        ) from None


def _to_8_bits(values: NDArray[np.generic], scale: Scale) -> NDArray[np.uint8]:
    out = np.empty(values.shape, np.uint8)
    for band, (low, high) in enumerate(scale):
        levels = (values[band].astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        out[band] = np.rint(np.clip(np.nan_to_num(levels, nan=0.0), 0, 255))
    return out
