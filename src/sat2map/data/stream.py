"""Pairs from shards in a random order that is known beforehand, a few shards at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.shards import Shard, ShardReader, read_index
from sat2map.errors import DataError
from sat2map.runtime import step_seed

GROUP = 8  # shards that are shuffled together
KEPT_BYTES = 32 * 2**30  # of decoded shards on the disk; with more, each is decoded again in every epoch


class ShardStream:
    """The training pairs of a packed data set.

    The order of an epoch follows from the seed and its number: the shards in random order, cut into groups of
    `GROUP`, and all pairs of a group in random order. So nothing has to be remembered to go on in the middle,
    and several processes find their rows by themselves. While one group is used, the next one is fetched and
    decoded.
    """

    def __init__(self, reader: ShardReader, shards: list[Shard], seed: int) -> None:
        self._reader, self._shards, self._seed = reader, shards, seed
        self._open: OrderedDict[int, Future[PairCache]] = OrderedDict()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._plan = lru_cache(maxsize=4)(self._plan_group)
        self.how = reader.how
        self.fingerprint = reader.fingerprint(shards)

    def __len__(self) -> int:
        return sum(shard.count for shard in self._shards)

    @property
    def sample(self) -> PairCache:
        """One shard's pairs; they were shuffled before they were packed, so it looks like all."""
        return self._shard(0)

    def choose(self, epoch: int, positions: range) -> NDArray[np.uint8]:
        """Return the pairs at these positions of an epoch's order, uint8 (n, size, size, bands).

        Raises:
            DataError: A shard cannot be downloaded.
        """
        rows = [self._shard(shard).pixels[row] for shard, row in self._find(epoch, positions)]
        return np.stack(rows)

    def _find(self, epoch: int, positions: range) -> Iterator[tuple[int, int]]:
        """Yield the shard and row of each position."""
        first, group = 0, 0
        order = self._order(epoch)
        while first < positions.stop:
            members = order[group * GROUP : (group + 1) * GROUP]
            count = sum(self._shards[shard].count for shard in members)
            here = range(max(positions.start, first), min(positions.stop, first + count))
            if here:
                self._fetch_ahead(order, group)
                where = self._plan(epoch, group)
                yield from (where[position - first] for position in here)
            first, group = first + count, group + 1

    def _order(self, epoch: int) -> list[int]:
        """Return the shards in the order of an epoch."""
        random = np.random.default_rng(step_seed(self._seed, "shards", epoch))
        return [int(shard) for shard in random.permutation(len(self._shards))]

    def _plan_group(self, epoch: int, group: int) -> list[tuple[int, int]]:
        """Return the pairs of a group, as shard and row, in their order."""
        members = self._order(epoch)[group * GROUP : (group + 1) * GROUP]
        pairs = [(shard, row) for shard in members for row in range(self._shards[shard].count)]
        random = np.random.default_rng(step_seed(self._seed, "pairs", epoch, group))
        return [pairs[i] for i in random.permutation(len(pairs))]

    def _fetch_ahead(self, order: list[int], group: int) -> None:
        for shard in order[group * GROUP : (group + 2) * GROUP]:
            self._ask_for(shard)

    def _ask_for(self, shard: int) -> Future[PairCache]:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            self._open[shard] = self._pool.submit(self._reader.open, [self._shards[shard]])
            self._make_room()
        return self._open[shard]

    def _shard(self, shard: int) -> PairCache:
        return self._ask_for(shard).result()

    def _make_room(self) -> None:
        """Forget the shards that were not asked for the longest, beyond two groups and `KEPT_BYTES`."""
        ready = [shard for shard, future in self._open.items() if future.done() and not future.exception()]
        held = {shard: self._open[shard].result().pixels.nbytes for shard in ready}
        for shard in ready[: max(0, len(self._open) - 2 * GROUP)]:
            if sum(held.values()) <= KEPT_BYTES:
                break
            del self._open[shard], held[shard]
            self._reader.cache_file([self._shards[shard]]).unlink(missing_ok=True)


def open_shards(
    index: Path, train: PairFormat, val: PairFormat, *, seed: int, workers: int = 0
) -> tuple[ShardStream, PairCache]:
    """Open a packed data set: the pairs to train on as a stream, those to validate on decoded.

    Raises:
        DataError: The index or a shard cannot be used, or a split is missing.
    """
    about = read_index(index)
    for split in ("train", "val"):
        if not about.splits.get(split):
            raise DataError(f"{index} lists no shards in its split '{split}': pack the data again")
    readers = {how: ShardReader(index, about.base, how, workers) for how in (train, val)}
    stream = ShardStream(readers[train], about.splits["train"], seed)
    return stream, readers[val].open(about.splits["val"])
