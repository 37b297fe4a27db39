"""A task of a bulk job that is a raster, or a window of one; only such tasks need GDAL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio
from rasterio.enums import MaskFlags

from sat2map.bulk.manifest import TaskRecord
from sat2map.bulk.sheets import open_neighbourhood
from sat2map.bulk.tasks import Task, Window
from sat2map.errors import ImageError, OutputError, Sat2MapError
from sat2map.geo.addresses import shown
from sat2map.geo.gdal import FAILURES, gdal_env
from sat2map.geo.grid import window_area
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.read import open_raster
from sat2map.geo.translate_raster import translate_raster
from sat2map.images.masks import MaskKind
from sat2map.inference import Translator

if TYPE_CHECKING:
    from sat2map.bulk.worker import WorkOptions

STRIP = 512  # rows of a mask that are looked at together


def translate_raster_task(
    translator: Translator, given: WorkOptions, task: Task, path: Path, record: TaskRecord
) -> TaskRecord:
    """Translate a raster with its neighbours around it, and return its record, complete but for its checksum.

    Args:
        translator: The model.
        given: How every task of the job is done.
        task: The raster, or a window of it.
        path: Where the map goes.
        record: What is known of the task before.

    Raises:
        Sat2MapError: It cannot be read, or written.
    """

    def translate(source: str, window: Window | None, mask_kind: MaskKind | None = None) -> TaskRecord:
        options = RasterOptions(
            bands=given.bands,
            scale=task.scale or given.scale,
            window=window,
            resolution=given.resolution,
            gsd=given.gsd,
            keep_grid=True,  # windows of one raster must join
            mask_kind=mask_kind,
            overwrite=True,
            resume=True,
        )
        about = given.model.name, given.model_sha256
        try:
            try:
                result = translate_raster(translator, source, path, options, model=about)
            except OutputError:  # finished rows of another source, engine or version lie there
                options = replace(options, resume=False)
                result = translate_raster(translator, source, path, options, model=about)
        except ImageError:
            if (task.window is not None or task.around is not None) and _is_empty(translator, given, task):
                return replace(record, state="empty")
            raise
        return replace(record, tiles=result.tiles, notes=tuple(result.notes))

    if task.around is None:
        return translate(task.source, task.window)
    own = task.around.own
    column, row, width, height = task.window or (0, 0, own.width, own.height)
    window = (own.column + column, own.row + row, width, height)
    try:
        with gdal_env(), open_neighbourhood(task.around) as name:
            # Beside a gap the grid of all sheets has a mask; a map marks what its sheet marks.
            with rasterio.open(task.source) as sheet:
                has_mask = MaskFlags.all_valid not in sheet.mask_flag_enums[0]
            return translate(name, window, None if has_mask else "none")
    except (ImageError, *FAILURES):
        # Whatever is wrong, a neighbour may be the cause, and one bad file stops no other.
        alone = translate(task.source, task.window)
        note = f"{shown(task.source)} was translated without its neighbours, one of which cannot be read"
        return alone if alone.state == "empty" else replace(alone, notes=(*alone.notes, note))


def _is_empty(translator: Translator, given: WorkOptions, task: Task) -> bool:
    """Whether a window holds only nodata: at the edges of a large raster that is how it should be."""
    count = translator.header.generator.source_bands
    scale = task.scale or given.scale
    try:
        with gdal_env(), open_raster(task.source, bands=given.bands, count=count, scale=scale) as raster:
            area = raster.grid.whole
            if task.window is not None:
                area = window_area(task.window, raster.grid, raster.name)
            strips = range(area.top, area.bottom, STRIP)
            return not any(
                raster.read_mask(replace(area, top=top, bottom=min(top + STRIP, area.bottom))).any()
                for top in strips
            )
    except Sat2MapError:
        return False
