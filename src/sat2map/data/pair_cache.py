"""Pairs as one array, and how they are read into it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sat2map.images.bands import Limits
from sat2map.images.palette import Palette
from sat2map.images.palette.lab import srgb_to_lab
from sat2map.images.palette.labels import IGNORED
from sat2map.settings import Direction

FORMAT = 1  # raise when what a cache file holds of an image changes
RESIZED = 2  # the same, of a resized one
PALETTE_SAMPLE = 16  # targets that are compared with a palette
NEAR = 15.0  # CIELAB distance within which a colour is that of a palette, after JPEG and antialiasing
LEAST_NEAR = 0.5  # share of the pixels of a map that must be; maps have more than 0.9, photos less than 0.2
READERS = 2  # raise when images are refused that were read: their old caches are then no longer found


@dataclass(frozen=True)
class PairCache:
    """Pairs as one array, memory-mapped.

    Attributes:
        pixels: uint8 (n, h, w, source_bands + target_bands + 1 where there are labels), in this order.
        names: The pairs' names, in the same order.
        groups: Their groups, or their names where they have none.
        source_bands: How many of the bands are the generator's input.
        fingerprint: Hash of all files and of how their images were read; names the data in a model file.
        target_bands: How many of the bands are its output; 0 where only the labels were kept.
        has_labels: Whether the last band is the label map of the target, or marks the ignored pixels alone.
    """

    pixels: NDArray[np.uint8]
    names: list[str]
    groups: list[str]
    source_bands: int
    fingerprint: str
    target_bands: int
    has_labels: bool = False

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sources(self) -> NDArray[np.uint8]:
        """Inputs of the generator, uint8 (n, h, w, source_bands)."""
        return self.pixels[..., : self.source_bands]

    @property
    def targets(self) -> NDArray[np.uint8]:
        """Outputs of the generator, uint8 (n, h, w, target_bands)."""
        return self.pixels[..., self.source_bands : self.source_bands + self.target_bands]

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Nearest palette colours of the targets, uint8 (n, h, w); 255: ignored."""
        assert self.has_labels
        return self.pixels[..., -1]

    def ignored(self, i: int) -> NDArray[np.bool_] | None:
        """Return the pixels of a pair whose truth is unknown, bool (h, w); None where there are none."""
        mask: NDArray[np.bool_] | None = self.labels[i] == IGNORED if self.has_labels else None
        return mask if mask is not None and mask.any() else None

    def sample(self, count: int) -> PairCache:
        """Return so many of the pairs, evenly spaced; all of them where there are no more."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int))
        names, groups = ([of[i] for i in chosen] for of in (self.names, self.groups))
        return replace(self, pixels=self.pixels[chosen], names=names, groups=groups)

    def ignored_share(self) -> float:
        """Return the share of all pixels whose truth is unknown, 0 to 1."""
        return (
            sum(float((one == IGNORED).mean()) for one in self.labels) / len(self) if self.has_labels else 0.0
        )

    def share_near(self, palette: Palette) -> float:
        """Return the share of target pixels that have a colour of a palette, 0 to 1, over some pairs."""
        anchors = srgb_to_lab(palette.colours)
        shares = []
        for i in np.linspace(0, len(self) - 1, min(PALETTE_SAMPLE, len(self))).astype(int):
            lab = srgb_to_lab(self.targets[i, ::4, ::4].reshape(-1, 3))
            distance = np.linalg.norm(lab[:, None] - anchors, axis=2).min(axis=1)
            shares.append(float((distance < NEAR).mean()))
        return float(np.mean(shares))


@dataclass(frozen=True)
class PairFormat:
    """How pairs are read into an array.

    Attributes:
        size: Side to which both images are resized (px); None: as they are.
        direction: Which side is the input.
        bands: Bands of source and target on disk.
        palette: Colours of the label maps; None: no label maps.
        targets: Whether the targets are kept beside their label maps.
        ignored: Whether ignored pixels are marked where there is no palette too.
        limits: Of each band of sources of more than 8 bits; None: 8 bits, or measured in each file.
    """

    size: int | None = None
    direction: Direction = "source-to-target"
    bands: tuple[int, int] = (3, 3)
    palette: Palette | None = None
    targets: bool = True
    ignored: bool = False
    limits: Limits | None = None

    @property
    def key(self) -> str:
        """What decides how images are read, as text for a hash."""
        version = FORMAT if self.size is None else RESIZED
        return json.dumps([version, self.size, self.direction, self.bands, *(self.limits or ())])

    def file_name(self, fingerprint: str) -> str:
        """Return the name of the cache file of pairs with this fingerprint."""
        colours = None if self.palette is None else self.palette.colours.tolist()
        about = json.dumps([READERS, fingerprint, colours, self.targets, self.ignored])
        return f"{hashlib.blake2b(about.encode(), digest_size=16).hexdigest()}.npy"

    @property
    def source_bands(self) -> int:
        """How many bands are the generator's input."""
        return self.bands[self.direction == "target-to-source"]

    @property
    def target_bands(self) -> int:
        """How many bands are kept of the generator's output."""
        return self.bands[self.direction != "target-to-source"] if self.targets else 0

    @property
    def has_labels(self) -> bool:
        """Whether there is a last band for labels, or for the mark of ignored pixels."""
        return self.palette is not None or self.ignored

    def cache_of(
        self, pixels: NDArray[np.uint8], names: list[str], groups: list[str], fingerprint: str
    ) -> PairCache:
        """Describe an array of pairs that were read like this."""
        bands = self.source_bands, self.target_bands
        assert pixels.shape[3] == sum(bands) + self.has_labels
        return PairCache(pixels, names, groups, bands[0], fingerprint, bands[1], self.has_labels)
