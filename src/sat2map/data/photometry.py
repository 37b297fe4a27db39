"""Random changes of a photo that leave its map as it is: light, season, haze, noise, resolution, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sat2map.data.augment import ALL

# Quantization tables of the JPEG standard (ITU-T T.81, tables K.1 and K.2), for quality 50.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# Levels of red, green and blue to Y, Cb and Cr, in rows (ITU-R BT.601, as JFIF has it).
_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772),
    (0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402),
)


@dataclass(frozen=True)
class PhotoJitter:
    """How far photos are changed; each bound is drawn from evenly, for each photo by itself.

    Attributes:
        exposure: Octaves of brightness, lowest and highest; the training photos are rather dark.
        gain: Contrast about mid-grey lies in 1 ± gain, and each band in 1 ± gain / 3 of it.
        offset: Brightness, as a share of the range [-1, 1], likewise.
        gamma: Octaves of the exponent.
        season: Entries of a colour matrix lie within this of the identity's; a grey pixel stays grey.
        haze: Largest share of airlight.
        noise: Largest standard deviation, in the range [-1, 1].
        blur: Largest standard deviation of a Gaussian blur (px).
        sharpening: Largest amount of an unsharp mask: how much of the detail finer than 1 px is added again.
        coarser: Octaves that a degraded photo loses at most; it is enlarged again.
        degraded: Share of the photos that lose resolution or focus, or are sharpened like orthophotos.
        jpeg: Share of the photos that are compressed, at a quality of 30 to 95.
    """

    exposure: tuple[float, float] = (-0.3, 1.0)
    gain: float = 0.15
    offset: float = 0.1
    gamma: float = 0.4
    season: float = 0.1
    haze: float = 0.3
    noise: float = 0.06
    blur: float = 1.2
    sharpening: float = 1.5
    coarser: float = 1.4
    degraded: float = 0.5
    jpeg: float = 0.3

    def scaled(self, strength: float) -> PhotoJitter:
        """Return all of it times `strength`, shares at most 1."""
        dark, bright = self.exposure
        scaled = {name: value * strength for name, value in vars(self).items() if name != "exposure"}
        for share in ("haze", "degraded", "jpeg"):
            scaled[share] = min(1.0, scaled[share])
        return PhotoJitter((dark * strength, bright * strength), **scaled)


def jitter_photos(
    source: Tensor,
    jitter: PhotoJitter,
    generator: torch.Generator,
    *,
    batch: int | None = None,
    rows: slice = ALL,
) -> Tensor:
    """Change each photo of a batch at random.

    Args:
        source: float (n, bands, h, w) in [-1, 1]; colours are mixed where bands are 3.
        jitter: How far.
        generator: Source of randomness, on the CPU.
        batch: How many photos are drawn for; None: as many as are given.
        rows: Which of them are given.

    Returns:
        The same shape, clipped to [-1, 1].
    """
    n, bands = source.shape[:2]
    n, device = batch or n, source.device

    def drawn(*shape: int) -> Tensor:
        """Return numbers in [-1, 1], float (rows, *shape), on the device."""
        return (2 * torch.rand(n, *shape, generator=generator) - 1)[rows].to(device, non_blocking=True)

    def chosen(share: float) -> Tensor:
        return (torch.rand(n, generator=generator) < share)[rows]

    dark, bright = jitter.exposure
    exposure = torch.exp2(dark + (bright - dark) * (drawn(1, 1, 1) + 1) / 2)
    gain = 1 + jitter.gain * drawn(1, 1, 1) + jitter.gain / 3 * drawn(bands, 1, 1)
    offset = jitter.offset * drawn(1, 1, 1) + jitter.offset / 3 * drawn(bands, 1, 1)
    matrix = torch.eye(bands, device=device).expand(len(source), bands, bands)
    if bands == 3:
        change = jitter.season * drawn(3, 3)
        matrix = matrix + change - change.mean(dim=2, keepdim=True)
    octaves, airlight = jitter.gamma * drawn(1, 1, 1), 0.6 + 0.2 * drawn(1, 1, 1)
    haze = jitter.haze * drawn(1, 1, 1).clamp_min(0)
    light = matrix, exposure, gain, offset, torch.exp2(octaves), airlight, haze
    x = torch.empty_like(source, memory_format=torch.contiguous_format)
    # One photo after the other stays in a processor's cache; a GPU takes them all at once.
    for rows_of in range(len(x)) if device.type == "cpu" else (ALL,):
        _relight(source[rows_of], x[rows_of], *(values[rows_of] for values in light))
    _degrade(x, jitter, chosen(jitter.degraded), torch.rand(n, 2, generator=generator)[rows])
    # Noise is drawn on the device, from a seed per photo: moving it there would cost more than all the rest.
    seeds = torch.randint(2**62, (n,), generator=generator)[rows].tolist()
    noise = (jitter.noise * (2 * torch.rand(n, generator=generator) - 1))[rows].tolist()
    _add_noise(x, seeds, noise)
    compressed, quality = chosen(jitter.jpeg).nonzero().flatten(), 62.5 + 32.5 * drawn()
    if device.type == "cpu":
        for i in compressed.tolist():
            x[i : i + 1] = compress_jpeg(x[i : i + 1], quality[i : i + 1])
    elif len(compressed):
        here = compressed.to(device, non_blocking=True)
        x[here] = compress_jpeg(x[here], quality[here])
    return x.clamp_(-1, 1)


def _relight(
    source: Tensor,
    x: Tensor,
    matrix: Tensor,
    exposure: Tensor,
    gain: Tensor,
    offset: Tensor,
    exponent: Tensor,
    airlight: Tensor,
    haze: Tensor,
) -> None:
    """Write photos with other colours, exposure, contrast, gamma and haze to x, float (..., bands, h, w).

    Photos lie in [-1, 1]. Each pass over them costs, so what is linear between two clamps is done in one.
    """
    torch.matmul(exposure.squeeze(-1) * matrix, source.flatten(-2), out=x.flatten(-2))
    x.add_(exposure - 1).clamp_(-1, 1)
    x.mul_(gain / 2).add_((offset + 1) / 2).clamp_(1e-4, 1)
    x.log_().mul_(exponent).exp_()  # a power: half the time of pow_
    x.mul_(2 * (1 - haze)).add_(airlight * haze + haze - 1)


def _add_noise(x: Tensor, seeds: list[int], deviations: list[float]) -> None:
    """Add normal noise to the photos of a batch in place, from a seed each, where there is to be any."""
    generator = torch.Generator(x.device)
    for photo, seed, deviation in zip(x, seeds, deviations, strict=True):
        if deviation > 0:
            noise = torch.empty_like(photo).normal_(generator=generator.manual_seed(seed))
            photo.add_(noise, alpha=deviation)


def _degrade(x: Tensor, jitter: PhotoJitter, chosen: Tensor, drawn: Tensor) -> None:
    """Blur or sharpen the chosen photos, or make them coarser and enlarge them again, in place."""
    height, width = x.shape[2:]
    for i in chosen.nonzero().flatten().tolist():
        kind, amount = drawn[i].tolist()
        photo = x[i : i + 1]
        if kind < 0.55:
            factor = 2 ** (jitter.coarser * amount)
            size = [max(8, round(height / factor)), max(8, round(width / factor))]
            small = F.interpolate(photo, size, mode="bilinear", antialias=True)
            photo.copy_(F.interpolate(small, [height, width], mode="bicubic"))
        elif kind < 0.75:
            photo.copy_(blur(photo, jitter.blur * amount))
        else:
            photo.add_(photo - blur(photo, 1.0), alpha=jitter.sharpening * amount)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Blur float (n, bands, h, w) by a Gaussian of standard deviation `sigma` (px)."""
    radius = max(1, round(3 * sigma))
    taps = torch.arange(-radius, radius + 1, dtype=x.dtype)
    weights = torch.exp(-taps.square() / (2 * max(sigma, 1e-3) ** 2))
    kernel = (weights / weights.sum()).tolist()
    height, width = x.shape[2:]
    x = F.pad(x, (radius, radius, radius, radius), mode="reflect")
    rows = _weighted_sum(kernel, [x[:, :, i : i + height] for i in range(len(kernel))])
    return _weighted_sum(kernel, [rows[:, :, :, i : i + width] for i in range(len(kernel))])


