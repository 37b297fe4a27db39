"""Splits by ground: blocks that are never divided, with a buffer between train and val."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sat2map.errors import SettingsError
from sat2map.inference.tiling import Area

Block = tuple[int, int]


@dataclass(frozen=True)
class BlockSplit:
    """How ground is split.

    Attributes:
        side: Side of a block (px); blocks begin at pixel (0, 0).
        buffer: Least distance between a train and a val tile (px).
        val_fraction: Share of the tiles that go to val, by whole blocks; 0 for none.
        seed: Seed of the choice of blocks.
    """

    side: int
    buffer: int
    val_fraction: float
    seed: int

    def check(self, height: int, width: int) -> None:
        """Refuse ground that is one block.

        Raises:
            SettingsError: It is.
        """
        if self.val_fraction and max(height, width) <= self.side:
            raise self._one_block("the raster is")

    def block_of(self, area: Area) -> Block:
        """Return the block in which a tile's corner lies."""
        return area.top // self.side, area.left // self.side

    def splits(self, tiles: Sequence[Area]) -> list[Literal["train", "val"] | None]:
        """Return each tile's split, or None for a tile within half the buffer of the other split's ground.

        Raises:
            SettingsError: All tiles lie in one block.
        """
        if not self.val_fraction:
            return ["train"] * len(tiles)
        counts = Counter(self.block_of(tile) for tile in tiles)
        if len(counts) == 1:
            raise self._one_block(f"all {len(tiles)} tiles that show something lie in")
        val = self._choose(counts)
        return [self._split_of(tile, val, counts.keys() - val) for tile in tiles]

    def _one_block(self, what: str) -> SettingsError:
        return SettingsError(
            f"{what} one block of {self.side} px, which cannot be split into train and val",
            hint="use smaller blocks, or a val_fraction of 0",
            setting="block",
        )

    def _choose(self, tiles: Counter[Block]) -> set[Block]:
        """Choose blocks by a hash of their numbers until they have their share: at least one, not all."""
        wanted = self.val_fraction * tiles.total()
        chosen: list[Block] = []
        for block in sorted(tiles, key=self._hash):
            if sum(tiles[b] for b in chosen) + tiles[block] / 2 <= wanted and len(chosen) < len(tiles) - 1:
                chosen.append(block)
        return set(chosen or sorted(tiles, key=tiles.__getitem__)[:1])

    def _hash(self, block: Block) -> bytes:
        return hashlib.blake2b(f"{self.seed}/{block}".encode()).digest()

    def _split_of(self, tile: Area, val: set[Block], train: set[Block]) -> Literal["train", "val"] | None:
        around = (self.buffer + 1) // 2
        rows = range((tile.top - around) // self.side, (tile.bottom - 1 + around) // self.side + 1)
        columns = range((tile.left - around) // self.side, (tile.right - 1 + around) // self.side + 1)
        touched = {(row, column) for row in rows for column in columns}
        if touched & val and touched & train:
            return None
        return "val" if touched & val else "train"
