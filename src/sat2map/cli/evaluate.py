"""The command `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from sat2map.cli.data import download_if_named
from sat2map.cli.flags import DeviceFlag, Engine, GroupColumn, Mode, ModelFlag, Overwrite, between
from sat2map.cli.terminal import open_console, print_notes, progress_bar, say, working
from sat2map.errors import SettingsError


@Parameter(name="*", group=Group("A map on the ground", sort_key=2))
@dataclass(frozen=True)
class GroundArgs:
    """Options of `evaluate` that compare a finished map with a reference.

    Attributes:
        map: A map that `translate` wrote, its class raster, or any RGB map: compare it with a reference.
        reference: What is true: a class raster, a map in colours, a mask of one class, or vectors.
        map_class: The one class that the reference shows, such as building.
        class_column: Column of the vectors that names classes; without it, class.
        style: Style that draws the vectors: web for OpenStreetMap's tags, or a TOML file.
        palette: Classes of the map; without it, those that it names, else "maps".
        reference_palette: Classes of the reference, where they are not the map's.
        buffer: Distance within which roads count as found (m).
        difference: Write where they differ to this .tif or .gpkg, with colours for QGIS.
        overwrite: Replace it if it exists.
    """

    map: Path | None = None
    reference: Path | None = None
    map_class: Annotated[str | None, Parameter(name="--class")] = None
    class_column: str | None = None
    style: str | None = None
    palette: str | None = None
    reference_palette: str | None = None
    buffer: Annotated[float, Parameter(validator=between(0, 1000))] = 3.0
    difference: Path | None = None
    overwrite: Overwrite = False


def evaluate(
    *,
    data: Path | None = None,
    model: ModelFlag = None,
    split: str = "val",
    group_column: GroupColumn = None,
    size: Annotated[int | None, Parameter(validator=between(16, 65_536))] = None,
    json: Path | None = None,
    report: Path | None = None,
    engine: Engine = "auto",
    device: DeviceFlag = "auto",
    mode: Mode = None,
    robustness: bool = False,
    reliability: bool = False,
    against: tuple[Path, ...] = (),
    inception: Path | None = None,
    lpips: tuple[Path, Path] | None = None,
    ground: GroundArgs = GroundArgs(),
) -> None:
    """Score a model on pairs, beside a constant map; or a finished map against a reference on the ground.

    Args:
        data: Folder or CSV of pairs.
        split: Which split to score.
        size: Side at which maps are compared (px); without it, that of the sources.
        json: Write all scores to this JSON file.
        report: Write an HTML report with examples, or with map, reference and difference, to this file.
        robustness: Score degraded images and other resolutions too.
        reliability: Compare the confidence of the classes with how often they are right.
        against: Another model file, scored in the same way in a column of its own; may be repeated.
        inception: Weights of FID's Inception (pytorch-fid's .pth); adds FID and KID. Nothing is downloaded.
        lpips: Weights of AlexNet (torchvision's .pth) and of LPIPS's heads (its v0.1/alex.pth); adds LPIPS.
        ground: A map and its reference.

    Examples:
        sat2map evaluate --model runs/mine/best.safetensors --data pairs
        sat2map evaluate --data pairs --split test --report scores.html
        sat2map evaluate --map map.tif --reference houses.gpkg --class building --difference diff.tif
    """
    if ground.map is not None or ground.reference is not None:
        _compare(ground, data, json, report)
        return
    if data is None:
        raise SettingsError("there is nothing to score", hint="give pairs, or a map", setting="data")
    from sat2map.extras import require

    require("scipy", "evaluate", "train")
    download_if_named(data)
    with working("loading the networks' libraries"):
        from sat2map.evaluation import column_names, draw_examples, print_evaluation
        from sat2map.evaluation import evaluate as run_evaluation
        from sat2map.models.model import Model

    path = Model.find(model).path
    others = dict(zip(column_names(against), [Model.find(other).path for other in against], strict=True))
    with progress_bar("scoring") as progress:
        result = run_evaluation(
            path,
            data,
            split=split,
            group_column=group_column,
            size=size,
            engine=engine,
            device=device,
            mode=mode,
            robustness=robustness,
            reliability=reliability,
            against=others,
            inception=inception,
            lpips=lpips,
            progress=progress,
            report=say,
        )
    print_evaluation(result, open_console())
    if json:
        result.save(json)
    if report:
        with working("writing the report"):
            from sat2map.evaluation.report import write_evaluation_report

            write_evaluation_report(result, draw_examples(result, path, data, device=device), report)
        say(f"report:      {report}")


def _compare(ground: GroundArgs, data: Path | None, json: Path | None, report: Path | None) -> None:
    """Compare a map with a reference."""
    from sat2map.extras import require_geo

    if ground.map is None or ground.reference is None or data is not None:
        raise SettingsError(
            "pairs are scored by themselves, and a map needs a reference",
            hint="give either pairs, or a map and its reference",
            setting="reference",
        )
    require_geo("evaluate --map")
    from sat2map.assess import assess_map
    from sat2map.evaluation.report.ground_report import print_ground_scores, write_ground_report
    from sat2map.geo.reference import ReferenceOptions

    found = assess_map(
        ground.map,
        ground.reference,
        ReferenceOptions(ground.map_class, ground.class_column, ground.style, ground.reference_palette),
        palette=ground.palette,
        buffer=ground.buffer,
        difference=ground.difference,
        overwrite=ground.overwrite,
    )
    print_notes(found.scores.protocol.notes)
    print_ground_scores(found.scores, open_console())
    if json:
        found.scores.save(json)
    if ground.difference:
        say(f"difference:  {ground.difference}")
    if report:
        write_ground_report(found.scores, found.pictures, found.legend, report)
        say(f"report:      {report}")
