"""Owns the command that packs a data set into shards."""

from __future__ import annotations

from pathlib import Path

import tyro


def data_pack(
    data: tyro.conf.Positional[Path],
    *,
    shards: Path,
    pairs_a_shard: int = 512,
    base: str = "",
    group_column: str | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
) -> None:
    """Pack a data set into tar shards, for training from a server or on more than the disk holds.

    Args:
        data: Folder or CSV of pairs.
        shards: New folder for the shards and their index; train with --data FOLDER.
        pairs_a_shard: Pairs in a tar file.
        base: Address that the shards will be served from, such as https://data.example.org/towns or s3://towns;
            none: they stay beside the index.
        group_column: CSV column of places; a val split made here never cuts one apart.
        val_fraction: Share of the pairs that go to val where there is no such split.
        seed: Seed of the order and of the split.
    """
    from sat2map.data.shards import pack

    index = pack(
        data,
        shards,
        group_column=group_column,
        val_fraction=val_fraction,
        seed=seed,
        pairs_a_shard=pairs_a_shard,
        base=base,
    )
    for split, files in index.splits.items():
        print(f"{split + ':':<7} {sum(file.count for file in files)} pairs in {len(files)} shards")
    print(f"next:   sat2map train --data {shards}")
