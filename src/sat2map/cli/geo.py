"""The commands that turn map rasters into other products: vectorize and tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sat2map.cli.flags import Colors, Overwrite, between, parse_numbers
from sat2map.cli.terminal import counted, print_notes, say, unit_bar, working
from sat2map.extras import require_geo


def vectorize(
    raster: Path,
    /,
    *,
    output: Path,
    palette: str | None = None,
    centre_lines: str = "road,highway",
    tolerance: Annotated[float | None, Parameter(validator=between(0, 1000))] = None,
    min_area: Annotated[float | None, Parameter(validator=between(0, 1e9))] = None,
    min_length: Annotated[float | None, Parameter(validator=between(0, 1e6))] = None,
    confidence: Path | None = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a map raster into vectors: polygons of each class, and the centre lines of roads.

    Polygons cover the map without gaps or overlaps, buildings have right angles, and roads meet at common
    nodes. Each feature has its class, area or length, mean confidence, model, source and date.

    Args:
        raster: A map that `translate` wrote, its class raster, or any RGB map.
        output: File to write: .gpkg (a layer per class), .parquet, .fgb, .geojson, .shp or .pmtiles (vector
            tiles), which have a field with the class.
        palette: Map classes; without it, those that the map names, else "maps".
        centre_lines: Names of the classes that get centre lines too.
        tolerance: How far a simplified outline may lie from the drawn one (m); without it, one pixel that the
            model saw; 0: the outlines of pixels.
        min_area: Smaller areas are merged into their neighbours (m²); without it, 20 such pixels.
        min_length: Shorter roads that meet no other are left out (m); without it, 10 such pixels.
        confidence: Raster of confidence; without it, the one that `translate` wrote with the map.

    Examples:
        sat2map vectorize map.tif --output map.gpkg
        sat2map vectorize map.tif --output map.parquet --tolerance 0.5
    """
    require_geo("vectorize")
    lines = [name for name in centre_lines.replace(" ", "").split(",") if name]
    with working(f"vectorizing {raster.name}"):
        from sat2map.geo.vectorize import vectorize_raster  # which takes about a second

        result = vectorize_raster(
            raster,
            output,
            palette=palette,
            centre_lines=lines,
            tolerance=tolerance,
            min_area=min_area,
            min_length=min_length,
            confidence=confidence,
            overwrite=overwrite,
        )
    print_notes(result.notes)
    for layer, count in result.features.items():
        say(f"{layer + ':':<24} {count}")
    say(f"written to {output}")


def tiles(
    raster: Path,
    /,
    *,
    output: Path,
    zooms: str | None = None,
    colors: Colors = None,
    overwrite: Overwrite = False,
) -> None:
    """Cut a raster into web-mercator tiles: .mbtiles, .pmtiles, or a folder of z/x/y.png.

    Args:
        raster: A map that `translate` wrote, or any raster with a CRS.
        output: Where to write; the suffix decides the format.
        zooms: Lowest and highest zoom level, such as 12-18; without it, up to the raster's resolution.

    Examples:
        sat2map tiles map.tif --output map.pmtiles
        sat2map tiles map.tif --output tiles --zooms 12-18
    """
    require_geo("tiles")
    from sat2map.geo.tiles import write_tiles

    levels = parse_numbers(zooms.replace("-", ",") if zooms else None, int, "zooms", "12-18", 2)
    with unit_bar(raster.name, "tiles") as progress:
        result = write_tiles(
            raster,
            output,
            zooms=(levels[0], levels[1]) if levels else None,
            colors=colors,
            overwrite=overwrite,
            progress=progress,
        )
    low, high = result.zooms
    say(f"written to {output} ({counted(result.count, 'tile')}, zoom {low} to {high})")
