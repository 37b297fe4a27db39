"""The commands that make training pairs: drawn towns, and cuttings of rasters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sat2map.cli.flags import (
    MAX_GSD,
    MIN_GSD,
    Bands,
    Count,
    Fraction,
    Scale,
    Seed,
    Side,
    between,
    parse_numbers,
)
from sat2map.cli.terminal import counted, print_notes, progress_bar, say, unit_bar
from sat2map.extras import require_geo
from sat2map.settings import TownLayout


def synth(
    output: Path,
    *,
    count: Count = 200,
    size: Annotated[int, Parameter(validator=between(32, 8192))] = 256,
    seed: Seed = 0,
    val_fraction: Fraction = 0.2,
    layout: TownLayout = "side-by-side",
    gsd: Annotated[float, Parameter(validator=between(0.3, 4.2))] = 0.9,
    polygons: bool = False,
    georeferenced: bool = False,
) -> None:
    """Draw synthetic towns: pairs of an aerial image and its map.

    Args:
        output: Folder for the pairs.
        count: How many pairs.
        size: Side of each image (px).
        val_fraction: Share of the pairs that go to val/.
        layout: One file a pair, or a folder for each side.
        gsd: Ground sample distance (metres per pixel).
        polygons: Write the true outlines of all that the maps show, too, as GeoJSON.
        georeferenced: Draw georeferenced GeoTIFFs instead: an orthophoto and its map.

    Examples:
        sat2map data synth towns --count 50
    """
    if georeferenced:
        require_geo("data synth --georeferenced")
        from sat2map.geo.scenes import write_scenes

        with progress_bar("drawing scenes") as progress:
            written = write_scenes(output, count=count, size=size, seed=seed, gsd=gsd, progress=progress)
        say(f"{counted(count, 'scene')} ({counted(len(written), 'file')}) drawn in {output}")
        return
    from sat2map.synthetic.towns import write_towns

    with progress_bar("drawing towns") as progress:
        written = write_towns(
            output,
            count=count,
            size=size,
            seed=seed,
            val_fraction=val_fraction,
            layout=layout,
            gsd=gsd,
            polygons=polygons,
            progress=progress,
        )
    say(f"{counted(count, 'pair')} ({counted(len(written), 'file')}) drawn in {output}")


def from_rasters(
    *,
    source: str,
    output: Path,
    target: str | None = None,
    vectors: Path | None = None,
    style: Path | None = None,
    size: Side = 256,
    stride: Annotated[int | None, Parameter(validator=between(1, 65_536))] = None,
    resolution: Annotated[float | None, Parameter(validator=between(MIN_GSD, MAX_GSD))] = None,
    bands: Bands = None,
    scale: Scale = None,
    bbox: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    bbox_crs: str | None = None,
    aoi: Path | None = None,
    zoom: int | None = None,
    asset: str | None = None,
    val_fraction: Fraction = 0.15,
    block: Annotated[int | None, Parameter(validator=between(1, 10_000_000))] = None,
    buffer: Annotated[int | None, Parameter(validator=between(0, 10_000_000))] = None,
    seed: Seed = 0,
) -> None:
    """Cut training pairs from an orthophoto and a map, or vectors drawn in a style.

    Args:
        source: The orthophoto: whatever GDAL reads, a STAC item, or a service of tiles
            (https://host/{z}/{x}/{y}.jpg), a WMS or a WMTS.
        output: New folder for the pairs.
        target: Map raster of the same area, in any CRS.
        vectors: Vectors of the area instead: .gpkg, .geojson, .osm.pbf, .osm, .shp, .parquet, or a folder of
            Overture's GeoParquet files.
        style: TOML file that says how vectors are drawn, or web or overture, which come with the package;
            without it, web.
        size: Side of a tile (px).
        stride: Step from one tile to the next (px); without it, the size.
        resolution: Metres per pixel of the tiles; without it, those of the orthophoto.
        bbox: Part of the orthophoto: left, bottom, right, top.
        bbox_crs: CRS of the box; without it, the orthophoto's, and longitude and latitude for services.
        aoi: Vector file with polygons: only what lies in them is cut.
        zoom: Zoom level of a service's tiles.
        asset: Which asset of a STAC item.
        val_fraction: Share of the area that goes to val/.
        block: Side of the blocks that go to train or val as a whole (px); without it, four tiles.
        buffer: Least distance between train and val tiles (px); without it, a quarter of a tile.

    Examples:
        sat2map data from-rasters --source ortho.tif --target map.tif --output pairs
        sat2map data from-rasters --source ortho.tif --vectors town.osm.pbf --output pairs
    """
    require_geo("data from-rasters")
    from sat2map.geo.dataset import PairOptions, write_pairs
    from sat2map.geo.sources import Place

    box = parse_numbers(bbox, float, "bbox", "13.37,52.51,13.40,52.53 (left, bottom, right, top)", 4)
    options = PairOptions(
        size=size,
        stride=size if stride is None else stride,
        resolution=resolution,
        bands=parse_numbers(bands, int, "bands", "1,2,3"),
        scale=parse_numbers(scale, float, "scale", "0,3000"),
        val_fraction=val_fraction,
        block=4 * size if block is None else block,
        buffer=size // 4 if buffer is None else buffer,
        seed=seed,
        place=Place((box[0], box[1], box[2], box[3]) if box else None, bbox_crs, zoom, asset),
        aoi=aoi,
    )
    printed: list[str] = []

    def note(text: str) -> None:
        printed.append(text)
        print_notes([text])

    with unit_bar(Path(source).name, "tiles") as progress:
        result = write_pairs(
            source, output, options, target=target, vectors=vectors, style=style, progress=progress, note=note
        )
    print_notes(result.notes[len(printed) :])
    say(f"{counted(result.train, 'pair')} to train on and {result.val} to validate on, in {output}")
    say(f"left out: {result.nodata} with nodata, {result.empty} empty, {result.border} between train and val")
    say(f"next: sat2map data check {output}")
