"""Small synthetic pairs, and models that need no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.images.palette import Palette
from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference import Translator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader

Pixels = NDArray[np.uint8]
SIZE = 32
MAPS = Palette.load("maps")


class FakeEngine:
    """Runs a function of uint8 images where a network would be."""

    name, streams = "a function", 1

    def __init__(self, draw: Callable[[Pixels], Pixels], header: ModelHeader) -> None:
        self.header = header
        self._draw = draw

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_unit(np.stack([self._draw(image) for image in from_unit(source)]))


class Town:
    """A folder of side-by-side pairs, 32 px a side: maps with land, a road, a park, and noise as sources."""

    def __init__(self, folder: Path, **counts: int) -> None:
        self.folder = folder
        self.pairs: dict[str, list[tuple[Pixels, Pixels]]] = {}
        for split, count in counts.items():
            rng = np.random.default_rng([count, len(split)])
            for i in range(count):
                self.add(split, rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8), self._map(rng), f"{i}")

    def add(self, split: str, source: Pixels, target: Pixels, name: str) -> None:
        (self.folder / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.hstack([source, target])).save(self.folder / split / f"{name}.png")
        self.pairs.setdefault(split, []).append((source, target))

    def truth(self, split: str = "val") -> Callable[[Pixels], Pixels]:
        """A perfect generator: it has seen the answers."""
        answers = {source.tobytes(): target for source, target in self.pairs[split]}
        return lambda source: answers[source.tobytes()]

    @staticmethod
    def _map(rng: np.random.Generator) -> Pixels:
        classes = np.full((SIZE, SIZE), MAPS.index("land"), np.uint8)
        classes[: rng.integers(4, 12), : rng.integers(4, 28)] = MAPS.index("park")
        row = rng.integers(14, 26)
        classes[row : row + 3] = MAPS.index("road")
        return MAPS.colourise(classes)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path / "town", train=6, val=5)


@pytest.fixture
def model() -> Callable[..., Translator]:
    """Make a translator of a function; further arguments go into its header."""

    def make(draw: Callable[[Pixels], Pixels], **header: Any) -> Translator:
        values = {"palette": MAPS, "image_size": SIZE, **header}
        return Translator(FakeEngine(draw, ModelHeader(generator=GeneratorSpec(depth=2), **values)))

    return make


@pytest.fixture
def make_town(tmp_path: Path) -> Callable[..., Town]:
    return lambda **counts: Town(tmp_path / "another", **counts)
