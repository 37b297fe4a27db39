"""The plain way to translate a raster: all of it in memory, tiles of 256 px one by one, eager fp32 PyTorch.

What people write, and what the bench compares `translate` with. Of sat2map it takes the network alone:

    python benchmarks/plain_raster.py RASTER OUTPUT --model MODEL.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
import torch

from sat2map.models.architectures.generators import build_generator
from sat2map.models.model_file import read_header, read_weights

TILE = 256  # px


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raster", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tile", type=int, default=TILE)
    arguments = parser.parse_args()
    header = read_header(arguments.model)
    network = build_generator(header.generator)
    network.load_state_dict(read_weights(arguments.model))
    network.eval()
    colours = header.palette.colours if header.palette and header.generator.colours else None
    with rasterio.open(arguments.raster) as file:
        image, profile = file.read([1, 2, 3]), file.profile
    tile = arguments.tile
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (0, -height % tile), (0, -width % tile)), mode="reflect")
    result = np.zeros_like(padded)
    with torch.no_grad():
        for top in range(0, padded.shape[1], tile):
            for left in range(0, padded.shape[2], tile):
                part = padded[:, top : top + tile, left : left + tile]
                output = network(torch.from_numpy(part)[None].float() / 127.5 - 1)[0]
                if colours is not None:
                    drawn = np.moveaxis(colours[output.argmax(dim=0).numpy()], -1, 0)
                else:
                    drawn = ((output[:3] + 1) * 127.5).clamp(0, 255).round().byte().numpy()
                result[:, top : top + tile, left : left + tile] = drawn
    profile.update(count=3, compress="deflate")
    with rasterio.open(arguments.output, "w", **profile) as file:
        file.write(result[:, :height, :width])


if __name__ == "__main__":
    main()
