"""The files of a raster job: finished blocks become one mosaic, and that a Cloud-Optimized GeoTIFF."""

from __future__ import annotations

from pathlib import Path

import rasterio

from sat2map.errors import OutputError
from sat2map.files import atomic_write_text, refuse_existing
from sat2map.geo.addresses import shown
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import Layer
from sat2map.geo.qgis_styles import category_names_xml, classes_qml, confidence_qml
from sat2map.geo.resume import ResumeStore
from sat2map.geo.vrt import Vrt, copy_to_cog


def write_cog(parts: ResumeStore, layer: Layer, grid: GeoGrid, compress: str = "deflate") -> Path:
    """Write a layer as a Cloud-Optimized GeoTIFF with overviews, into the parts' folder.

    Args:
        parts: Where its finished blocks are.
        layer: Which.
        grid: Its pixels on the ground.
        compress: How blocks are compressed; WebP is for colours alone, other layers are deflated then.

    Returns:
        The file; the caller gives it its final name.

    Raises:
        OutputError: It cannot be written.
    """
    finished = parts.folder / f"finished-{layer.name}.tif"
    if compress == "webp" and layer.bands != 3:
        compress = "deflate"
    mosaic = write_mosaic(parts, layer, grid)
    copy_to_cog(mosaic, finished, layer.path, average=layer.blend, compress=compress)
    return finished


def write_sidecars(layer: Layer) -> None:
    """Write beside a raster how QGIS shows it: class names and colours, or a ramp of confidence.

    GDAL keeps names of classes in .aux.xml alone; a GeoTIFF has no place for them.

    Raises:
        OutputError: A file cannot be written.
    """
    if layer.palette is not None:
        names = category_names_xml(layer.palette.names)
        atomic_write_text(layer.path.with_name(f"{layer.path.name}.aux.xml"), names)
        atomic_write_text(layer.path.with_suffix(".qml"), classes_qml(layer.palette))
    elif layer.name == "confidence":
        atomic_write_text(layer.path.with_suffix(".qml"), confidence_qml())


def write_mosaic(parts: ResumeStore, layer: Layer, grid: GeoGrid) -> Path:
    """Write a VRT of a layer's blocks; `grid` is that of all of it."""
    colours = {1: ["Gray"], 3: ["Red", "Green", "Blue"]} if not layer.descriptions else {}
    meanings = colours.get(layer.bands, ["Undefined"] * layer.bands)
    if layer.palette is not None:
        meanings = ["Palette"]
    if layer.mask_kind == "alpha":
        meanings = [*meanings, "Alpha"]
    vrt = Vrt(
        grid,
        meanings,
        nodata=layer.nodata,
        mask=layer.mask_kind == "mask",
        palette=layer.palette,
        descriptions=layer.descriptions,
        tags=layer.tags,
    )
    for area, path in parts.blocks(layer.name):
        vrt.add_file(path.name, area, mask_band=str(len(meanings) + 1))
    path = parts.folder / f"{layer.name}.vrt"
    vrt.write(path)
    return path


def check_outputs(source: str, outputs: list[Path], *, overwrite: bool) -> None:
    """Refuse outputs that would destroy something.

    Raises:
        OutputError: One is the source, exists, is no TIFF by its name, or is there twice.
    """
    for path in outputs:
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise OutputError(f"{path} must end in .tif: a raster on the ground is written as GeoTIFF")
        if outputs.count(path) > 1:
            raise OutputError(f"{path} is named for two outputs: give each its own name")
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise OutputError(f"{path} is the input: give the map another name")
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name the file in it")
        refuse_existing(path, overwrite=overwrite)


def check_earlier_result(path: Path, source: str, model_sha256: str) -> None:
    """Check that a file is the map of a source that an earlier run has finished with the same model.

    Raises:
        OutputError: It is the map of another source or model, or no map at all.
    """
    try:
        tags = tags_of(path)
    except FAILURES as error:
        raise OutputError(f"{path} exists, and is no map ({reason(error)})", setting="overwrite") from None
    if tags.get("SOURCE") != Path(shown(source)).name or tags.get("MODEL_SHA256") != model_sha256:
        raise OutputError(
            f"{path} is the map of another source or model",
            hint="choose another folder, or allow it to be replaced",
            setting="overwrite",
        )


def tags_of(path: str | Path) -> dict[str, str]:
    """Return a raster's tags that sat2map wrote, without their common prefix."""
    with rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
    return {
        name.removeprefix("SAT2MAP_"): value for name, value in tags.items() if name.startswith("SAT2MAP_")
    }
