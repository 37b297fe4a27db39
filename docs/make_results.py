"""Writes the figures of docs/results.json into README, model card and benchmark, between their markers.

Run it as `python docs/make_results.py`; with `--check` it only says whether the pages are up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results.json"
BENCH, SCALE = ROOT / "docs" / "bench.json", ROOT / "docs" / "scale.json"
PAGES = [ROOT / "README.md", ROOT / "docs" / "model-card.md", ROOT / "docs" / "benchmark.md"]
BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
CLASSES = ("land", "building", "road", "park", "water", "highway")
COLUMNS = ("model", "constant map", "nearest training tile", "truth as JPEG")
ROWS = {
    "mean class IoU": "mean_iou",
    "road F1, 2 px": "road_f1",
    "edge F1, 2 px": "edge_f1",
    "boundary F1, 1 px": "boundary_f1",
    "buildings shown": "building_recall",
    **{f"IoU {name}": f"iou_{name}" for name in CLASSES},
    "crispness": "crispness",
    "sliced Wasserstein ×10³ (lower is better)": "swd",
    "PSNR, dB": "psnr",
    "SSIM": "ssim",
}
DIGITS = {"swd": 1, "psnr": 2}

# What the bundled model was asked to reach: (what, score, least value) at 600 px and at 256 px, by scale, and
# the other way round (what, most).
NATIVE_TARGETS = (
    ("mean class IoU, photos of 600 px as they are", "mean_iou", 0.60),
    ("IoU building, 600 px", "iou_building", 0.49),
    ("IoU road, 600 px", "iou_road", 0.54),
    ("IoU highway, 600 px", "iou_highway", 0.45),
)
SMALL_TARGETS = (
    ("mean class IoU, the same photos compared at 256 px", "mean_iou", 0.60),
    ("road F1, 2 px at 256 px", "road_f1", 0.88),
)
SCALE_TARGETS = {"0.45 m per pixel": 0.59, "1.5 m per pixel": 0.57, "2.1 m per pixel": 0.54}
TIME_TARGETS = {
    "best fp32 engine": "time for a megapixel over the former network's, best fp32 engine",
    "best engine": "time for a megapixel over the former network's, best engine",
}


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each block by its name."""
    native, small = (_scores(results[name]) for name in ("native", "at_256"))
    raster, protocol = results["raster"], results["native"]["protocol"]
    processor = results["processor"]["processor"].split(" (")[0]
    where = f"{processor}, {protocol['engine']}, {results['date']}"
    six = [
        ("mean class IoU, photos as they are (600 px)", _value("mean_iou", native["model"])),
        ("mean class IoU, compared at 256 px as papers do", _value("mean_iou", small["model"])),
        (
            "IoU building, road, highway",
            ", ".join(_value(f"iou_{n}", native["model"]) for n in CLASSES[1:3] + CLASSES[5:]),
        ),
        ("road F1 within 2 px, at 256 px", _value("road_f1", small["model"])),
        (
            "buildings of a 0.3 m orthophoto of another city (IoU with its mask)",
            f"{raster['building_iou']:.3f}",
        ),
        ("pixels of that map in a colour of the palette", f"{100 * raster['crispness']:.1f} %"),
    ]
    constant = [
        _value("mean_iou", native["constant map"]),
        _value("mean_iou", small["constant map"]),
        ", ".join(_value(f"iou_{n}", native["constant map"]) for n in CLASSES[1:3] + CLASSES[5:]),
        _value("road_f1", small["constant map"]),
        "0",
        "100 %",
    ]
    headline = ["| | model | constant map |", "|---|--:|--:|"]
    headline += [
        f"| {name} | **{value}** | {other} |" for (name, value), other in zip(six, constant, strict=True)
    ]
    return {
        "headline": "\n".join(headline) + f"\n\n({where})\n",
        "native": _table(native) + f"\n{where}.\n",
        "at_256": _table(small) + f"\n{where}.\n",
        "robustness": _robustness(results["at_256"]["robustness"]),
        "raster": _raster(raster),
        "targets": _targets(results),
        "reliability": _reliability(results["native"]["reliability"]),
        "file": f"{results['bytes'] / 1e6:.1f} MB, SHA-256 `{protocol['model_sha256']}`\n",
    }


