"""Translating a raster: block by block, on its own grid, into Cloud-Optimized GeoTIFFs."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ImageError, Sat2MapError
from sat2map.files import lock_output, locks, refuse_existing
from sat2map.geo.area_of_interest import AreaOfInterest, Clip
from sat2map.geo.gdal import gdal_env
from sat2map.geo.layers import Layer
from sat2map.geo.raster import Raster
from sat2map.geo.raster_job import (
    SAME_PIXELS,
    Factors,
    RasterOptions,
    describe_job,
    plan_layers,
    resampling_factors,
    resolve_area,
    resolve_source,
)
from sat2map.geo.read import open_raster
from sat2map.geo.resume import ResumeStore
from sat2map.geo.stac_output import check_place, stac_path, write_item
from sat2map.geo.strips import BackgroundWriter, StripReader
from sat2map.geo.write import check_outputs, write_cog, write_sidecars
from sat2map.images.levels import note_of_8_bits, use_limits
from sat2map.inference import Translator
from sat2map.inference.blending import Block, blended_blocks
from sat2map.inference.drawing import Products, draw_block
from sat2map.inference.resample import Resampling
from sat2map.inference.scale import MIN_SIDE
from sat2map.inference.tiling import Area, Span
from sat2map.runtime.memory import give_back_memory

DEFAULTS = RasterOptions()
P = ParamSpec("P")
T = TypeVar("T")


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
    note: Callable[[str], None] = lambda text: None,
) -> RasterResult:
    """Translate a raster into a Cloud-Optimized GeoTIFF on the same grid.

    Memory does not grow with the raster's height, and little with its width. Nothing is under the final names
    until everything is finished; finished blocks wait in `.OUTPUT.parts` for a run with `resume`.

    Args:
        translator: The model.
        source: Whatever GDAL reads: a path or an address.
        output: Where the map goes, *.tif.
        options: How.
        model: The model file's name and SHA-256, for the tags.
        progress: Called with tiles done and tiles in all.
        note: Called before the work with each of the result's notes.

    Raises:
        ImageError: The source cannot be opened or read, or holds nothing that can be translated.
        SettingsError: An option does not fit the source.
        OutputError: An output exists, or cannot be written.
        ModelFileError: The model has no map classes for `options.classes`.
    """
    start = time.perf_counter()
    header = translator.header
    sides = options.side_outputs
    products = Products(**dict.fromkeys(sides, True))
    translator.drawer.check(products)
    check_outputs(str(source), [output, *sides.values()], overwrite=options.overwrite)
    beside = [*sides.values(), *([stac_path(output)] if options.stac else [])]
    if options.stac:
        refuse_existing(stac_path(output), overwrite=options.overwrite or options.resume)
    with contextlib.ExitStack() as locked, gdal_env():
        for path in beside:
            locked.enter_context(lock_output(path))
        found, options = resolve_source(source, options)
        raster = locked.enter_context(
            open_raster(
                found,
                bands=options.bands,
                count=header.generator.source_bands,
                scale=options.scale,
                stretch=use_limits(header.limits),
                crs=options.crs,
                gsd=options.gsd,
            )
        )
        if raster.scale is None:
            raster.notes.extend(note_of_8_bits(header.limits, raster.name))
        if min(raster.grid.height, raster.grid.width) < MIN_SIDE:
            raise ImageError(
                f"{raster.name} is {raster.grid.width}×{raster.grid.height} px: the smallest that can be "
                f"translated is {MIN_SIDE}×{MIN_SIDE}"
            )
        if options.stac:
            check_place(raster.grid, raster.name)
        clip = None
        if options.aoi is not None:
            clip = AreaOfInterest.read(options.aoi).on(raster.grid)
            options = replace(options, bbox=clip.bounds, bbox_crs=None)
        area = resolve_area(raster, options)
        scales = resampling_factors(raster, header, options)
        layers = plan_layers(translator, raster, output, options, scales, model)
        for text in raster.notes:
            note(text)
        with _at(raster, scales.network) as seen, _at(raster, scales.output) as target:
            wanted = _scaled(area, scales.output, target)
            job = describe_job(raster, area, translator, layers, scales, clip)
            parts = ResumeStore(output, job, wanted.width, resume=options.resume)
            result = RasterResult(notes=raster.notes)
            size = (seen.grid.height, seen.grid.width)
            ratios = [out / net for out, net in zip(scales.output, scales.network, strict=True)]
            resampling = Resampling.between(
                size, (target.grid.height, target.grid.width), (ratios[1], ratios[0])
            )
            work = _Work(
                translator, products, seen, target, resampling, wanted, layers, parts, result, progress, clip
            )
            try:
                work.translate()
                give_back_memory()
                grid = target.grid.part(wanted)
                finished = [(write_cog(parts, layer, grid, options.compress), layer.path) for layer in layers]
                for file, path in finished:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(path)
                for layer in layers:
                    write_sidecars(layer)
                if options.stac:
                    write_item(output, layers, grid, str(source))
            except BaseException as error:
                raise _with_hint(error, parts, remote=raster.remote) from error.__cause__
            parts.remove()
    result.seconds = time.perf_counter() - start
    return result


def _at(raster: Raster, factors: Factors) -> AbstractContextManager[Raster]:
    """Return a raster with pixels of another size, or as it is."""
    return nullcontext(raster) if factors == SAME_PIXELS else raster.resampled(*factors)


def _scaled(area: Area, factors: Factors, target: Raster) -> Area:
    """Return the pixels of the output that an area of the source touches."""
    return Area(
        int(area.top / factors.down),
        int(area.left / factors.across),
        min(target.grid.height, math.ceil(area.bottom / factors.down - 1e-6)),
        min(target.grid.width, math.ceil(area.right / factors.across - 1e-6)),
    )


def _with_hint(error: BaseException, parts: ResumeStore, *, remote: bool) -> BaseException:
    """Keep those blocks that are worth resuming, and say so."""
    damaged = isinstance(error, ImageError) and not remote
    if damaged or isinstance(error, EmptyRasterError) or not any(parts.folder.glob("*.tif")):
        parts.remove()
    elif isinstance(error, Sat2MapError):
        hint = "; ".join(filter(None, (error.hint, "the finished rows are kept, and can be resumed")))
        return type(error)(error.problem, hint=hint, setting="resume")
    return error


@dataclass
class _Work:
    """One translation under way.

    Attributes:
        translator: The model.
        products: What is drawn.
        seen: The raster on the network's grid.
        target: The raster on the map's grid, for its mask.
        resampling: From the one to the other.
        area: What of the map's grid is wanted.
        clip: The area of interest, if there is one.
    """

    translator: Translator
    products: Products
    seen: Raster
    target: Raster
    resampling: Resampling
    area: Area
    layers: list[Layer]
    parts: ResumeStore
    result: RasterResult
    progress: Callable[[int, int], None]
    clip: Clip | None = None

    def translate(self) -> None:
        """Run the network over the area, and keep the finished blocks of each layer."""
        done = min(self.parts.done(layer.name) for layer in self.layers)
        self.result.resumed_rows = done
        if done == self.area.height:
            return
        wanted = replace(self.area, top=self.area.top + done)
        todo = self.resampling.needed(wanted)
        grid, size = self.translator.grid, (self.seen.grid.height, self.seen.grid.width)
        total = len(grid.within(todo.left, todo.right, size[1])) * len(
            grid.within(todo.top, todo.bottom, size[0])
        )
        something = done > 0
        with BackgroundWriter() as writer, StripReader(self.seen, grid, todo) as reader:

            def cut(rows: Span, columns: Span) -> NDArray[np.float32] | None:
                self.progress(max(0, self.result.tiles - 1), total)  # the network runs on one
                self.result.tiles += 1
                tile = reader.cut(rows, columns)
                return tile if self._is_wanted(rows, columns) else None

            run = self.translator.network_for(self.products)
            run_inside = self.translator.run_inside_for(self.products, self.resampling)
            blocks = blended_blocks(
                grid, size, cut, self._timed(run), todo, margin=self.resampling.margin,
                run_inside=self._timed(run_inside) if run_inside else None,
            )  # fmt: skip
            for block in blocks:
                if block.area.left == todo.left:  # a new row of tiles
                    give_back_memory()
                something = something or block.values is not None
                area = self.resampling.finished_by(block.area, wanted)
                if area.height and area.width:
                    mask = reader.mask(block.area) if self.seen is self.target else None
                    writer.submit(partial(self._finish, block, area, mask, reader))
            writer.wait()
        self.progress(total, total)
        if not something:
            where = "" if self.area == self.target.grid.whole else " there"
            raise EmptyRasterError(
                f"{self.seen.name} holds no valid pixel{where}, only nodata: there is nothing to translate"
            )

    def _is_wanted(self, rows: Span, columns: Span) -> bool:
        """Whether a tile of the network's grid touches the area of interest."""
        area = Area(rows.start, columns.start, rows.stop, columns.stop)
        return self.clip is None or self.clip.touches(self.seen.grid.part(area))

    def _timed(self, run: Callable[P, T]) -> Callable[P, T]:
        """Return what runs the network, timed."""

        def timed(*arguments: P.args, **options: P.kwargs) -> T:
            start = time.perf_counter()
            out = run(*arguments, **options)
            self.result.network_seconds += time.perf_counter() - start
            return out

        return timed

    def _finish(self, block: Block, area: Area, mask: NDArray[np.uint8] | None, reader: StripReader) -> None:
        """Draw a block and keep it, masked as the source is."""
        drawn = None
        if block.values is not None:
            drawn = draw_block(block, self.translator.drawer, self.resampling, area, self.products)
        if mask is None:
            mask = reader.call(partial(self.target.read_mask, area))
        if self.clip is not None:
            mask = np.minimum(mask, self.clip.mask(self.target.grid.part(area)))
        for layer in self.layers:
            size = (layer.bands, area.height, area.width)
            pixels = np.zeros(size, np.uint8) if drawn is None else drawn.product(layer.name).reshape(size)
            if layer.mask_kind != "none" or layer.nodata is not None:
                pixels = layer.masked(pixels, mask)
            self.parts.write(layer.name, area.top - self.area.top, area.left - self.area.left, pixels)
