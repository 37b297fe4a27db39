"""What is decided before a raster is translated: which part, at which resolution, into which layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.area_of_interest import AreaOfInterest, Clip
from sat2map.geo.find_source import find_source
from sat2map.geo.grid import window_area
from sat2map.geo.layers import Layer, SideLayer, map_layer, side_layer
from sat2map.geo.raster import Raster
from sat2map.geo.sources import Place, Source
from sat2map.images.masks import MaskKind
from sat2map.inference import Translator
from sat2map.inference.scale import MIN_SIDE
from sat2map.inference.tiling import Area
from sat2map.models.header import ModelHeader

SAME = 1.1  # resolutions that differ by less than this factor are taken for equal
COARSEST = 4.0  # a raster whose pixels are more than this many times the model's shows nothing it knows


@dataclass(frozen=True)
class RasterOptions:
    """How to translate a raster.

    Attributes:
        bands: Bands to read, from 1; None: red, green, blue, or the first ones.
        scale: Lowest and highest value, once or for each band; None: 8 bits as they are, or measured.
        window: Column, row, width and height of the part to translate.
        bbox: The same as left, bottom, right, top.
        bbox_crs: The CRS of `bbox`; None: the raster's, and longitude and latitude for services.
        aoi: Vector file with polygons: what lies outside of them is masked.
        zoom: Zoom level of a service's tiles.
        asset: Name of a STAC item's asset.
        resolution: `auto` runs the model at its own gsd and writes the map on the raster's grid; `source`
            runs it at the raster's gsd; metres per pixel write the map at that resolution, as in GDAL, and
            run the model at it too where the model was trained to work there.
        keep_grid: Write the map on the raster's grid whatever the resolution at which the model runs.
        crs: The raster's CRS, where the file names none or a wrong one.
        gsd: Its metres per pixel, where it has no CRS.
        confidence: Where to write the probability of each pixel's class, in percent.
        classes: Where to write the class numbers.
        probabilities: Where to write the probability of each class, a band each, in percent.
        stac: Write a STAC item of the outputs beside the map, NAME.json.
        compress: How the files are compressed.
        mask_kind: How the map marks missing pixels; None: as the raster does.
        overwrite: Whether files may be replaced.
        resume: Continue what an interrupted run has left.
    """

    bands: tuple[int, ...] | None = None
    scale: tuple[float, ...] | None = None
    window: tuple[int, int, int, int] | None = None
    bbox: tuple[float, float, float, float] | None = None
    bbox_crs: str | None = None
    aoi: Path | None = None
    zoom: int | None = None
    asset: str | None = None
    resolution: float | Literal["auto", "source"] = "auto"
    keep_grid: bool = False
    crs: str | None = None
    gsd: float | None = None
    confidence: Path | None = None
    classes: Path | None = None
    probabilities: Path | None = None
    stac: bool = False
    compress: str = "deflate"
    mask_kind: MaskKind | None = None
    overwrite: bool = False
    resume: bool = False

    @property
    def side_outputs(self) -> dict[SideLayer, Path]:
        """The files beside the map."""
        named: dict[SideLayer, Path | None] = {
            "classes": self.classes, "confidence": self.confidence, "probabilities": self.probabilities,
        }  # fmt: skip
        return {name: path for name, path in named.items() if path is not None}


def resolve_source(source: str | Path, options: RasterOptions) -> tuple[Source, RasterOptions]:
    """Return what is opened, and the options with the box of the area of interest, and its CRS.

    Raises:
        SettingsError: The options do not fit the source.
        DataError: The area of interest cannot be read.
        ImageError: A service or STAC item does not answer.
    """
    if options.aoi is not None:
        if options.bbox is not None or options.window is not None:
            raise SettingsError(
                "a box and an area of interest name the same thing twice",
                hint="give one of them",
                setting="aoi",
            )
        area = AreaOfInterest.read(options.aoi)
        options = replace(options, bbox=area.bbox, bbox_crs=area.crs.to_wkt())
    place = Place(options.bbox, options.bbox_crs, options.zoom, options.asset)
    found = find_source(source, place)
    if options.bbox is not None and options.bbox_crs is None:
        options = replace(options, bbox_crs=found.bbox_crs)
    return found, options


def resolve_area(raster: Raster, options: RasterOptions) -> Area:
    """Return the pixels to translate.

    Raises:
        SettingsError: The window or the box does not lie in the raster.
    """
    if options.window is not None and options.bbox is not None:
        raise SettingsError(
            "a window and a box name the same thing twice", hint="give one of them", setting="window"
        )
    if options.window is not None:
        return window_area(options.window, raster.grid, raster.name)
    if options.bbox is not None:
        return raster.grid.area_of(options.bbox, raster.name, options.bbox_crs)
    return raster.grid.whole


class Factors(NamedTuple):
    """How many times wider and higher than the raster's some pixels are."""

    across: float
    down: float


SAME_PIXELS: Final = Factors(1.0, 1.0)


@dataclass(frozen=True)
class Scales:
    """On which pixels a raster is worked on: those that the network sees, and those of the map."""

    network: Factors = SAME_PIXELS
    output: Factors = SAME_PIXELS


