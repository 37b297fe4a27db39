"""Makes the generator that ships in the package from a trained one: fp16 weights, scored as they ship.

Run it as `python tools/bundle.py runs/release/best.safetensors --data DIR --group-column group`. Of several
generators with a common start the weights are averaged: Izmailov et al. 2018, "Averaging Weights Leads to
Wider Optima"; Wortsman et al. 2022, "Model soups".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sat2map.evaluation import draw_examples, evaluate, print_evaluation
from sat2map.models.model_file import read_header, read_weights, save_model
from sat2map.training.samples import HEADINGS, draw_grid

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "src" / "sat2map" / "weights" / "maps.safetensors"
FIGURE = ROOT / "docs" / "figures" / "samples.jpg"
SCORES = ROOT / "docs" / "figures" / "release.json"
NOTES = (
    "Trained on the maps data set of the pix2pix paper: photos and maps of New York, 2.1 m a pixel. "
    "docs/model-card.md tells what it is for and what it gets wrong."
)


def average(models: list[Path]) -> dict[str, Tensor]:
    """Return the mean of each weight and running statistic, and of what only counts the last."""
    every = [read_weights(model) for model in models]
    return {
        name: torch.stack([weights[name] for weights in every]).mean(0) if t.is_floating_point() else t
        for name, t in every[-1].items()
    }


def main() -> None:
    """Halve the weights, score and draw them, and put all of it in its place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="Several are averaged; the last has the header.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--group-column", help="CSV column of places.")
    args = parser.parse_args()

    header = read_header(args.models[-1])
    assert all(read_header(model).generator == header.generator for model in args.models), "unlike networks"
    halves = {name: t.half() if t.is_floating_point() else t for name, t in average(args.models).items()}
    assert all(torch.isfinite(half).all() for half in halves.values()), "a weight does not fit into fp16"
    save_model(BUNDLED, halves, header.model_copy(update={"notes": NOTES, "scores": {}}))

    evaluation = evaluate(BUNDLED, args.data, group_column=args.group_column)
    protocol = evaluation.protocol.model_copy(update={"data": args.data.parent.name})
    evaluation.model_copy(update={"protocol": protocol}).save(SCORES)
    save_model(BUNDLED, halves, header.model_copy(update={"notes": NOTES, "scores": evaluation.model.scores}))
    from rich.console import Console

    print_evaluation(evaluation, Console())
    drawn = [(e.source, e.fake, e.target) for e in draw_examples(evaluation, BUNDLED, args.data)]
    # Best, median and worst, two of each: a row a kind.
    rows = [[*left, *right] for left, right in zip(drawn[::2], drawn[1::2], strict=True)]
    Image.fromarray(draw_grid(rows, HEADINGS * 2)).save(FIGURE, quality=85, subsampling=0)


if __name__ == "__main__":
    main()
