"""Makes the generator that ships in the package from trained ones, and writes it into its place.

Run it as `python tools/bundle.py runs/release/best.safetensors --data DIR`, then tools/record_bundled.py and
tools/score_release.py. Of several generators with a common start the weights are averaged: Izmailov et al.
2018, "Averaging Weights Leads to Wider Optima"; Wortsman et al. 2022, "Model soups". Class offsets and
temperature of a palette network are fitted on the validation pairs. The fit finds the best
offsets near none; those that were fitted for another mean may be better still: give them with `--offsets`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sat2map.evaluation import evaluate
from sat2map.evaluation.calibration import fit_class_offsets, fit_temperature
from sat2map.evaluation.evaluation_set import open_evaluation_set
from sat2map.inference import Translator
from sat2map.models.header import ModelHeader
from sat2map.models.model_file import read_header, read_weights, save_model
from sat2map.training.class_offsets import add_class_offsets

BUNDLED = Path(__file__).parents[1] / "src" / "sat2map" / "weights" / "maps.safetensors"
NOTES = (
    "Trained on the maps data set of the pix2pix paper: photos and maps of New York, 0.9 m per pixel. "
    "docs/model-card.md says what it is for and what it gets wrong."
)


def average(models: list[Path]) -> dict[str, Tensor]:
    """Return the mean of each weight and running statistic, and the last of whatever is a count."""
    every = [read_weights(model) for model in models]
    return {
        name: torch.stack([weights[name] for weights in every]).mean(0) if t.is_floating_point() else t
        for name, t in every[-1].items()
    }


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return kernels in fp16; norms and biases stay fp32, as a variance may be too large for fp16."""
    return {name: t.half() if t.dim() > 1 else t for name, t in weights.items()}


def calibrated(
    weights: dict[str, Tensor], header: ModelHeader, data: Path, offsets: list[float] | None = None
) -> tuple[dict[str, Tensor], ModelHeader]:
    """Fit class offsets, unless they are given, and the temperature on the validation pairs."""
    pairs = open_evaluation_set(header, data, "val").inputs
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"

        def opened() -> Translator:
            save_model(file, weights, header)
            return Translator.open(file, precision="fp32")

        added = np.array(offsets, np.float32) if offsets else fit_class_offsets(opened(), pairs)
        weights = add_class_offsets(weights, header, added)
        temperature = fit_temperature(opened(), pairs)
    print(f"class offsets {added.round(2).tolist()}, temperature {temperature:.3f}")
    return weights, header.model_copy(update={"temperature": temperature})


def main() -> None:
    """Average, calibrate, halve and score the weights, and put them in their place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="Several are averaged; the last has the header.")
    parser.add_argument("--data", type=Path, required=True, help="Folder or CSV of pairs.")
    parser.add_argument("--gsd", type=float, default=0.9, help="Of the pairs (metres per pixel).")
    parser.add_argument(
        "--gsd-range",
        type=float,
        nargs=2,
        default=(0.6, 2.4),
        help="Finest and coarsest that training varied.",
    )
    parser.add_argument("--offsets", type=float, nargs="+", help="Class offsets, instead of fitted ones.")
    parser.add_argument("--output", type=Path, default=BUNDLED, help="Another place, to try it.")
    args = parser.parse_args()

    facts = {"notes": NOTES, "scores": {}, "gsd": args.gsd, "gsd_range": tuple(args.gsd_range)}
    header = read_header(args.models[-1]).model_copy(update=facts)
    assert all(read_header(model).generator == header.generator for model in args.models), "unlike networks"
    weights = average(args.models)
    if header.generator.colours:
        weights, header = calibrated(weights, header, args.data, args.offsets)
    save_model(args.output, halved(weights), header)
    scores = evaluate(args.output, args.data, baselines=False).model.scores
    save_model(args.output, halved(weights), header.model_copy(update={"scores": scores}))
    print(f"mean class IoU {scores['mean_iou']:.4f}; written to {args.output}")


if __name__ == "__main__":
    main()