def resampling_factors(raster: Raster, header: ModelHeader, options: RasterOptions) -> Scales:
    """Return on which pixels to work; the raster's notes say what was decided.

    Raises:
        SettingsError: Metres are asked for of a raster without a CRS.
        ImageError: Nothing would be left of the raster.
    """
    metres, own, resolution = raster.grid.metres(), header.gsd, options.resolution
    if resolution == "source":
        return Scales()
    if metres is None:
        if resolution != "auto":
            raise SettingsError(
                f"a resolution of {resolution:g} m needs metres, but {raster.name} has no CRS",
                hint="leave it at source",
                setting="resolution",
            )
        if own is not None:
            raster.notes.append(
                f"the ground sample distance of {raster.name} is unknown, and taken to be the model's "
                f"{own:g} m per pixel; if the map looks wrong, give the file its CRS"
            )
        return Scales()
    if resolution == "auto":
        if own is None:
            return Scales()
        if max(metres) > COARSEST * own:
            raster.notes.append(
                f"a pixel of {raster.name} is {max(metres):.3g} m of ground, and this model knows pixels of "
                f"{own:g} m: it is translated as it is, and the map will mean little"
            )
            return Scales()
        wanted, output = own, SAME_PIXELS
    else:
        wanted = network_gsd(header, resolution)
        output = SAME_PIXELS if options.keep_grid else _factors(raster, metres, resolution)
    network = _factors(raster, metres, wanted)
    if network != SAME_PIXELS:
        where = "on its grid" if output == SAME_PIXELS else f"at {resolution:g} m"
        raster.notes.append(
            f"{raster.name} has pixels of {metres[0]:.3g} m: the model sees it at {wanted:g} m, and the map "
            f"is written {where}"
        )
    return Scales(network, output)


def network_gsd(header: ModelHeader, resolution: float) -> float:
    """Return the gsd to run at: that of the map if the model was trained to work there, else its own."""
    own, trained = header.gsd, header.gsd_range
    if own is None or trained is None:
        return resolution
    return resolution if trained[0] <= resolution <= trained[1] else own


def _factors(raster: Raster, metres: tuple[float, float], wanted: float) -> Factors:
    across, down = wanted / metres[0], wanted / metres[1]
    if max(across, down, 1 / across, 1 / down) < SAME:
        return SAME_PIXELS
    scaled = raster.grid.scaled(across, down)
    if min(scaled.height, scaled.width) < MIN_SIDE:
        raise ImageError(
            f"{raster.name} is {scaled.width}×{scaled.height} px at {wanted:g} m a pixel: the smallest that "
            f"can be translated is {MIN_SIDE}×{MIN_SIDE}",
            hint="the resolution source takes it as it is",
            setting="resolution",
        )
    return Factors(across, down)


def plan_layers(
    translator: Translator,
    raster: Raster,
    output: Path,
    options: RasterOptions,
    scales: Scales,
    model: tuple[str, str],
) -> list[Layer]:
    """Return the layers to write, the map first, with their tags."""
    header, palette = translator.header, translator.drawer.palette
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
        "SAT2MAP_RESOLUTION": "source"
        if scales.network == SAME_PIXELS
        else f"source x {scales.network.across:.6g}, {scales.network.down:.6g}",
        "SAT2MAP_TILES": f"{translator.grid.tile} px every {translator.grid.stride} px",
        "SAT2MAP_PALETTE": " ".join(palette.to_json().split()) if palette else "",
        "SAT2MAP_COLOURS": "exact" if translator.drawer.is_exact else "",
        "SAT2MAP_AREA": options.aoi.name if options.aoi else "",
        "SAT2MAP_CLASSES": options.classes.name if options.classes else "",
        "SAT2MAP_CONFIDENCE": options.confidence.name if options.confidence else "",
    }
    about = {name: value for name, value in tags.items() if value}

    def tagged(layer: str) -> dict[str, str]:
        return {**about, "SAT2MAP_LAYER": layer}

    kind = options.mask_kind or raster.mask_kind
    if options.aoi is not None and kind == "none":
        kind = "mask"
    layers = [map_layer(output, translator.drawer.bands, kind, raster.nodata, tagged("map"))]
    count = header.generator.classes
    names = palette.names if palette else tuple(f"class {number}" for number in range(count))
    for name, path in options.side_outputs.items():
        layers.append(
            side_layer(
                name,
                path,
                tagged(name),
                palette=palette if name == "classes" else None,
                descriptions=names if name == "probabilities" else (),
            )
        )
    return layers


def describe_job(
    raster: Raster,
    area: Area,
    translator: Translator,
    layers: list[Layer],
    scales: Scales,
    clip: Clip | None,
) -> dict[str, Any]:
    """Return everything that decides the result, for `ResumeStore`."""
    path = Path(raster.source.path)
    stat = path.stat() if not raster.remote and path.exists() else None
    return {
        "source": [raster.name, stat.st_size if stat else 0, stat.st_mtime_ns if stat else 0],
        "size": [raster.grid.height, raster.grid.width],
        "window": [area.top, area.left, area.bottom, area.right],
        "outputs": [str(layer.path) for layer in layers],
        "device": translator.engine.name,
        "settings": dict(layers[0].tags),
        "area of interest": clip.key if clip else "",
        "resolution": [*scales.network, *scales.output],
    }
