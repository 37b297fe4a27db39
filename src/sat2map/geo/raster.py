"""An open raster as a model needs it: some bands, 8 bits, a mask, any rectangle, any resolution."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from sat2map.errors import ImageError
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.grid import GeoGrid
from sat2map.geo.samples import (
    warped,
)
from sat2map.geo.scaled import read_scaled
from sat2map.geo.sources import Source
from sat2map.images.bands import Limits
from sat2map.images.levels import to_8_bits
from sat2map.images.masks import MaskKind, PixelMask
from sat2map.inference.tiling import Area

T = TypeVar("T")
Dataset: TypeAlias = rasterio.DatasetReader | WarpedVRT
Opener: TypeAlias = Callable[[contextlib.ExitStack], tuple[Dataset, WarpedVRT | None]]

RETRY_AFTER = (1.0, 3.0)  # s; for a server that GDAL's own retries did not wake
MAX_READ = 8 * 2**30  # bytes that are read at once; a header may claim any width
MAX_SCALED = 4.0  # larger pixels than so many are left to GDAL, which reads overviews where there are some
LOCAL_CRS = "EPSG:3857"  # stands in for a missing CRS where GDAL wants one, on both sides


@dataclass
class Raster:
    """A raster, open. Use it from one thread at a time.

    Attributes:
        name: What to call it in messages.
        grid: Its pixels on the ground.
        bands: The bands that are read, from 1.
        mask: How its valid pixels are found.
        scale: Limits (lowest, highest) of each band that become 0 and 255; None for 8 bits as they are.
        source: Where it comes from.
        dataset: Where it is read.
        filler: Where `dataset` has nothing: coarse pixels of which only a part is valid.
        opener: Opens dataset and filler again.
        handles: What closes them.
        notes: What a person should know about how it is read.
    """

    name: str
    grid: GeoGrid
    bands: tuple[int, ...]
    mask: PixelMask
    scale: Limits | None
    source: Source
    dataset: Dataset
    filler: WarpedVRT | None
    opener: Opener
    handles: contextlib.ExitStack
    notes: list[str] = field(default_factory=list)
    inside: tuple[int, int] | None = None  # height and width that GDAL fills; None: all of it
    finer: tuple[Raster, float, float] | None = None  # what to read with `read_scaled`, and its factors
    ask: Callable[[Area], object] | None = None  # called with what is about to be read

    @property
    def remote(self) -> bool:
        """Whether reading goes over a network."""
        return self.source.remote

    @property
    def mask_kind(self) -> MaskKind:
        """How the file marks missing pixels."""
        return self.mask.kind

    @property
    def nodata(self) -> float | None:
        """The nodata value of the bands that are read."""
        return next((value for value in self.mask.nodata if value is not None), None)

    def read(self, area: Area) -> NDArray[np.uint8]:
        """Read a rectangle, uint8 (bands, h, w); what is not there reads as anything.

        Raises:
            ImageError: The file is damaged, or the connection broke off.
        """
        if self.finer is not None:
            self._refuse_huge(area)
            return read_scaled(*self.finer, area)
        area, beyond = self._read_inside(area)
        values = self._retrying(area, self._read_bands)
        values = np.pad(values, ((0, 0), *beyond), mode="edge") if any(map(any, beyond)) else values
        if self.filler is not None:
            missing = self._read_mask(area) == 0
            if missing.any():
                values = np.where(missing, self._retrying(area, self._read_filler), values)
        return values.astype(np.uint8, copy=False) if self.scale is None else to_8_bits(values, self.scale)

    def read_mask(self, area: Area) -> NDArray[np.uint8]:
        """Read a rectangle's mask, uint8 (h, w): 0 where there is nothing, else 255 (or the alpha).

        Raises:
            ImageError: As in `read`.
        """
        if self.mask.kind == "none":
            return np.broadcast_to(np.uint8(255), (area.height, area.width))
        mask = self._read_mask(area)
        return mask if self.filler is None else np.maximum(mask, self._read_mask(area, of_filler=True))

    @contextlib.contextmanager
    def resampled(self, across: float, down: float) -> Iterator[Raster]:
        """Yield this raster with pixels `across` times as wide and `down` times as high.

        A pixel is valid where any part of it is: its value is then that of this part.
        """
        grid = self.grid.scaled(across, down)
        if self.mask.kind == "none" and max(across, down) <= MAX_SCALED:
            yield replace(self, grid=grid, finer=(self, across, down))
            return
        # GDAL leaves a pixel black whose centre lies beyond the raster; masked rasters have a filler.
        sides = ((self.grid.height, down), (self.grid.width, across))
        height, width = (max(1, math.ceil(side / factor - 0.5 - 1e-6)) for side, factor in sides)
        inside = (height, width) if self.mask.kind == "none" else None
        target = {
            "src_crs": self.grid.crs or LOCAL_CRS,
            "crs": self.grid.crs or LOCAL_CRS,
            "src_transform": self.grid.transform,
            "transform": grid.transform,
            "height": grid.height,
            "width": grid.width,
        }
        # The cubic filter gives up where most of its weight is missing.
        partly = self.mask.kind != "none" and max(across, down) > 1
        masks: list[PixelMask] = []

        def warp(stack: contextlib.ExitStack) -> tuple[Dataset, WarpedVRT | None]:
            vrt, mask = warped(self.dataset, self.mask, resampling=Resampling.cubic, **target)
            masks.append(mask)
            dataset, filler = stack.enter_context(vrt), None
            if partly:
                coarse = warped(self.dataset, self.mask, resampling=Resampling.average, **target)[0]
                filler = stack.enter_context(coarse)
            return dataset, filler

        def ask(area: Area) -> None:
            rows, columns = (
                (max(0, math.floor(first * factor) - reach), min(side, math.ceil(last * factor) + reach))
                for first, last, (side, factor), reach in (
                    (area.top, area.bottom, sides[0], math.ceil(4 * down)),
                    (area.left, area.right, sides[1], math.ceil(4 * across)),
                )
            )
            self.dataset.read(self.mask.alpha, window=Window.from_slices(rows, columns))

        def warp_again(stack: contextlib.ExitStack) -> tuple[Dataset, WarpedVRT | None]:
            self._reopen()
            return warp(stack)

        with contextlib.ExitStack() as stack:
            dataset, filler = warp(stack)
            resampled = replace(
                self, grid=grid, dataset=dataset, filler=filler, mask=masks[0], opener=warp_again,
                handles=stack.pop_all(), inside=inside, ask=ask,
            )  # fmt: skip
        try:
            yield resampled
        finally:
            resampled.handles.close()

    def _reopen(self) -> None:
        """Open everything again: GDAL keeps a broken part of a remote file for as long as it is open."""
        self.handles.close()
        self.handles = contextlib.ExitStack()
        self.dataset, self.filler = self.opener(self.handles)

    def _read_inside(self, area: Area) -> tuple[Area, tuple[tuple[int, int], tuple[int, int]]]:
        """Return what of an area to read, and how many of its last rows and columns repeat the last one."""
        if self.inside is None:
            return area, ((0, 0), (0, 0))
        top, left = min(area.top, self.inside[0] - 1), min(area.left, self.inside[1] - 1)
        bottom, right = min(area.bottom, self.inside[0]), min(area.right, self.inside[1])
        inner = Area(top, left, bottom, right)
        return inner, ((0, area.height - inner.height), (0, area.width - inner.width))

    def _read_mask(self, area: Area, *, of_filler: bool = False) -> NDArray[np.uint8]:
        return self._retrying(
            area, lambda window: self.mask.read(self.filler if of_filler else self.dataset, window=window)
        )

    def _read_bands(self, window: Window) -> NDArray[np.generic]:
        if self.source.alpha is not None:
            # Of a service's tile that is missing for a moment GDAL leaves the band empty that it reads first:
            # let it be alpha, and the tile is masked.
            top, left = int(window.row_off), int(window.col_off)
            area = Area(top, left, top + int(window.height), left + int(window.width))
            (self.ask or self._read_mask)(area)
        values: NDArray[np.generic] = self.dataset.read(self.bands, window=window)
        return values

    def _read_filler(self, window: Window) -> NDArray[np.generic]:
        assert self.filler is not None
        filled: NDArray[np.generic] = self.filler.read(self.bands, window=window)
        return filled

    def _refuse_huge(self, area: Area) -> None:
        needed = area.height * area.width * len(self.bands) * np.dtype(self.dataset.dtypes[0]).itemsize
        if needed > MAX_READ:
            grid = self.finer[0].grid if self.finer else self.grid
            raise ImageError(
                f"{self.name} is {grid.width}×{grid.height} px: a strip of its tiles takes "
                f"{needed / 2**30:.0f} GiB",
                hint="translate a part of it",
                setting="window",
            )

    def _retrying(self, area: Area, read: Callable[[Window], T]) -> T:
        self._refuse_huge(area)
        window = Window(area.left, area.top, area.width, area.height)
        failed = False
        for wait in (*(RETRY_AFTER if self.remote else ()), None):
            try:
                if failed:
                    self._reopen()
                return read(window)
            except FAILURES as error:
                failed = True
                if wait is None:
                    raise self._read_error(area, error) from None
                time.sleep(wait)
        raise AssertionError

    def _read_error(self, area: Area, error: BaseException) -> ImageError:
        where = f"{self.name} cannot be read in rows {area.top} to {area.bottom} ({reason(error)})"
        if self.source.trouble is not None:
            return ImageError(
                f"{self.name} cannot be read: {self.source.describe(error)}", hint="try it later"
            )
        if self.remote:
            return ImageError(
                f"{where}: the connection broke off, and asking again did not help; try it later"
            )
        return ImageError(f"{where}: it is truncated or damaged; fetch or export it again")
