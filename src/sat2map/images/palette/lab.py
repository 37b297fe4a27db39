"""Colour arithmetic: sRGB to CIELAB, and a colour as one number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CHUNK = 1 << 16  # colours that are compared at once: they stay in the processor's cache
# sRGB to linear light, one entry per 8-bit level (IEC 61966-2-1).
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92)
# Linear sRGB to CIE XYZ, each row divided by the D65 white of the 2 degree observer.
TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])


def srgb_to_lab(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Convert sRGB colours to CIELAB (CIE 1976, D65 white, 2 degree observer).

    From uint8 (..., 3) to float32 (..., 3): L* in 0..100, then a* and b*, about -110..110.
    """
    xyz = _LINEAR[rgb] @ TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def nearest_colours(
    rgb: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Find the nearest of some colours in CIELAB (Delta E 1976; a tie goes to the first).

    For uint8 (n, 3) and colours uint8 (colours, 3), return indices of the colours, int64 (n,), and squared
    distances, float32 (n,).
    """
    nearest, least = np.zeros(len(rgb), np.int64), np.full(len(rgb), np.inf, np.float32)
    anchors = srgb_to_lab(colours)
    for start in range(0, len(rgb), _CHUNK):
        part = slice(start, start + _CHUNK)
        lab = srgb_to_lab(rgb[part])
        for number, anchor in enumerate(anchors):
            squared = ((lab - anchor) ** 2).sum(axis=-1)
            closer = squared < least[part]
            nearest[part][closer] = number
            least[part][closer] = squared[closer]
    return nearest, least


def pack_rgb(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Pack colours, uint8 (..., 3), into one number each, int32 (...): 0xRRGGBB."""
    wide = rgb.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def unpack_rgb(packed: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Undo `pack_rgb`: integers 0xRRGGBB (...) to uint8 (..., 3)."""
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)
