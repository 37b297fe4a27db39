"""The files of a data set that no pair uses: each is named, with the reason."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sat2map.errors import ImageError
from sat2map.images.pixels import IMAGE_SUFFIXES, read_size

MAX_FILES: Final = 1_000_000  # looked at: a folder may be the root of a disk
# Of images that people keep, and that are not read here.
_OTHER_SUFFIXES: Final = (
    ".avif", ".exr", ".hdr", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jxl", ".npy", ".npz", ".pbm",
    ".pdf", ".pgm", ".ppm", ".psd", ".svg", ".tga",
)  # fmt: skip
# What people call splits, and what they are called here.
_SPLIT_NAMES: Final = {
    "training": "train", "validation": "val", "valid": "val", "validate": "val", "dev": "val",
    "testing": "test", "tests": "test",
}  # fmt: skip

Reason = Literal[
    "unread-format", "unknown-split", "same-name", "not-side-by-side", "beside-folders", "unused-folder"
]


@dataclass(frozen=True)
class LeftOut:
    """A file that no pair uses.

    Attributes:
        path: The file.
        reason: Why, a word that stays the same.
        message: The same as a sentence without its subject, with the nearest fix.
    """

    path: Path
    reason: Reason
    message: str


def is_side_by_side(path: Path) -> bool:
    """Whether an image is twice as wide as high; one that cannot be read is left to its reader's error."""
    try:
        height, width = read_size(path)
    except ImageError:
        return True
    return width == 2 * height


def find_left_out(data: Path, used: Iterable[Path]) -> list[LeftOut]:
    """Return the images below a folder that are not in `used`, in the order of their names."""
    known = set(used)
    stems = {(path.parent, path.stem): path for path in known}
    folders = {path.parent for path in known}
    found = []
    for path in itertools.islice(sorted(data.rglob("*")), MAX_FILES):
        inside = path.relative_to(data)
        if path in known or any(part.startswith(".") for part in inside.parts):
            continue
        suffix = path.suffix.lower()
        if suffix in (*IMAGE_SUFFIXES, *_OTHER_SUFFIXES) and path.is_file():
            reason, message = _explain(path, inside, stems, folders)
            found.append(LeftOut(path, reason, message))
    return found


def _explain(
    path: Path, inside: Path, stems: dict[tuple[Path, str], Path], folders: set[Path]
) -> tuple[Reason, str]:
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return "unread-format", "is of a format that is not read: convert it to PNG, or move it away"
    split = next((part for part in inside.parts[:-1] if part.lower() in _SPLIT_NAMES), None)
    if split is not None:
        return "unknown-split", f"is in '{split}', which is no split: call it '{_SPLIT_NAMES[split.lower()]}'"
    twin = stems.get((path.parent, path.stem))
    if twin is not None:
        return "same-name", f"has the same name as {twin.name}, which is used: remove the one that is wrong"
    if path.parent in folders and not is_side_by_side(path):
        height, width = read_size(path)
        message = f"is {width}×{height} px: a side-by-side pair is twice as wide as high"
        return "not-side-by-side", message
    if any(path.parent in folder.parents for folder in folders):
        return "beside-folders", "lies beside the folders of pairs: move it into them, or away"
    return "unused-folder", f"lies in '{inside.parent.as_posix()}', which is not part of the layout in use"


def count_left_out(left_out: list[LeftOut], data: Path) -> str:
    """Say in one sentence how many files are left out, and name the first of each reason."""
    parts = []
    for reason, number in Counter(entry.reason for entry in left_out).items():
        first = next(entry for entry in left_out if entry.reason == reason)
        name = first.path.relative_to(data).as_posix() if first.path.is_relative_to(data) else first.path
        more = f" (and {number - 1} more of this kind)" if number > 1 else ""
        parts.append(f"{name} {first.message}{more}")
    files = "1 file is" if len(left_out) == 1 else f"{len(left_out)} files are"
    return f"{files} left out: {'; '.join(parts)}"


def describe_contents(data: Path) -> str:
    """Say what images a folder holds, for the error that they make no pairs."""
    counts: Counter[str] = Counter()
    shown: dict[str, Path] = {}
    for path in itertools.islice(data.rglob("*"), MAX_FILES):
        if path.suffix.lower() in (*IMAGE_SUFFIXES, *_OTHER_SUFFIXES) and path.is_file():
            folder = path.parent.relative_to(data).as_posix()
            counts[folder] += 1
            shown[folder] = min(path, shown.get(folder, path))
    if not counts:
        return "it holds no images"
    parts = []
    for folder, number in counts.most_common(4):
        where = "" if folder == "." else f" in {folder}/"
        parts.append(f"{number} image{'s' * (number > 1)}{where} such as {_named(shown[folder])}")
    more = len(counts) - len(parts)
    return "it holds " + ", ".join(parts) + (f", and {more} more folders" if more else "")


def _named(path: Path) -> str:
    try:
        height, width = read_size(path)
    except ImageError:
        return path.name
    return f"{path.name} ({width}×{height} px)"
