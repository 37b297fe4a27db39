"""Data validation: what is wrong in a folder of pairs; changes nothing in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, count, groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sat2map.data.check.checks import (
    InspectedPair,
    find_class_numbers,
    find_constant,
    find_duplicates,
    find_mixed_sizes,
    find_same_kind,
    find_shared_ground,
    find_split_groups,
    find_swapped,
    find_transparent,
)
from sat2map.data.check.inspection import Finding, Severity, in_pixels, inspect_pair, relative
from sat2map.data.pairs import Splits, find_pairs
from sat2map.errors import DataError
from sat2map.images.pixels import IMAGE_SUFFIXES
from sat2map.runtime.cpu import processor

__all__ = ["CheckResult", "Finding", "check", "print_result"]

# A file that looks like a pair but is none is missing from the training; the others may be there on purpose.
_MISSING = ("not-side-by-side", "unknown-split")
LIMIT = 2000  # pairs a split that are compared with other splits: 2,000 by 2,000 take minutes


@dataclass(frozen=True)
class CheckResult:
    """What a validation found.

    Sizes say how many pairs have sides of (height, width) px; notes, what was not checked, and why.
    """

    findings: list[Finding]
    counts: dict[str, int]
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be meant."""
        return all(finding.severity != "error" for finding in self.findings)


def check(
    data: Path,
    *,
    group_column: str | None = None,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Look for everything in a data set that would stop or spoil a training, or flatter its scores.

    Files are only read. The photos of different splits are compared for ground that they share; a data set
    without a val split is compared as training would split it, and what is found there is a warning.

    Args:
        data: A folder or CSV in any layout of `find_pairs`.
        group_column: Column of the CSV that names the place.
        workers: Threads that decode; 0 for one a core.
        progress: Called with how many steps are done, of how many.

    Raises:
        DataError: There is no such folder or file, or nothing in it.
    """
    data = Path(data)
    try:
        splits = find_pairs(data, group_column=group_column)
    except DataError as error:
        known = (*IMAGE_SUFFIXES, ".csv")
        if not data.exists() or not any(path.suffix.lower() in known for path in (data, *data.rglob("*"))):
            raise
        return CheckResult([Finding("layout", "error", str(data), str(error))], {})
    root = data if data.is_dir() else data.parent
    sizes_of_splits = [len(pairs) for pairs in splits.pairs.values()]
    total = sum(sizes_of_splits) + sum(min(a, b, LIMIT) for a, b in combinations(sizes_of_splits, 2))
    done = count(1)

    def step() -> None:
        if progress is not None:
            progress(next(done), total)

    seen, findings = _read(splits, root, workers, step)
    for path in splits.unpaired_files:
        message = "has no partner of that name: add it, or remove this file"
        findings.append(Finding("no-partner", "error", relative(path, root), message))
    for entry in splits.left_out:
        severity: Severity = "error" if entry.reason in _MISSING else "warning"
        findings.append(Finding(entry.reason, severity, relative(entry.path, root), entry.message))
    if splits.split_by_folder:
        message = "has no column 'split', so the names of folders decide it: add the column, to be sure"
        findings.append(Finding("split-by-folder", "warning", str(data), message))
    swapped, sides = find_swapped(seen, str(data))
    side_by_side = any(pair.target is None for pairs in splits.pairs.values() for pair in pairs)
    findings += find_same_kind(seen, side_by_side, str(data))
    findings += [*find_transparent(seen), *find_class_numbers(seen)]
    photo = 1 if swapped else 0
    findings += [*sides, *find_constant(seen, photo), *find_duplicates(seen, splits)]
    if group_column is not None and not splits.made:
        findings += find_split_groups(splits)
    sizes = Counter(pair.stats.size for pair in seen)
    if seen:
        usual = sizes.most_common(1)[0][0]
        findings += find_mixed_sizes(seen, usual)
        comparable = [pair for pair in seen if pair.stats.size == usual]
        findings += find_shared_ground(comparable, splits, photo, step)
    if progress is not None:
        progress(total, total)
    counts = {split: len(pairs) for split, pairs in splits.pairs.items() if pairs}
    if splits.made:
        counts["train"] += counts.pop("val")
    return CheckResult(findings, counts, dict(sizes.most_common()), _notes(splits))


def print_result(result: CheckResult, console: Console) -> None:
    """Print a table of the findings by kind, and what they mean in a sentence."""
    pairs = ", ".join(f"{number} in {split}" for split, number in result.counts.items())
    sizes = ", ".join(in_pixels(size) for size in list(result.sizes)[:3])
    if result.counts:
        more = " and others" if len(result.sizes) > 3 else ""
        sides = f" Each side is {sizes}{more}." if sizes else ""
        console.print(f"Pairs: {pairs}.{sides}", highlight=False)
    if result.findings:
        table = Table("finding", "severity", "count", "for example", show_lines=True)
        table.columns[2].justify = "right"
        ordered = sorted(result.findings, key=lambda finding: (finding.severity, finding.kind))
        for (severity, kind), group in groupby(ordered, key=lambda finding: (finding.severity, finding.kind)):
            found = list(group)
            examples = "\n".join(escape(f"{finding.where} {finding.message}") for finding in found[:2])
            style = "red" if severity == "error" else "yellow"
            table.add_row(kind, f"[{style}]{severity}[/{style}]", str(len(found)), examples)
        console.print(table)
    for note in result.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
    console.print(_verdict(result), highlight=False)


def _verdict(result: CheckResult) -> str:
    errors, warnings = (
        sum(finding.severity == severity for finding in result.findings) for severity in ("error", "warning")
    )
    if errors:
        return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}: fix the errors before you train."
    if warnings:
        return f"No errors, {_count(warnings, 'warning')}: read them before you train."
    return "Nothing is wrong."


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _several(splits: Splits) -> bool:
    return sum(bool(pairs) for pairs in splits.pairs.values()) > 1


def _notes(splits: Splits) -> list[str]:
    notes = []
    if splits.made:
        notes.append(
            "there is no val split to compare with; training would hold out a tenth of the pairs, and what "
            "that tenth shares with the rest is listed as warnings"
        )
    elif not _several(splits):
        notes.append("there is one split only, so there is no other that it could share ground with")
    if _several(splits) and any(len(pairs) > LIMIT for pairs in splits.pairs.values()):
        notes.append(
            f"shared ground was looked for in {LIMIT} pairs a split, evenly chosen: there may be more"
        )
    return notes


def _read(
    splits: Splits, root: Path, workers: int, step: Callable[[], None]
) -> tuple[list[InspectedPair], list[Finding]]:
    several = _several(splits)
    jobs = [
        (split, pair, several and chosen)
        for split, pairs in splits.pairs.items()
        for pair, chosen in zip(pairs, _evenly(len(pairs), LIMIT), strict=True)
    ]
    seen: list[InspectedPair] = []
    findings: list[Finding] = []
    # Threads, since Pillow, numpy and the hash work without the interpreter's lock.
    pool = ThreadPoolExecutor(workers or processor().threads)
    try:
        results = pool.map(lambda job: inspect_pair(job[1], root, job[2]), jobs)
        for (split, pair, _), result in zip(jobs, results, strict=True):
            if isinstance(result, Finding):
                findings.append(result)
            else:
                seen.append(InspectedPair(split, relative(pair.source, root), result))
            step()
    finally:
        pool.shutdown(cancel_futures=True)
    return seen, findings


def _evenly(total: int, limit: int) -> list[bool]:
    """Choose at most `limit` of `total` things, evenly spread."""
    return [total <= limit or i * limit // total != (i - 1) * limit // total for i in range(total)]
