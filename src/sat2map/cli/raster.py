"""What `translate` does with georeferenced rasters, and their options."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from sat2map.cli.flags import MAX_GSD, MIN_GSD, Bands, Scale, parse_numbers
from sat2map.cli.terminal import counted, print_error, print_notes, say, unit_bar, working
from sat2map.errors import DataError, SettingsError
from sat2map.extras import require_geo
from sat2map.files import lock_output, refuse_existing, sha256_of
from sat2map.settings import Compression

if TYPE_CHECKING:
    from sat2map.geo.raster_job import RasterOptions
    from sat2map.inference import Translator
    from sat2map.inference.image_files import Job

Leading = Parameter(allow_leading_hyphen=True)  # their numbers may be negative


@Parameter(name="*", group=Group("Options for rasters", sort_key=2))
@dataclass(frozen=True)
class RasterArgs:
    """Options of `translate` that are for georeferenced rasters.

    Attributes:
        window: Part of a raster: column, row, width, height (px).
        bbox: Part of a raster: left, bottom, right, top.
        bbox_crs: CRS of the box, such as EPSG:4326; without it, the raster's, and longitude and latitude for
            services of tiles or maps.
        aoi: Vector file with polygons: only what lies in them is translated, the rest is masked.
        zoom: Zoom level of a service's tiles.
        asset: Which asset of a STAC item.
        crs: CRS of the rasters, such as EPSG:32633, where the files name none or a wrong one.
        resolution: Metres per pixel of the map, at which the model runs too if it was trained to work there;
            auto: the model runs at its own resolution, and the map has the raster's grid; source: both have
            the raster's pixels.
        confidence: File for a raster of the confidence of each pixel, in percent; eight times slower with a
            model that draws images, such as those of the paper.
        classes: File for a raster of class numbers.
        probabilities: File for a raster of the probability of each class, in percent, a band each.
        stac: Write a STAC item of the outputs beside the map, NAME.json.
        compress: Compression of the outputs; webp is lossless too.
        vectors: File for vectors of the map too: .gpkg, .parquet, .fgb, .geojson, .shp or .pmtiles.
        resume: Continue an interrupted run: finished files and rows are kept.
    """

    bands: Bands = None
    scale: Scale = None
    window: Annotated[str | None, Leading] = None
    bbox: Annotated[str | None, Leading] = None
    bbox_crs: str | None = None
    aoi: Path | None = None
    zoom: int | None = None
    asset: str | None = None
    crs: str | None = None
    resolution: Annotated[str, Leading] = "auto"
    confidence: Path | None = None
    classes: Path | None = None
    probabilities: Path | None = None
    stac: bool = False
    compress: Compression = "deflate"
    vectors: Path | None = None
    resume: bool = False

    def any_given(self) -> bool:
        """Whether one of them was given that has no meaning for an image."""
        return replace(self, resume=False, scale=None) != RasterArgs()

    def limits(self) -> tuple[float, ...] | None:
        """Parse the limits that become black and white.

        Raises:
            SettingsError: They cannot be read.
        """
        return parse_numbers(self.scale, float, "scale", "0,3000")

    def options(self, *, overwrite: bool, gsd: float | None = None) -> RasterOptions:
        """Parse those that hold several numbers.

        Args:
            overwrite: Whether files may be replaced.
            gsd: Metres per pixel of rasters that have no CRS.

        Raises:
            SettingsError: One cannot be read.
            MissingExtraError: The `geo` extra is not installed.
        """
        require_geo("a georeferenced raster")
        from sat2map.geo.raster_job import RasterOptions

        parsed: dict[str, Any] = {
            "bands": parse_numbers(self.bands, int, "bands", "1,2,3"),
            "scale": self.limits(),
            "window": parse_numbers(
                self.window, int, "window", "0,0,1024,1024 (column, row, width, height)", 4
            ),
            "bbox": parse_numbers(
                self.bbox, float, "bbox", "399000,5810000,401000,5812000 (left, bottom, right, top)", 4
            ),
            "resolution": parse_resolution(self.resolution),
        }
        given = {name: value for name, value in vars(self).items() if name != "vectors"}
        return RasterOptions(**{**given, **parsed}, gsd=gsd, overwrite=overwrite)


def parse_resolution(text: str) -> float | Literal["auto", "source"]:
    """Read `auto`, `source`, or metres per pixel.

    Raises:
        SettingsError: It is neither, or no sensible number.
    """
    if text == "auto":
        return "auto"
    if text == "source":
        return "source"
    try:
        metres = float(text)
    except ValueError:
        metres = 0
    if not MIN_GSD <= metres <= MAX_GSD:
        raise SettingsError(
            f"'{text}' is no resolution",
            hint=f"give metres per pixel such as 0.5 ({MIN_GSD:g} to {MAX_GSD:g}), or auto, or source",
            setting="resolution",
        )
    return metres


def translate_rasters(
    translator: Translator,
    model: Path,
    jobs: Sequence[Job],
    options: RasterOptions,
    vectors: Path | None = None,
) -> int:
    """Translate georeferenced rasters into Cloud-Optimized GeoTIFFs on the same grid.

    One that cannot be translated is reported, and does not stop the others.

    Args:
        translator: The model.
        model: Its file.
        jobs: From `plan_jobs`.
        options: How each is translated.
        vectors: Where vectors of the map go as well.

    Returns:
        How many failed.

    Raises:
        Sat2MapError: The next ones would fail as well: an output cannot be written, the model does not fit.
    """
    require_geo("a georeferenced raster")
    single = [*options.side_outputs, *(["vectors"] if vectors else [])]
    if len(jobs) > 1 and single:
        which = single[0]
        raise SettingsError(
            f"one file of {which} for {len(jobs)} rasters",
            hint="translate one raster at a time",
            setting=which,
        )
    if vectors is not None:
        from sat2map.geo.vector_output import check_suffix

        check_suffix(vectors)
        refuse_existing(vectors, overwrite=options.overwrite)
    about = (model.name, sha256_of(model))
    scales: dict[str, tuple[float, ...]] = {}
    if len(jobs) > 1 and translator.header.limits is None:
        from sat2map.geo.shared_scale import shared_scales

        count = translator.header.generator.source_bands
        scales, notes = shared_scales([job.raster for job in jobs], options, count)
        print_notes(notes)
    failed = 0
    for job in jobs:
        try:
            scale = scales.get(job.raster, options.scale)
            # From the start, so that a second writer of the vectors is refused before its work.
            with nullcontext() if vectors is None else lock_output(vectors):
                _translate_raster(translator, about, job, replace(options, scale=scale))
            if vectors is not None:
                _vectorize(job.output, vectors, overwrite=options.overwrite)
        except (DataError, SettingsError) as error:
            if len(jobs) == 1:
                raise
            print_error(str(error), error.setting)
            failed += 1
    return failed


def _translate_raster(
    translator: Translator, model: tuple[str, str], job: Job, options: RasterOptions
) -> None:
    from sat2map.geo.translate_raster import translate_raster
    from sat2map.geo.write import check_earlier_result

    if options.resume and not options.overwrite and job.output.exists():
        check_earlier_result(job.output, job.raster, model[1])
        print_notes([f"{job.output} is finished, and was left as it is"])
        return

    def note(text: str) -> None:
        print_notes([text])

    try:
        with unit_bar(job.source.name, "tiles") as progress:
            result = translate_raster(
                translator, job.raster, job.output, options, model=model, progress=progress, note=note
            )
    except KeyboardInterrupt:
        print_notes(["interrupted: the finished rows are kept; --resume continues with the rest"])
        raise
    speed = result.tiles / result.seconds if result.seconds else 0
    share = result.network_seconds / result.seconds if result.seconds else 0
    tiles = counted(result.tiles, "tile")
    say(f"written to {job.output} ({tiles}, {speed:.1f} a second, {share:.0%} of it the network)")


def _vectorize(raster: Path, output: Path, *, overwrite: bool) -> None:
    from sat2map.geo.vectorize import vectorize_raster

    with working(f"vectorizing {raster.name}"):
        result = vectorize_raster(raster, output, overwrite=overwrite)
    print_notes(result.notes)
    say(f"written to {output} ({', '.join(f'{count} {layer}' for layer, count in result.features.items())})")
