"""Pairs of a data set: finding and splitting them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sat2map.data.left_out import LeftOut, describe_contents, find_left_out, is_side_by_side
from sat2map.data.pair_table import CSV_NAME, SPLITS, read_pair_rows, table_of
from sat2map.errors import DataError, nearest
from sat2map.images.pixels import IMAGE_SUFFIXES

# Folder names of the two sides, as the common pix2pix and CycleGAN code bases call them.
SIDES = (("source", "target"), ("A", "B"), ("trainA", "trainB"), ("valA", "valB"), ("testA", "testB"))


@dataclass(frozen=True)
class Pair:
    """Where one pair lies on disk.

    Attributes:
        name: Unique in its split; used for file names and messages.
        source: The source image, or the side-by-side image that holds both.
        target: The target image; None where `source` holds both.
        group: The place it shows, as a CSV says; pairs of one group are never split apart.
    """

    name: str
    source: Path
    target: Path | None
    group: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that make up the pair."""
        return (self.source,) if self.target is None else (self.source, self.target)

    @property
    def place(self) -> str:
        """Its group, or its name where it has none."""
        return self.name if self.group is None else self.group


@dataclass(frozen=True)
class Splits:
    """A data set's pairs by split.

    Attributes:
        pairs: `train`, `val` and `test`, each with its pairs; a split that is not there is missing.
        unpaired_files: Files that have no partner.
        left_out: Other images of the folder that no pair uses, and why.
        split_by_folder: Whether a CSV has no split column, and the names of folders decide.
        made: True where there was no val split and one was cut from train.
    """

    pairs: dict[str, list[Pair]]
    unpaired_files: list[Path]
    made: bool = False
    left_out: list[LeftOut] = field(default_factory=list)
    split_by_folder: bool = False

    def __getitem__(self, split: str) -> list[Pair]:
        if not self.pairs.get(split):
            there = [name for name, pairs in self.pairs.items() if pairs]
            raise DataError(f"the data set has no pairs in its split '{split}', {nearest(split, there)}")
        return self.pairs[split]


def find_pairs(
    data: Path, *, group_column: str | None = None, val_fraction: float = 0.1, seed: int = 0
) -> Splits:
    """Find the pairs of a data set in any of the layouts that docs/data.md shows.

    Args:
        data: A folder, or a CSV file with columns `source` and `target` (or `file`, side by side), and
            perhaps `split` and a group column. A folder may hold such a file as `pairs.csv`.
        group_column: Column of the CSV that names the place; a split made here keeps places whole.
        val_fraction: Share of the pairs (or groups) that go to `val` where the data set has none.
        seed: Seed of that choice.

    Raises:
        DataError: No such folder, no pairs in it, or a CSV that lacks columns or names missing files.
    """
    data = Path(data)
    if not data.exists():
        raise DataError(
            f"{data} does not exist",
            hint="name a folder of pairs, or a CSV file that lists them",
            setting="data",
        )
    table = table_of(data)
    if table is None and data.is_file():
        raise DataError(
            f"{data} is a file",
            hint="name the folder that holds it, or a CSV file that lists pairs",
            setting="data",
        )
    if table is not None:
        splits = _from_table(table, group_column)
    elif group_column is not None:
        raise DataError(f"group_column '{group_column}' needs a CSV: {data} holds no {CSV_NAME}")
    else:
        splits = _from_folders(data)
        used = (file for pairs in splits.pairs.values() for pair in pairs for file in pair.files)
        splits = replace(splits, left_out=find_left_out(data, [*used, *splits.unpaired_files]))
    if not any(splits.pairs.values()):
        found = describe_contents(data) if data.is_dir() else "it lists none"
        raise DataError(
            f"{data} holds no pairs: {found}",
            hint="it needs side-by-side images, twice as wide as high, or two folders with matching names, "
            "such as source/ and target/, perhaps inside train/ and val/",
            setting="data",
        )
    if splits.pairs.get("train") and not splits.pairs.get("val"):
        return _make_val_split(splits, val_fraction, seed)
    return splits


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort 2.jpg before 10.jpg."""
    return [
        (0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name) if part
    ]


def _images(folder: Path) -> list[Path]:
    return sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")),
        key=_natural,
    )


def _from_folders(data: Path) -> Splits:
    pairs: dict[str, list[Pair]] = {}
    unpaired_files: list[Path] = []
    for split in SPLITS:
        for sides in _side_folders(data, split):
            found, alone = _match(*sides)
            pairs.setdefault(split, []).extend(found)
            unpaired_files.extend(alone)
        if split not in pairs and (data / split).is_dir():
            pairs[split] = _side_by_side(data / split)
    if not pairs:
        for first, second in SIDES[:2]:
            if (data / first).is_dir() and (data / second).is_dir():
                pairs["train"], unpaired_files = _match(data / first, data / second)
                return Splits(pairs, unpaired_files)
        pairs["train"] = _side_by_side(data)
    return Splits(pairs, unpaired_files)


def _side_by_side(folder: Path) -> list[Pair]:
    """Return the images of a folder that hold a pair; of two with one name the first."""
    images = {path.stem: path for path in reversed(_images(folder))}
    return [Pair(path.stem, path, None) for path in reversed(images.values()) if is_side_by_side(path)]


def _side_folders(data: Path, split: str) -> list[tuple[Path, Path]]:
    """Return a split's source and target folders: train/source, trainA or A/train, and their partners."""
    for first, second in SIDES:
        candidates = [
            (data / split / first, data / split / second),
            (data / first / split, data / second / split),
        ]
        if first.startswith(split):
            candidates.append((data / first, data / second))
        for source, target in candidates:
            if source.is_dir() and target.is_dir():
                return [(source, target)]
    return []


