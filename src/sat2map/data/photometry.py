"""Random changes of a photo that leave its map as it is: light, season, haze, noise, resolution, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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
        coarser: Octaves that a degraded photo loses at most; it is enlarged again.
        degraded: Share of the photos that lose resolution or focus.
        jpeg: Share of the photos that are compressed, at a quality of 30 to 95.
    """

    exposure: tuple[float, float] = (-0.3, 0.8)
    gain: float = 0.15
    offset: float = 0.1
    gamma: float = 0.4
    season: float = 0.1
    haze: float = 0.3
    noise: float = 0.06
    blur: float = 1.2
    coarser: float = 1.4
    degraded: float = 0.4
    jpeg: float = 0.3


def jitter_photos(source: Tensor, jitter: PhotoJitter, generator: torch.Generator) -> Tensor:
    """Change each photo of a batch at random.

    Args:
        source: float (n, bands, h, w) in [-1, 1]; colours are mixed and compressed where bands are 3.
        jitter: How far.
        generator: Source of randomness, on the CPU.

    Returns:
        The same shape, clipped to [-1, 1].
    """
    n, bands = source.shape[:2]
    device = source.device

    def drawn(*shape: int) -> Tensor:
        """Return numbers in [-1, 1], float (n, *shape)."""
        return (2 * torch.rand(n, *shape, generator=generator) - 1).to(device, non_blocking=True)

    def chosen(share: float) -> Tensor:
        return torch.rand(n, generator=generator) < share

    dark, bright = jitter.exposure
    exposure = torch.exp2(dark + (bright - dark) * (drawn(1, 1, 1) + 1) / 2)
    gain = 1 + jitter.gain * drawn(1, 1, 1) + jitter.gain / 3 * drawn(bands, 1, 1)
    offset = jitter.offset * drawn(1, 1, 1) + jitter.offset / 3 * drawn(bands, 1, 1)
    x = source
    if bands == 3:
        matrix = jitter.season * drawn(3, 3)
        matrix = torch.eye(3, device=device) + matrix - matrix.mean(dim=2, keepdim=True)
        x = torch.einsum("nij,njhw->nihw", matrix, x)
    x = ((x + 1) * exposure - 1).clamp(-1, 1)
    x = (x * gain + offset).clamp(-1, 1)
    x = 2 * ((x + 1) / 2).clamp_min(1e-4) ** torch.exp2(jitter.gamma * drawn(1, 1, 1)) - 1
    airlight, share = 0.6 + 0.2 * drawn(1, 1, 1), jitter.haze * drawn(1, 1, 1).clamp_min(0)
    x = torch.lerp(x, airlight.expand_as(x), share.expand_as(x))
    x = _degrade(x, jitter, chosen(jitter.degraded), torch.rand(n, 2, generator=generator))
    noise = torch.randn(x.shape, generator=generator).to(device, non_blocking=True)
    x = x + noise * jitter.noise * drawn(1, 1, 1).clamp_min(0)
    if bands == 3 and x.shape[2] % 8 == x.shape[3] % 8 == 0:
        compressed = chosen(jitter.jpeg).nonzero().flatten().to(device)
        quality = 62.5 + 32.5 * drawn()
        x[compressed] = compress_jpeg(x[compressed], quality[compressed])
    return x.clamp(-1, 1)


def _degrade(x: Tensor, jitter: PhotoJitter, chosen: Tensor, drawn: Tensor) -> Tensor:
    """Blur the chosen photos, or make them coarser and enlarge them again."""
    height, width = x.shape[2:]
    rows = list(torch.split(x, 1))
    for i in range(len(rows)):
        if not chosen[i]:
            continue
        kind, amount = drawn[i].tolist()
        if kind < 0.7:
            factor = 2 ** (jitter.coarser * amount)
            size = [max(8, round(height / factor)), max(8, round(width / factor))]
            small = F.interpolate(rows[i], size, mode="bilinear", antialias=True)
            rows[i] = F.interpolate(small, [height, width], mode="bicubic")
        else:
            rows[i] = blur(rows[i], jitter.blur * amount)
    return torch.cat(rows)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Blur float (n, bands, h, w) by a Gaussian of standard deviation `sigma` (px)."""
    radius = max(1, round(3 * sigma))
    taps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-taps.square() / (2 * max(sigma, 1e-3) ** 2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    n, bands, height, width = x.shape
    padded = F.pad(x, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded.reshape(n * bands, 1, *padded.shape[2:]), kernel.unsqueeze(2))
    return F.conv2d(rows, kernel.unsqueeze(3)).view(n, bands, height, width)


def compress_jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """Do to photos what JPEG does at a quality, without its entropy coding; chroma is not subsampled.

    Args:
        x: float (n, 3, h, w) in [-1, 1]; h and w are multiples of 8.
        quality: float (n,) in 1..100, as libjpeg scales its tables.

    Returns:
        float (n, 3, h, w).
    """
    n, _, height, width = x.shape
    rgb = (x + 1) * 127.5
    red, green, blue = rgb.unbind(1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    blue_difference, red_difference = (blue - y) * 0.5643, (red - y) * 0.7133
    planes = torch.stack([y - 128, blue_difference, red_difference], dim=1)
    k = torch.arange(8, device=x.device, dtype=x.dtype)
    cosines = torch.cos((2 * k.view(1, 8) + 1) * k.view(8, 1) * torch.pi / 16) / 2
    cosines[0] /= 2**0.5
    blocks = planes.view(n, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    frequencies = cosines @ blocks @ cosines.T
    tables = torch.tensor([_LUMINANCE, _CHROMINANCE, _CHROMINANCE], device=x.device, dtype=x.dtype)
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(n, 1, 1, 1, 1, 1)
    steps = (tables.view(1, 3, 1, 1, 8, 8) * factor).round().clamp(1, 255)
    blocks = cosines.T @ ((frequencies / steps).round() * steps) @ cosines
    y, blue_difference, red_difference = blocks.transpose(3, 4).reshape(n, 3, height, width).unbind(1)
    y = y + 128
    red, blue = y + red_difference / 0.7133, y + blue_difference / 0.5643
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], dim=1) / 127.5 - 1
