"""The plain way to train pix2pix: Isola et al. 2017 (appendix 6), batch 1, fp32, a DataLoader over JPEGs.

What a user would otherwise run, and what `sat2map bench` compares with. It uses nothing of sat2map:

    python benchmarks/baseline.py FOLDER_OF_SIDE_BY_SIDE_IMAGES --steps 32

It prints one JSON object: seconds of each step, and of the whole with loading.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

LOAD_SIZE, CROP_SIZE = 286, 256


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Side-by-side images, resized to 286, cropped to 256 and mirrored at random."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        both = Image.open(self.paths[i]).convert("RGB")
        width, height = both.size
        top, left = (random.randrange(LOAD_SIZE - CROP_SIZE) for _ in range(2))
        mirror = random.random() < 0.5

        def prepare(box: tuple[int, int, int, int]) -> Tensor:
            image = both.crop(box).resize((LOAD_SIZE, LOAD_SIZE), Image.Resampling.BICUBIC)
            image = image.crop((left, top, left + CROP_SIZE, top + CROP_SIZE))
            if mirror:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1

        return prepare((0, 0, width // 2, height)), prepare((width // 2, 0, width, height))


class Generator(nn.Module):
    """U-Net-256: C64-C128-C256-C512-C512-C512-C512-C512 and back, skips between layers of one size."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width] + [8 * width] * 5
        self.down = nn.ModuleList()
        for i, outputs in enumerate(channels):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if i else []
            layers.append(nn.Conv2d(channels[i - 1] if i else 3, outputs, 4, 2, 1, bias=i in (0, 7)))
            if i not in (0, 7):
                layers.append(nn.BatchNorm2d(outputs))
            self.down.append(nn.Sequential(*layers))
        self.up = nn.ModuleList()
        for i in range(7, -1, -1):
            inputs = channels[i] * (1 if i == 7 else 2)
            layers = [nn.ReLU()]
            if i == 0:
                layers += [nn.ConvTranspose2d(inputs, 3, 4, 2, 1), nn.Tanh()]
            else:
                layers += [
                    nn.ConvTranspose2d(inputs, channels[i - 1], 4, 2, 1, bias=False),
                    nn.BatchNorm2d(channels[i - 1]),
                ]
            if i in (7, 6, 5):
                layers.append(nn.Dropout(0.5))
            self.up.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = up(x)
            if skips:
                x = torch.cat([x, skips.pop()], 1)
        return x


def make_discriminator(width: int = 64) -> nn.Sequential:
    """Return the 70 px PatchGAN, C64-C128-C256-C512."""
    layers: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for inputs, outputs, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [
            nn.Conv2d(inputs * width, outputs * width, 4, stride, 1, bias=False),
            nn.BatchNorm2d(outputs * width),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def train(
    folder: Path, *, steps: int, warm_up: int, width: int, device: str, workers: int
) -> dict[str, object]:
    torch.manual_seed(0)
    generator, discriminator = Generator(width).to(device), make_discriminator(width).to(device)
    generator.apply(init)
    discriminator.apply(init)
    for_generator = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    for_discriminator = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))
    bce = F.binary_cross_entropy_with_logits
    loader = DataLoader(Pairs(folder), batch_size=1, shuffle=True, num_workers=workers)

    def step(source: Tensor, target: Tensor) -> None:
        fake = generator(source)
        on_real = discriminator(torch.cat([source, target], 1))
        on_fake = discriminator(torch.cat([source, fake.detach()], 1))
        d_loss = (bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))) / 2
        for_discriminator.zero_grad()
        d_loss.backward()  # type: ignore[no-untyped-call]
        for_discriminator.step()

        on_fake = discriminator(torch.cat([source, fake], 1))
        g_loss = bce(on_fake, torch.ones_like(on_fake)) + 100 * F.l1_loss(fake, target)
        for_generator.zero_grad()
        g_loss.backward()  # type: ignore[no-untyped-call]
        for_generator.step()
        g_loss.item()  # waits for the device, as a progress line does

    seconds: list[float] = []
    began, done = time.perf_counter(), 0
    while done < warm_up + steps:
        for source, target in loader:
            if done == warm_up:
                began = time.perf_counter()
            at = time.perf_counter()
            step(source.to(device), target.to(device))
            seconds.append(time.perf_counter() - at)
            done += 1
            if done == warm_up + steps:
                break
    total = time.perf_counter() - began
    return {"images": steps, "seconds": total, "step_seconds": seconds[warm_up:]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    options = vars(parser.parse_args())
    print(json.dumps(train(options.pop("folder"), **options)))


if __name__ == "__main__":
    main()