def _match(source: Path, target: Path) -> tuple[list[Pair], list[Path]]:
    """Match the images of two folders by name without suffix; return the pairs and those left alone."""
    sources, targets = _by_stem(source), _by_stem(target)
    pairs = []
    for stem, candidates in sources.items():
        partners = targets.get(stem)
        if partners is None:
            continue
        # Of several files with one name, those of one format belong together; else the first is taken.
        alike = [(a, b) for a in candidates for b in partners if a.suffix.lower() == b.suffix.lower()]
        first, second = alike[0] if alike else (candidates[0], partners[0])
        pairs.append(Pair(stem, first, second))
    matched = {pair.name for pair in pairs}
    both = [*sources.items(), *targets.items()]
    return pairs, [path for stem, files in both if stem not in matched for path in files]


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    stems: dict[str, list[Path]] = {}
    for path in _images(folder):
        stems.setdefault(path.stem, []).append(path)
    return stems


def _from_table(table: Path, group_column: str | None) -> Splits:
    rows, has_splits = read_pair_rows(table, group_column)
    pairs: dict[str, list[Pair]] = {}
    for split, source, target, group in rows:
        pairs.setdefault(split, []).append(Pair(source.stem, source, target, group))
    by_folder = not has_splits and any(split != "train" for split in pairs)
    named = {split: _with_unique_names(found) for split, found in pairs.items()}
    return Splits(named, [], split_by_folder=by_folder)


def _with_unique_names(pairs: list[Pair]) -> list[Pair]:
    counts = Counter(pair.name for pair in pairs)
    return [
        replace(pair, name=f"{pair.source.parent.name}-{pair.name}") if counts[pair.name] > 1 else pair
        for pair in pairs
    ]


def _make_val_split(splits: Splits, fraction: float, seed: int) -> Splits:
    """Move whole groups (single pairs where there are none) from train to val, by a hash of their names.

    A pair's side depends on its name and the seed alone: adding pairs moves no other pair across.
    """
    pairs = splits.pairs["train"]

    groups = sorted({pair.place for pair in pairs}, key=lambda group: _hash(group, seed))
    if len(groups) < 2:
        raise DataError(
            f"{len(groups)} {'pair' if len(pairs) == 1 else 'group'} cannot be split into train and val: "
            "add pairs, or make train/ and val/ folders"
        )
    held_out = {group for group in groups if _hash(group, seed) < fraction} or {groups[0]}
    if len(held_out) == len(groups):
        held_out.remove(groups[-1])
    train = [pair for pair in pairs if pair.place not in held_out]
    val = [pair for pair in pairs if pair.place in held_out]
    return replace(splits, pairs={**splits.pairs, "train": train, "val": val}, made=True)


def _hash(text: str, seed: int) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=str(seed).encode()[:16]).digest()
    return int.from_bytes(digest, "big") / 2**64


def first_unpaired(unpaired_files: Iterable[Path]) -> str:
    """Name the first of the files without a partner."""
    names = [str(path) for path in unpaired_files]
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