def _scores(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {row["name"]: row["scores"] for row in evaluation["rows"]}


def _value(name: str, scores: Mapping[str, float]) -> str:
    value = scores.get(name)
    return "–" if value is None else f"{value:.{DIGITS.get(name, 3)}f}"


def _table(scores: Mapping[str, Mapping[str, float]]) -> str:
    columns = [name for name in COLUMNS if name in scores]
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for label, name in ROWS.items():
        cells = [_value(name, scores[column]) for column in columns]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {label} | **{cells[0]}** | " + " | ".join(cells[1:]) + " |")
    return "\n".join(lines) + "\n"


def _robustness(rows: list[Mapping[str, Any]]) -> str:
    lines = ["| source | mean class IoU | road F1 |", "|---|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row['name']} | {_value('mean_iou', row['scores'])} | {_value('road_f1', row['scores'])} |"
        )
    return "\n".join(lines) + "\n"


def _raster(raster: Mapping[str, Any]) -> str:
    rows = {
        "IoU of buildings with the mask": f"{raster['building_iou']:.3f}",
        "share of the mask's pixels drawn as building": f"{raster['building_recall']:.3f}",
        "share of the mask's buildings shown": f"{raster['buildings_shown']:.3f}",
        "mean confidence of the pixels drawn as building": f"{raster['building_confidence']:.3f}",
        "share of them that the mask has as building": f"{raster['building_precision']:.3f}",
        "pixels within ΔE 1.5 of the palette": f"{100 * raster['crispness']:.1f} %",
    }
    return (
        "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"
    )


def _targets(results: Mapping[str, Any]) -> str:
    """Return what was asked for beside what was measured; nothing is rounded before it is compared."""
    native, small = (_scores(results[name])["model"] for name in ("native", "at_256"))
    raster = results["raster"]
    scales = {row["name"]: row["scores"] for row in results["at_256"]["robustness"]}
    bench, scale = (json.loads(path.read_text("utf-8"))["rows"] for path in (BENCH, SCALE))
    ratios = {row["name"]: row["value"] for row in bench if row["name"] in TIME_TARGETS}
    seconds = next(row["measured"] for row in scale if row["side"] == 4096)
    lines = ["| | measured | asked for | |", "|---|--:|--:|---|"]

    def ask(what: str, value: float, limit: float, form: str = "{:.4f}", *, most: bool = False) -> None:
        verdict = "met" if (value <= limit if most else value >= limit) else "short"
        bound = "at most" if most else "at least"
        asked = form.replace(".4f", ".2f").format(limit)
        lines.append(f"| {what} | {form.format(value)} | {bound} {asked} | **{verdict}** |")

    for what, name, least in NATIVE_TARGETS:
        ask(what, native[name], least)
    for what, name, least in SMALL_TARGETS:
        ask(what, small[name], least)
    ask("buildings of the Austin orthophoto against its mask, IoU", raster["building_iou"], 0.48)
    for name, least in SCALE_TARGETS.items():
        ask(f"mean class IoU at 256 px, photos resampled to {name}", scales[name]["mean_iou"], least)
    ask("pixels of the Austin map within ΔE 1.5 of the palette", 100 * raster["crispness"], 99, "{:.1f} %")
    ask("sliced Wasserstein ×10³ at 256 px", small["swd"], 49, "{:.1f}", most=True)
    ask("file", results["bytes"] / 1e6, 10, "{:.1f} MB", most=True)
    for name, what in TIME_TARGETS.items():
        ask(what, ratios[name], 0.8, "{:.2f}", most=True)
    lines.append(f"| a raster of 4096 × 4096 px at 0.3 m, two threads | {seconds:.1f} s | – | |")
    return "\n".join(lines) + "\n"


def _reliability(bins: list[Mapping[str, float]]) -> str:
    pixels = sum(found["pixels"] for found in bins)
    error = sum(found["pixels"] * abs(found["confidence"] - found["accuracy"]) for found in bins) / pixels
    lines = ["| confidence | share of the pixels | mean confidence | of those right |", "|---|--:|--:|--:|"]
    for found in bins:
        share, sure, right = (
            100 * value for value in (found["pixels"] / pixels, found["confidence"], found["accuracy"])
        )
        lines.append(
            f"| {100 * found['low']:.0f} to {100 * found['high']:.0f} % "
            f"| {share:.1f} % | {sure:.1f} % | {right:.1f} % |"
        )
    return "\n".join(lines) + f"\n\nExpected calibration error: {error:.3f}.\n"


def main() -> None:
    """Rewrite the pages, or check them."""
    if not RESULTS.exists():
        print(f"{RESULTS.relative_to(ROOT)} is missing: tools/score_release.py writes it", file=sys.stderr)
        return
    texts = blocks(json.loads(RESULTS.read_text("utf-8")))
    stale = []
    for page in PAGES:
        before = page.read_text("utf-8")
        after = BLOCK.sub(lambda found: found[1] + texts[found[2]] + found[3], before)
        if after != before:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(after, "utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"{', '.join(stale)}: run python docs/make_results.py")


if __name__ == "__main__":
    main()