def _weighted_sum(weights: list[float], parts: list[Tensor]) -> Tensor:
    # Several times as fast as a convolution of one channel on a CPU.
    total = parts[0] * weights[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        total.add_(part, alpha=weight)
    return total


def compress_jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """Do to photos what JPEG does at a quality, without its entropy coding; chroma is not subsampled.

    Args:
        x: float (n, bands, h, w) in [-1, 1]. Three bands are red, green and blue; of other numbers each band
            is compressed as a grey photo.
        quality: float (n,) in 1..100, as libjpeg scales its tables.

    Returns:
        float (n, bands, h, w).
    """
    height, width = x.shape[2:]
    levels = (x + 1).mul_(127.5).round_()  # a JPEG begins and ends with whole levels
    if width % 8 or height % 8:  # incomplete blocks are filled up with the last pixel, as libjpeg does
        levels = F.pad(levels, (0, -width % 8, 0, -height % 8), mode="replicate")
    if x.shape[1] == 3:
        mix, tables = torch.tensor(_YCBCR, device=x.device), (_LUMINANCE, _CHROMINANCE, _CHROMINANCE)
        base = torch.tensor(
            ((128.0,), (1e-4,), (1e-4,)), device=x.device
        )  # libjpeg rounds halves of chroma down
        planes = (mix @ levels.flatten(2)).sub_(base).round_().view_as(levels)
        planes = _quantize(planes, torch.tensor(tables, device=x.device, dtype=x.dtype), quality)
        planes[:, 0] += 128
        levels = (mix.inverse() @ planes.flatten(2)).view_as(levels)
    else:
        table = torch.tensor((_LUMINANCE,), device=x.device, dtype=x.dtype)
        levels = _quantize(levels - 128, table, quality) + 128
    return levels[:, :, :height, :width].div_(127.5).sub_(1)


def _quantize(planes: Tensor, tables: Tensor, quality: Tensor) -> Tensor:
    """Round the frequencies of 8×8 blocks to multiples of a table's entries, as a quality scales them.

    Args:
        planes: float (n, planes, h, w), about 0; h and w are multiples of 8.
        tables: float (planes or 1, 8, 8).
        quality: float (n,).
    """
    n, count, height, width = planes.shape
    k = torch.arange(8, device=planes.device, dtype=planes.dtype)
    cosines = torch.cos((2 * k.view(1, 8) + 1) * k.view(8, 1) * torch.pi / 16) / 2
    cosines[0] /= 2**0.5
    waves = torch.kron(cosines, cosines)  # one product of 64 x 64 a block, not four small ones
    blocks = planes.reshape(n, count, height // 8, 8, width // 8, 8).transpose(3, 4)
    frequencies = blocks.reshape(n, count, -1, 64) @ waves.T
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(n, 1, 1, 1)
    steps = (tables.view(1, -1, 1, 64) * factor + 0.5).floor().clamp(1, 255)
    levels = frequencies.div_(steps).round_().mul_(steps) @ waves
    return levels.view(blocks.shape).transpose(3, 4).reshape(n, count, height, width)
