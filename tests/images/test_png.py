"""Tests of sat2map.images.png against Pillow's reading."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.images.png import encode_png, png_parts
from sat2map.synthetic.towns import draw_town

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def by_pillow(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def noisy(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("flat", [0, 0.4, 1])
@pytest.mark.parametrize("bands", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (40, 33), (600, 2), (513, 17)])
def test_every_size_and_number_of_bands_comes_back_as_it_was(
    size: tuple[int, int], bands: int, flat: float
) -> None:
    pixels = noisy(*size, bands)
    pixels[:, : round(flat * size[1])] = 7
    content = encode_png(pixels)
    with Image.open(io.BytesIO(content)) as image:
        image.verify()  # the checksums
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == MODES[bands]
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_a_part_of_a_larger_array_is_written_as_a_copy_of_it_is() -> None:
    part = noisy(100, 80, 3)[3:90, 5:77, ::-1]
    assert encode_png(part) == encode_png(part.copy())


def test_what_a_network_draws_is_no_larger_than_by_pillow() -> None:
    smooth = np.asarray(Image.fromarray(noisy(10, 10, 3)).resize((320, 320), Image.Resampling.BICUBIC))
    drawn = np.clip(smooth + np.random.default_rng(1).normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
    assert len(encode_png(drawn)) <= len(by_pillow(drawn))


def test_a_drawn_map_is_hardly_larger_than_by_pillow() -> None:
    drawn = draw_town(3, size=256, gsd=2.1).target
    assert len(encode_png(drawn)) < 1.2 * len(by_pillow(drawn))


def test_one_colour_takes_next_to_nothing() -> None:
    assert len(encode_png(np.full((512, 512, 4), 200, np.uint8))) < 10_000


def test_a_large_picture_is_packed_piece_by_piece() -> None:
    pieces = [len(piece) for piece in png_parts(noisy(1024, 64, 3))]
    assert max(pieces) < 0.5 * sum(pieces)
