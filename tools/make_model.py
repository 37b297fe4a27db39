"""Makes a model file of a training's state dict: fp16 weights and a whole header.

Run it as `python tools/make_model.py checkpoint.pt model.safetensors --key average --palette maps --gsd 0.9`.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import torch

from sat2map.images.palette import Palette
from sat2map.models.architectures.efficient_unet import pretrained
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model


def parse_args() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="File of torch.save: a state dict, or one under --key.")
    parser.add_argument("output", type=Path, help="Model file to write (*.safetensors).")
    parser.add_argument("--key", help="Key of the generator's state dict in the checkpoint.")
    parser.add_argument("--architecture", default="efficient-unet")
    parser.add_argument("--palette", default="maps", help="Name of a palette, or a JSON file.")
    parser.add_argument("--gsd", type=float, help="Metres per pixel of the input.")
    parser.add_argument(
        "--gsd-range", type=float, nargs=2, help="Lowest and highest gsd that it was trained for."
    )
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--fingerprint", default="", help="Hash of the training pairs.")
    parser.add_argument("--notes", default="")
    parser.add_argument("--from-scratch", action="store_true", help="The encoder was not pretrained.")
    return parser.parse_args()


def _halved(weight: torch.Tensor) -> torch.Tensor:
    """Return a tensor in fp16, or as it is if a number does not fit: variances may be above 65504."""
    half = weight.half()
    return half if torch.isfinite(half).all() else weight


def main() -> None:
    """Read the weights, check that they fit the network, and write the model file."""
    args = parse_args()
    weights = torch.load(args.checkpoint, weights_only=True, map_location="cpu")
    if args.key is not None:
        weights = weights[args.key]
    palette = Palette.load(args.palette)
    colours = sum(len(map_class.colours) for map_class in palette.classes)
    spec = GeneratorSpec(architecture=args.architecture, colours=colours)
    build_generator(spec).load_state_dict(weights)  # complains where they do not fit
    half = {name: _halved(w) if w.is_floating_point() else w for name, w in weights.items()}
    header = ModelHeader(
        created_with=version("sat2map"),
        generator=spec,
        image_size=None,
        gsd=args.gsd,
        gsd_range=args.gsd_range,
        palette=palette,
        temperature=args.temperature,
        steps=args.steps,
        data_fingerprint=args.fingerprint,
        notes=args.notes,
        licenses={} if args.from_scratch else {"encoder": pretrained.LICENSE},
    )
    save_model(args.output, half, header)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
