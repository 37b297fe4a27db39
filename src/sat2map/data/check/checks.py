"""Checks that compare the pairs of a data set with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from sat2map.data.check.inspection import Finding, Inspection, Severity, in_pixels
from sat2map.data.check.overlap import describe, find_overlaps
from sat2map.data.pairs import Splits

CLEAR_LEAN = 0.7  # log-odds: 99 of 100 pairs of photo and map lean more than that
COPY = 0.95  # share of common ground from which two pairs are called copies


class InspectedPair(NamedTuple):
    """A pair that could be read, its split, and its name for people."""

    split: str
    where: str
    stats: Inspection


def find_swapped(seen: list[InspectedPair], data: str) -> tuple[bool, list[Finding]]:
    """Return whether the sources are the maps, and what is to be said about sides.

    Pairs are measured against the rest: where most do not clearly lean one way, as with photos on both sides,
    nothing is said of any.
    """
    if not seen:
        return False, []
    leans = np.array([pair.stats.lean for pair in seen])
    quarter, three_quarters = np.quantile(leans, (0.25, 0.75))
    if quarter < CLEAR_LEAN and three_quarters > -CLEAR_LEAN:
        return False, []
    swapped = bool(three_quarters <= -CLEAR_LEAN)
    findings = []
    if swapped:
        message = (
            "has maps as sources and photos as targets, judging by their flat colours: to turn photos into "
            "maps, train with the direction target-to-source"
        )
        findings.append(Finding("swapped", "warning", data, message))
    for pair in seen:
        if (pair.stats.lean if swapped else -pair.stats.lean) > CLEAR_LEAN and not any(pair.stats.constant):
            message = "has photo and map the other way round from most pairs: swap its sides"
            findings.append(Finding("swapped", "error", pair.where, message))
    return swapped, findings


def find_constant(seen: list[InspectedPair], photo: int) -> Iterator[Finding]:
    """Find images of one colour: an error on the photos' side (0 or 1), as a map may well be all water."""
    for pair in seen:
        for side, name in enumerate(("source", "target")):
            if pair.stats.constant[side]:
                severity: Severity = "error" if side == photo else "warning"
                unless = "" if side == photo else ", unless the place is so"
                message = f"has a {name} of one colour all over: leave the pair out{unless}"
                yield Finding("constant", severity, pair.where, message)


def find_transparent(seen: list[InspectedPair]) -> Iterator[Finding]:
    """Find pairs with transparent pixels."""
    for pair in seen:
        for side, share in zip(("source", "target"), pair.stats.transparent, strict=True):
            if share > 0:
                message = (
                    f"has a {side} of which {share:.1%} is transparent: palette networks ignore these "
                    "pixels, others learn the colour below them: fill them if they hold a map"
                )
                yield Finding("transparent", "warning", pair.where, message)


def find_class_numbers(seen: list[InspectedPair]) -> list[Finding]:
    """Find targets that hold class numbers where colours are expected."""
    return [
        Finding(
            "class-numbers",
            "warning",
            pair.where,
            f"has a grey target of the numbers 0 to {pair.stats.class_numbers}, which are read as nearly "
            "black levels: draw each class in a colour first",
        )
        for pair in seen
        if pair.stats.class_numbers is not None and not pair.stats.constant[1]
    ]


def find_same_kind(seen: list[InspectedPair], side_by_side: bool, data: str) -> list[Finding]:
    """Find that the halves of side-by-side files do not differ, as those of wide photos."""
    if not side_by_side or not seen:
        return []
    clear = sum(abs(pair.stats.lean) > CLEAR_LEAN for pair in seen)
    if 2 * clear >= len(seen):
        return []
    message = (
        "holds images that are twice as wide as high, but whose halves are of one kind: if they are "
        "photos and not side-by-side pairs, put them into source/ and their maps into target/"
    )
    return [Finding("same-kind", "warning", data, message)]


def find_mixed_sizes(seen: list[InspectedPair], usual: tuple[int, int]) -> list[Finding]:
    """Find pairs of another size than the usual one."""
    message = f"a side, where most pairs are {in_pixels(usual)}: crop or resize it to that"
    return [
        Finding("mixed-sizes", "error", pair.where, f"is {in_pixels(pair.stats.size)} {message}")
        for pair in seen
        if pair.stats.size != usual
    ]


def find_duplicates(seen: list[InspectedPair], splits: Splits) -> Iterator[Finding]:
    """Find pairs of the same pixels, within a split and across."""
    firsts: dict[bytes, InspectedPair] = {}
    for pair in seen:
        first = firsts.setdefault(pair.stats.digest, pair)
        if first is not pair and first.split == pair.split:
            message = "have the same pixels: remove one, or it counts twice"
            yield Finding("duplicate", "warning", f"{first.where} and {pair.where}", message)
        elif first is not pair:
            yield _leak("duplicate", "have the same pixels", first, pair, splits)


def find_split_groups(splits: Splits) -> Iterator[Finding]:
    """Find groups that the data set's own splits cut apart."""
    homes: dict[str, set[str]] = {}
    for split, pairs in splits.pairs.items():
        for pair in pairs:
            homes.setdefault(pair.group or "", set()).add(split)
    for group, home in homes.items():
        if group and len(home) > 1:
            message = f"is in {' and '.join(sorted(home))}: move it to one split"
            yield Finding("split-group", "error", f"group {group}", message)


def find_shared_ground(
    seen: list[InspectedPair], splits: Splits, photo: int, step: Callable[[], None]
) -> list[Finding]:
    """Compare the photos of each two splits, since maps of two places may well be alike.

    Args:
        seen: Pairs of one size.
        splits: Where they come from.
        photo: Which side the photos are on (0: source, 1: target).
        step: Is called for each pair of the smaller split.

    Returns:
        Those that share most first.
    """
    members: dict[str, list[InspectedPair]] = {}
    for pair in seen:
        if pair.stats.thumbnails is not None:
            members.setdefault(pair.split, []).append(pair)
    described = {
        split: describe([pair.stats.thumbnails[photo] for pair in pairs if pair.stats.thumbnails])
        for split, pairs in members.items()
    }
    found: list[tuple[float, Finding]] = []
    for few, many in combinations(sorted(members, key=lambda split: len(members[split])), 2):
        for overlaps in find_overlaps(described[few], described[many]):
            step()
            for overlap in overlaps:
                first, second = members[few][overlap.first], members[many][overlap.second]
                if first.stats.digest == second.stats.digest:
                    continue
                kind = "near-duplicate" if overlap.share >= COPY else "overlap"
                message = f"share {overlap.share:.0%} of their ground"
                found.append((overlap.share, _leak(kind, message, first, second, splits)))
    return [finding for _, finding in sorted(found, key=lambda entry: -entry[0])]


def _leak(kind: str, what: str, first: InspectedPair, second: InspectedPair, splits: Splits) -> Finding:
    """Report what two splits share: an error, or a warning where the split is ours and not the data set's."""
    where = f"{first.where} and {second.where}"
    if splits.made and {first.split, second.split} == {"train", "val"}:
        fix = "and training would hold out one of them: make train/ and val/ of different places"
        return Finding(kind, "warning", where, f"{what}, {fix}")
    fix = f"one in {first.split} and one in {second.split}: put both in one split"
    return Finding(kind, "error", where, f"{what}, {fix}")
