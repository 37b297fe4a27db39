"""Functions of `import sat2map` that find and open the model themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.translate_raster import RasterResult
from sat2map.geo.translate_raster import translate_raster as translate_with
from sat2map.inference import Translator
from sat2map.models.model import Model, ModelLike


def translate_raster(
    source: str | Path,
    output: str | Path,
    model: ModelLike | Translator = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> RasterResult:
    """Translate a raster into a Cloud-Optimized GeoTIFF on the same grid.

    Example:
        >>> sat2map.translate_raster("ortho.tif", "map.tif", overwrite=True)  # doctest: +SKIP

    Args:
        source: Whatever GDAL reads: a path or an address.
        output: The map to write, *.tif.
        model: What `Model.find` takes, None for the model that comes with the package; or a translator.
        progress: Called with tiles done and tiles in all.
        **options: Fields of `sat2map.geo.raster_job.RasterOptions`, such as `resolution=0.5`.

    Returns:
        What was done: notes for the user, the number of tiles and the time.

    Raises:
        ImageError: The source cannot be opened or read, or holds nothing that can be translated.
        SettingsError: An option does not fit the source.
        OutputError: The output exists, or cannot be written.
        ModelFileError: The model cannot be used.
    """
    translator, about = model, ("", "")
    if not isinstance(translator, Translator):
        found = Model.find(translator)
        translator, about = Translator.open(found), (found.path.name, found.sha256)
    return translate_with(
        translator, source, Path(output), RasterOptions(**options), model=about, progress=progress
    )
