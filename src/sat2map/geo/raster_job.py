"""Owns what is decided before a raster is translated: which part, at which resolution, into which layers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.grid import window_area
from sat2map.geo.layers import Layer, map_layer, side_layer
from sat2map.geo.read import Raster
from sat2map.inference import Translator
from sat2map.inference.tiling import Area
from sat2map.inference.translator import MIN_SIDE

SAME = 1.1  # resolutions that differ by less than this factor are taken for equal
COARSEST = 4.0  # a raster whose pixels are more than this many times the model's shows nothing it knows


@dataclass(frozen=True)
class RasterOptions:
    """How to translate a raster.

    Attributes:
        bands: Bands to read, from 1; None: red, green, blue, or the first ones.
        scale: Lowest and highest value, once or for each band; None: 8 bits as they are, or measured.
        window: Column, row, width and height of the part to translate.
        bounds: The same as left, bottom, right, top.
        bbox_crs: The CRS of `bounds`; None: the raster's.
        resolution: `auto` works at the model's ground sample distance where it and the raster's are known,
            `source` at the raster's; or metres a pixel. The map always has the raster's grid.
        crs: The raster's CRS, where the file names none or a wrong one.
        gsd: Its metres per pixel, where it has no CRS.
        confidence: Where to write how far each pixel is to be trusted, in percent.
        classes: Where to write the class head's class numbers.
        overwrite: Whether files may be replaced.
        resume: Go on with what an interrupted run has left.
    """

    bands: tuple[int, ...] | None = None
    scale: tuple[float, ...] | None = None
    window: tuple[int, int, int, int] | None = None
    bounds: tuple[float, float, float, float] | None = None
    bbox_crs: str | None = None
    resolution: float | Literal["auto", "source"] = "auto"
    crs: str | None = None
    gsd: float | None = None
    confidence: Path | None = None
    classes: Path | None = None
    overwrite: bool = False
    resume: bool = False


def resolve_area(raster: Raster, options: RasterOptions) -> Area:
    """Return the pixels to translate.

    Raises:
        SettingsError: The window or the bounds do not lie in the raster.
    """
    if options.window is not None and options.bounds is not None:
        raise SettingsError("--window and --bounds name the same thing twice: give one of them")
    if options.window is not None:
        return window_area(options.window, raster.grid, raster.name)
    if options.bounds is not None:
        return raster.grid.area_of(options.bounds, raster.name, options.bbox_crs)
    return raster.grid.whole


def resampling_factors(
    raster: Raster, model: float | None, resolution: float | Literal["auto", "source"]
) -> tuple[float, float] | None:
    """Return how many times wider and higher than the raster's the pixels to work on are; None: not at all.

    Args:
        raster: The raster; told in its notes.
        model: The model's ground sample distance (m), or None where it does not say.
        resolution: As in `RasterOptions`.

    Raises:
        SettingsError: Metres are asked for of a raster that lies nowhere.
        ImageError: Nothing would be left of the raster.
    """
    metres = raster.grid.metres()
    if resolution == "source":
        return None
    if resolution == "auto":
        if model is None or metres is None:
            return None
        if max(metres) > COARSEST * model:
            raster.notes.append(
                f"a pixel of {raster.name} is {max(metres):.3g} m of ground, and this model knows pixels of "
                f"{model:g} m: it is translated as it is, and the map will mean little"
            )
            return None
        wanted = model
    elif metres is None:
        raise SettingsError(f"--resolution {resolution:g} needs to know metres, but {raster.name} has no CRS")
    else:
        wanted = resolution
    across, down = wanted / metres[0], wanted / metres[1]
    if max(across, down, 1 / across, 1 / down) < SAME:
        return None
    coarse = raster.grid.scaled(across, down)
    if min(coarse.height, coarse.width) < MIN_SIDE:
        raise ImageError(
            f"{raster.name} is {coarse.width}×{coarse.height} px at {wanted:g} m a pixel: the smallest that "
            f"can be translated is {MIN_SIDE}×{MIN_SIDE}; --resolution source takes it as it is"
        )
    raster.notes.append(
        f"{raster.name} has pixels of {metres[0]:.3g} m: it is translated at {wanted:g} m, and put back on "
        "its grid"
    )
    return across, down


def plan_layers(
    translator: Translator,
    raster: Raster,
    output: Path,
    options: RasterOptions,
    factors: tuple[float, float] | None,
    model: tuple[str, str],
) -> list[Layer]:
    """Return the layers to write, the map first, with their tags."""
    header = translator.header
    limits = ";".join(f"{low:.9g},{high:.9g}" for low, high in raster.scale or ())
    tags = {
        "TIFFTAG_SOFTWARE": f"sat2map {version('sat2map')}",
        "SAT2MAP_VERSION": version("sat2map"),
        "SAT2MAP_MODEL": model[0],
        "SAT2MAP_MODEL_SHA256": model[1],
        "SAT2MAP_MODE": header.inference_mode,
        "SAT2MAP_TTA": "yes" if translator.tta else "no",
        "SAT2MAP_SOURCE": Path(raster.name).name,
        "SAT2MAP_BANDS": ",".join(map(str, raster.bands)),
        "SAT2MAP_SCALE": limits or "as it is",
        "SAT2MAP_RESOLUTION": "source" if factors is None else f"source x {factors[0]:.6g}, {factors[1]:.6g}",
        "SAT2MAP_TILES": f"{translator.grid.tile} px every {translator.grid.stride} px",
        "SAT2MAP_PALETTE": " ".join(header.palette.to_json().split()) if header.palette else "",
        "SAT2MAP_CLASSES": options.classes.name if options.classes else "",
    }
    about = {name: value for name, value in tags.items() if value}

    def tagged(layer: str) -> dict[str, str]:
        return {**about, "SAT2MAP_LAYER": layer}

    bands = header.generator.target_bands
    layers = [map_layer(output, bands, raster.mask_kind, raster.nodata, tagged("map"))]
    if options.classes is not None:
        layers.append(side_layer("classes", options.classes, header.palette, tagged("classes")))
    if options.confidence is not None:
        layers.append(side_layer("confidence", options.confidence, None, tagged("confidence")))
    return layers


def describe_job(
    source: str | Path, raster: Raster, area: Area, translator: Translator, layers: list[Layer]
) -> dict[str, Any]:
    """Return all that decides the result, for `ResumeStore`."""
    path = Path(source)
    stat = path.stat() if path.exists() else None
    return {
        "source": [raster.name, stat.st_size if stat else 0, stat.st_mtime_ns if stat else 0],
        "size": [raster.grid.height, raster.grid.width],
        "window": [area.top, area.left, area.bottom, area.right],
        "outputs": [str(layer.path) for layer in layers],
        "device": translator.engine.name,
        "settings": dict(layers[0].tags),
    }
