"""Data sets in tar shards, as WebDataset has them: packing, the index, opening."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sat2map.data.band_limits import measure_band_limits
from sat2map.data.beside import palette_beside
from sat2map.data.cache import open_pairs
from sat2map.data.fetch import fetch
from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.pairs import Pair, find_pairs
from sat2map.errors import DataError, SettingsError
from sat2map.files import atomic_path, atomic_write_text, cache_folder, locks, require_new_folder, sha256_of
from sat2map.settings import explain

INDEX = "shards.json"
PAIRS_A_SHARD = 512


class Shard(BaseModel):
    """One tar file.

    Attributes:
        name: Its file name, beside the index or under its `base`.
        count: Pairs in it.
        sha256: Its checksum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    count: int = Field(ge=1)
    sha256: str


class ShardIndex(BaseModel):
    """What `shards.json` holds.

    Attributes:
        format: Version of this.
        base: Address under which the shards lie; empty: beside the index.
        splits: The shards of `train`, `val` and `test`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(1, ge=1, le=1)
    base: str = ""
    splits: dict[str, list[Shard]]


@locks("output")
def pack(
    data: Path,
    output: Path,
    *,
    group_column: str | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    pairs_a_shard: int = PAIRS_A_SHARD,
    base: str = "",
) -> ShardIndex:
    """Pack a data set into tar shards, the images as they are.

    A sample is `KEY.source.EXT` and `KEY.target.EXT`, or `KEY.pair.EXT` with both side by side, so WebDataset
    reads them too. Pairs are shuffled before they are packed: a few shards together look like all of them.

    Args:
        data: As in `find_pairs`.
        output: A new folder.
        group_column: As in `find_pairs`.
        val_fraction: As in `find_pairs`.
        seed: Seed of the order, and of the split.
        pairs_a_shard: Pairs in a tar file.
        base: Address that the shards will be served from; empty: beside the index.

    Raises:
        DataError: The data cannot be used, or its sources have more than 8 bits.
        OutputError: The folder holds something, or cannot be written.
    """
    require_new_folder(output)
    if pairs_a_shard < 1:
        raise SettingsError(
            f"{pairs_a_shard} pairs in a shard", hint="use 1 or more", setting="pairs_a_shard"
        )
    found = find_pairs(data, group_column=group_column, val_fraction=val_fraction, seed=seed)
    splits: dict[str, list[Shard]] = {}
    if measure_band_limits(found["train"][:1], 3)[0] is not None:
        raise DataError(
            f"{found['train'][0].source} has more than 8 bits, and shards are read without the limits that "
            "all pairs share",
            hint="train on the folder itself",
        )
    for split, pairs in found.pairs.items():
        order = np.random.default_rng(seed).permutation(len(pairs))
        for first in range(0, len(pairs), pairs_a_shard):
            shards = splits.setdefault(split, [])
            chosen = [pairs[i] for i in order[first : first + pairs_a_shard]]
            shards.append(_write_shard(output / f"{split}-{len(shards):06d}.tar", chosen))
    palette = palette_beside(data)
    if palette is not None:
        shutil.copy(palette, output)
    index = ShardIndex(base=base, splits=splits)
    atomic_write_text(output / INDEX, index.model_dump_json(indent=1) + "\n")
    return index


def find_index(data: Path) -> Path | None:
    """Return the index of a packed data set, or None for one of another kind."""
    path = data / INDEX if data.is_dir() else data
    return path if path.name == INDEX and path.is_file() else None


def read_index(path: Path) -> ShardIndex:
    """Read an index.

    Raises:
        DataError: It is damaged, or of a newer version.
    """
    try:
        return ShardIndex.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        why = explain(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(f"{path} is no index of shards ({why}): pack the data again") from None


@dataclass(frozen=True)
class ShardReader:
    """Opens shards as the pairs that they hold."""

    index: Path
    base: str
    how: PairFormat
    workers: int

    def fingerprint(self, shards: Sequence[Shard]) -> str:
        """Return a hash of the shards' content and of how its images are read."""
        how = self.how
        what = ["shards", how.size, how.direction, how.bands, [shard.sha256 for shard in shards]]
        return hashlib.blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()

    def cache_file(self, shards: Sequence[Shard]) -> Path:
        """Return where the decoded pairs of shards are kept."""
        return cache_folder() / self.how.file_name(self.fingerprint(shards))

    def open(self, shards: Sequence[Shard]) -> PairCache:
        """Open the pairs of shards; fetch them where they are elsewhere, and decode them once.

        Raises:
            DataError: A shard is missing or damaged.
            OutputError: The cache folder cannot be written, or its disk is full.
        """
        path = self.cache_file(shards)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="shards-", dir=path.parent) as folder:
                pairs: list[Pair] = []
                for number, shard in enumerate(shards):
                    pairs += _unpack(self._ensure_local(shard, Path(folder)), Path(folder) / str(number))
                cache = open_pairs(pairs, self.how, workers=self.workers)
            path.with_name(self.how.file_name(cache.fingerprint)).replace(path)
        names = [f"{shard.name}:{i}" for shard in shards for i in range(shard.count)]
        pixels = np.load(path, mmap_mode="c")
        if len(pixels) != len(names):
            raise DataError(f"{shards[0].name} holds other than the pairs that {self.index} tells of")
        return self.how.cache_of(pixels, names, names, self.fingerprint(shards))

    def _ensure_local(self, shard: Shard, folder: Path) -> Path:
        path = self.index.parent / shard.name
        if self.base:
            path = folder / shard.name
            fetch(f"{self.base.rstrip('/')}/{shard.name}", path)
        if not path.is_file():
            raise DataError(f"{path} does not exist: copy all shards beside {self.index}")
        if sha256_of(path) != shard.sha256:
            raise DataError(
                f"{shard.name} is not the file that {self.index} tells of: fetch or pack it again"
            )
        return path


def _write_shard(path: Path, pairs: Sequence[Pair]) -> Shard:
    with atomic_path(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for number, pair in enumerate(pairs):
                key = f"{number:06d}-{re.sub(r'[^0-9A-Za-z_-]', '_', pair.name)[:60]}"
                sides = ("pair",) if pair.target is None else ("source", "target")
                for side, file in zip(sides, pair.files, strict=True):
                    content = file.read_bytes()
                    about = tarfile.TarInfo(f"{key}.{side}{file.suffix.lower()}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))
        checksum = sha256_of(temporary)
    return Shard(name=path.name, count=len(pairs), sha256=checksum)


def _unpack(path: Path, folder: Path) -> list[Pair]:
    """Unpack a shard and return its pairs, in the order of their keys."""
    folder.mkdir()
    sides: dict[str, dict[str, Path]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, rest = member.name.partition(".")
                side = rest.partition(".")[0]
                content = tar.extractfile(member)
                if content is None or "/" in member.name or side not in ("pair", "source", "target"):
                    raise DataError(f"{path} holds {member.name}, which is no part of a pair")
                sides.setdefault(key, {})[side] = folder / member.name
                (folder / member.name).write_bytes(content.read())
    except tarfile.TarError as error:
        raise DataError(f"{path} is no tar file, or a damaged one: {error}") from None
    pairs = []
    for key, files in sorted(sides.items()):
        if set(files) not in ({"pair"}, {"source", "target"}):
            raise DataError(f"{path} holds only a part of the pair {key}")
        source = files.get("pair") or files["source"]
        pairs.append(Pair(f"{path.stem}-{key}", source, files.get("target")))
    return pairs
