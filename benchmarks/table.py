"""Results: rows with medians and spreads, as JSON, as Markdown and on the console."""

from __future__ import annotations

from statistics import median

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """One way of doing one thing.

    Attributes:
        group: What is done; rows of a group compare.
        name: How.
        value: Median over the rounds.
        low: Smallest.
        high: Largest.
        unit: Of the three, such as `ms` or `images/s`.
        ratio: How many times better than the group's baseline, or None for that or where there is none.
        gmac: Multiplications and additions of one call (1e9), where it runs a network.
        share: Of the matrix-multiply peak that this machine reached in the same arithmetic, 0..1.
        note: Anything else, such as errors.
        limit: What the median is to reach, or None.
        at_least: Whether it is to be as high as the limit, and not as low.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    name: str
    value: float
    low: float
    high: float
    unit: str
    ratio: float | None = None
    gmac: float | None = None
    share: float | None = None
    note: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Whether the limit is met or the median falls short of it; "" without one."""
        if self.limit is None:
            return ""
        return "met" if (self.value >= self.limit if self.at_least else self.value <= self.limit) else "short"

    @classmethod
    def of(cls, group: str, name: str, values: list[float], unit: str, **more: object) -> Row:
        """Make a row of the values of all rounds."""
        return cls.model_validate(
            {
                "group": group,
                "name": name,
                "value": median(values),
                "low": min(values),
                "high": max(values),
                "unit": unit,
                **more,
            }
        )


class Bench(BaseModel):
    """All rows, and the machine they were taken on."""

    model_config = ConfigDict(frozen=True)

    machine: dict[str, str]
    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()
    seconds: float = 0

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def short_machine(self) -> str:
        """The processor's name and the threads, for the head of a table."""
        facts = self.machine
        return f"{facts['processor'].split(' (')[0]}, {facts['threads']} threads, {facts.get('date', '')}"

    def targets(self) -> str:
        """Return a Markdown table of the rows that have a limit, each met or short."""
        lines = [f"| {self.short_machine} | measured | target | |", "|---|--:|--:|---|"]
        lines += [
            f"| {row.group}: {row.name} | {_short(row.value)} {row.unit} | {goal(row)} | **{row.verdict}** |"
            for row in self.rows
            if row.limit is not None
        ]
        return "\n".join(lines) + "\n"

    def to_markdown(self) -> str:
        """Return a Markdown table of the targets, and one a group."""
        lines = [f"- {name}: {value}" for name, value in self.machine.items()]
        lines += ["", "### Targets", "", self.targets().rstrip()]
        for group in dict.fromkeys(row.group for row in self.rows):
            head = (self.short_machine, *_HEAD[1:])
            lines += ["", f"### {group}", "", f"| {' | '.join(head)} |", "|---|--:|--:|--:|--:|--:|---|"]
            lines += [f"| {' | '.join(cells(row))} |" for row in self.rows if row.group == group]
        lines += ["", *(f"Left out: {reason}.  " for reason in self.skipped)]
        return "\n".join(lines).rstrip() + "\n"


_HEAD = ("", "median", "spread", "ratio", "GMAC", "of peak", "")


def cells(row: Row) -> list[str]:
    """Return a row's texts, as both kinds of table show them."""
    return [
        row.name,
        f"{_short(row.value)} {row.unit}",
        f"{_short(row.low)}-{_short(row.high)}",
        "" if row.ratio is None else f"{row.ratio:.2f}x",
        "" if row.gmac is None else f"{row.gmac:.2f}",
        "" if row.share is None else f"{row.share:.0%}",
        "; ".join(filter(None, (row.note, f"{row.verdict} (target {goal(row)})" if row.verdict else ""))),
    ]


def goal(row: Row) -> str:
    """Return a row's limit in words."""
    return f"{'at least' if row.at_least else 'at most'} {row.limit:g} {row.unit}".rstrip()


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_bench(bench: Bench) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, value in bench.machine.items():
        console.print(f"{name}: {value}", highlight=False)
    for group in dict.fromkeys(row.group for row in bench.rows):
        table = Table(title=group, title_justify="left")
        for i, head in enumerate(_HEAD):
            table.add_column(head, justify="left" if i in (0, 6) else "right")
        for row in bench.rows:
            if row.group == group:
                table.add_row(*cells(row))
        console.print(table)
    for reason in bench.skipped:
        console.print(f"left out: {reason}", highlight=False)
    console.print(f"took {bench.seconds:.0f} s", highlight=False)
