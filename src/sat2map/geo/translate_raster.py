"""Owns translating a raster on the ground: same grid, strip by strip, into Cloud-Optimized GeoTIFFs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from sat2map.errors import ImageError, ModelFileError, Sat2MapError
from sat2map.files import locks
from sat2map.geo.confidence import with_confidence
from sat2map.geo.gdal import gdal_env
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import Layer
from sat2map.geo.raster_job import RasterOptions, describe_job, plan_layers, resampling_factors, resolve_area
from sat2map.geo.read import LOCAL_CRS, Raster, open_raster
from sat2map.geo.resume import ResumeStore
from sat2map.geo.strips import BackgroundWriter, StripReader, in_pieces
from sat2map.geo.write import check_outputs, write_cog, write_mosaic
from sat2map.images.pixels import from_unit
from sat2map.inference import Translator
from sat2map.inference.tiling import Area, Rows, Run, blended_rows
from sat2map.inference.translator import MIN_SIDE

DEFAULTS = RasterOptions()
MARGIN = 4  # px around a window at the model's resolution, for the way back


class EmptyRasterError(ImageError):
    """All pixels asked for are nodata."""


@dataclass
class RasterResult:
    """What a translation did.

    Attributes:
        tiles: Tiles in all, those without a pixel among them.
        seconds: Time of all of it.
        network_seconds: Time of the network.
        resumed_rows: Rows that an earlier run had finished.
        notes: What a person should know.
    """

    tiles: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0
    resumed_rows: int = 0
    notes: list[str] = field(default_factory=list)


@locks("output")
def translate_raster(
    translator: Translator,
    source: str | Path,
    output: Path,
    options: RasterOptions = DEFAULTS,
    *,
    model: tuple[str, str] = ("", ""),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> RasterResult:
    """Translate a raster into a Cloud-Optimized GeoTIFF on the same grid.

    Memory grows with the raster's width, not with its area. Nothing is under the final names until all is
    whole; finished rows wait in `.OUTPUT.parts` for a run with `resume`.

    Args:
        translator: The model.
        source: Whatever GDAL reads: a path or an address.
        output: Where the map goes, *.tif.
        options: How.
        model: The model file's name and SHA-256, for the tags.
        progress: Called with tiles done and tiles in all.

    Raises:
        ImageError: The source cannot be opened or read, or holds nothing that can be translated.
        SettingsError: An option does not fit the source.
        OutputError: An output exists, or cannot be written.
        ModelFileError: The model has no class head for `options.classes`.
    """
    start = time.perf_counter()
    header = translator.header
    check_outputs(
        str(source),
        [path for path in (output, options.confidence, options.classes) if path],
        overwrite=options.overwrite,
    )
    if options.classes is not None and not header.generator.classes:
        raise ModelFileError("--classes needs a model with a class head: train one with --class-weight 10")
    with (
        gdal_env(),
        open_raster(
            source,
            bands=options.bands,
            count=header.generator.source_bands,
            scale=options.scale,
            crs=options.crs,
            gsd=options.gsd,
        ) as raster,
    ):
        if min(raster.grid.height, raster.grid.width) < MIN_SIDE:
            raise ImageError(
                f"{raster.name} is {raster.grid.width}×{raster.grid.height} px: the smallest that can be "
                f"translated is {MIN_SIDE}×{MIN_SIDE}"
            )
        area = resolve_area(raster, options)
        factors = resampling_factors(raster, header.gsd, options.resolution)
        layers = plan_layers(translator, raster, output, options, factors, model)
        parts = ResumeStore(
            output, describe_job(source, raster, area, translator, layers), resume=options.resume
        )
        result = RasterResult(notes=raster.notes)
        work = _Work(translator, raster, area, layers, parts, result, progress)
        try:
            if factors is None:
                work.translate()
            else:
                work.translate_coarsely(*factors)
            grid = raster.grid.part(area)
            finished = [(write_cog(parts, layer, grid), layer.path) for layer in layers]
            for file, path in finished:
                path.parent.mkdir(parents=True, exist_ok=True)
                file.replace(path)
        except BaseException as error:
            raise _with_hint(error, parts, remote=raster.remote) from error.__cause__
        parts.remove()
    result.seconds = time.perf_counter() - start
    return result


def _with_hint(error: BaseException, parts: ResumeStore, *, remote: bool) -> BaseException:
    """Keep those parts that are worth going on from, and tell of them."""
    damaged = isinstance(error, ImageError) and not remote
    if damaged or isinstance(error, EmptyRasterError) or not any(parts.folder.glob("*.tif")):
        parts.remove()
    elif isinstance(error, Sat2MapError):
        return type(error)(f"{error}; --resume goes on from the rows that are finished")
    return error


@dataclass
class _Work:
    """One translation under way."""

    translator: Translator
    raster: Raster
    area: Area
    layers: list[Layer]
    parts: ResumeStore
    result: RasterResult
    progress: Callable[[int, int], None]

    def translate(self) -> None:
        """Run the network over the area, and keep the finished rows of each layer."""
        self._translate(self.raster, self.area, self.layers)

    def translate_coarsely(self, across: float, down: float) -> None:
        """Run the network over larger pixels, and put the result back on the raster's."""
        plain = [
            replace(layer, name=f"coarse-{layer.name}", mask_kind="none", nodata=None, palette=None)
            for layer in self.layers
        ]
        with self.raster.resampled(across, down) as coarse:
            area = Area(
                max(0, int(self.area.top / down) - MARGIN),
                max(0, int(self.area.left / across) - MARGIN),
                min(coarse.grid.height, int(self.area.bottom / down) + 1 + MARGIN),
                min(coarse.grid.width, int(self.area.right / across) + 1 + MARGIN),
            )
            self._translate(coarse, area, plain)
        for before, layer in zip(plain, self.layers, strict=True):
            self._put_back(before, coarse.grid.part(area), layer)

    def _translate(self, raster: Raster, area: Area, layers: list[Layer]) -> None:
        done = min(self.parts.done(layer.name) for layer in layers)
        self.result.resumed_rows = done
        if done == area.height:
            return
        todo = replace(area, top=area.top + done)
        grid, size = self.translator.grid, (raster.grid.height, raster.grid.width)
        total = len(grid.within(todo.left, todo.right, size[1])) * len(
            grid.within(todo.top, todo.bottom, size[0])
        )
        something = done > 0
        with BackgroundWriter() as writer, StripReader(raster, grid, todo) as reader:

            def cut(top: int, left: int) -> NDArray[np.float32] | None:
                self.progress(self.result.tiles, total)
                self.result.tiles += 1
                return reader.cut(top, left)

            for rows in blended_rows(grid, size, cut, self._network(), todo):
                something = something or rows.values is not None
                mask = reader.mask(rows.top, rows.bottom)
                finished = [self._pixels(layer, rows, todo.width) for layer in layers]
                writer.submit(partial(self._keep, layers, finished, mask, rows.top - area.top))
            writer.wait()
        self.progress(total, total)
        if not something:
            where = "" if area == raster.grid.whole else " there"
            raise EmptyRasterError(
                f"{raster.name} holds no valid pixel{where}, only nodata: there is nothing to translate"
            )

    def _network(self) -> Run:
        """Return the network with just those outputs that a layer needs, timed."""
        header, names = self.translator.header, {layer.name for layer in self.layers}
        count = header.generator.target_bands + (header.generator.classes if "classes" in names else 0)
        run = self.translator.network
        if "confidence" in names:
            run = with_confidence(self.translator.engine, header, tta=self.translator.tta)

        def timed(batch: NDArray[np.float32]) -> NDArray[np.float32]:
            start = time.perf_counter()
            out = run(batch)
            self.result.network_seconds += time.perf_counter() - start
            if "confidence" in names:
                return np.concatenate([out[:, :count], out[:, -1:]], axis=1)
            return out[:, :count]

        return timed

    def _pixels(self, layer: Layer, rows: Rows, width: int) -> NDArray[np.uint8]:
        """Turn blended outputs into a layer's bands, uint8 (bands, rows, width)."""
        pixels = np.zeros((layer.bands, rows.bottom - rows.top, width), np.uint8)
        if rows.values is None:
            return pixels
        bands, classes = (
            self.translator.header.generator.target_bands,
            self.translator.header.generator.classes,
        )
        for piece in in_pieces(pixels.shape[1]):
            values = rows.values[:, piece]
            if layer.name.endswith("classes"):
                pixels[0, piece] = values[bands : bands + classes].argmax(axis=0)
            elif layer.name.endswith("confidence"):
                pixels[0, piece] = np.rint(values[-1] * 100)
            else:
                pixels[:, piece] = from_unit(values[:bands, None])[..., 0]  # bands stay apart: no transposing
        return pixels

    def _keep(
        self, layers: list[Layer], finished: list[NDArray[np.uint8]], mask: NDArray[np.uint8], top: int
    ) -> None:
        for layer, pixels in zip(layers, finished, strict=True):
            if layer.mask_kind != "none" or layer.nodata is not None:
                pixels = layer.masked(pixels, mask)
            self.parts.write(layer.name, top, pixels)

    def _put_back(self, before: Layer, grid: GeoGrid, layer: Layer) -> None:
        mosaic = write_mosaic(self.parts, before, grid)
        with rasterio.open(mosaic) as dataset:
            to = self.raster.grid.part(self.area)
            with WarpedVRT(
                dataset,
                src_crs=grid.crs or LOCAL_CRS,
                crs=grid.crs or LOCAL_CRS,
                src_transform=grid.transform,
                transform=to.transform,
                height=to.height,
                width=to.width,
                resampling=Resampling.bilinear if layer.blend else Resampling.nearest,
            ) as back:
                done = self.parts.done(layer.name)
                for piece in in_pieces(to.height - done, 256):
                    top, height = done + piece.start, piece.stop - piece.start
                    pixels = back.read(window=Window(0, top, to.width, height))
                    here = Area(
                        self.area.top + top, self.area.left, self.area.top + top + height, self.area.right
                    )
                    self.parts.write(layer.name, top, layer.masked(pixels, self.raster.read_mask(here)))
