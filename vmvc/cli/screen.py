"""A summary and its verdicts -> one screen: what matters first, whole lines, and what is left out is said."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.cells import cell_len

from vmvc.cli import summary as words
from vmvc.cli.text import plain
from vmvc.cli.verdicts import doubts
from vmvc.records_claims import VerdictRecord
from vmvc.records_summary import Summary, SummaryRow

ALL: Final = "--all"
_FIRST: Final = "startup.ready"


@dataclass(slots=True)
class Section:
    """Lines under a title; an item, of one line or more, is shown whole or left out."""

    title: str
    items: list[list[str]]
    shown: int = 0
    share: int = 1
    """Items that it gets in a turn."""

    @property
    def height(self) -> int:
        left_out = self.shown < len(self.items)
        return bool(self.title) + sum(map(len, self.items[: self.shown])) + left_out

    def lines(self) -> Iterator[str]:
        if self.title:
            yield self.title
        for item in self.items[: self.shown]:
            yield from item
        if left_out := len(self.items) - self.shown:
            yield f"  ... and {left_out} more" if self.shown else f"  {left_out}, left out"


def print_screen(
    summary: Summary, folder: Path, verdicts: Sequence[VerdictRecord], width: int, height: int
) -> None:
    """Print what fits into so many columns and lines; where not even a line of each does, a bit more."""
    lines = list(screen(summary, folder, verdicts, width, height))
    click.echo("\n".join(lines))


def screen(
    summary: Summary, folder: Path, verdicts: Sequence[VerdictRecord], width: int, height: int
) -> Iterator[str]:
    """Yield the lines of one screen; the terminal's last line is left to the prompt."""
    head = _folded(words.headline(summary), width, "")
    tail = _folded(f"results: {folder}", width, "")
    sections = [one for one in _sections(summary, verdicts, width) if one.items]
    room = height - 2 - len(head) - len(tail)
    _fit(sections, room)
    yield from head
    for section in sections:
        yield from section.lines()
    yield from tail
    if any(one.shown < len(one.items) for one in sections):
        yield f"({ALL} prints what is left out)"


def _fit(sections: Sequence[Section], room: int) -> None:
    """Let each section show as many items as fit, in turns."""
    grown = True
    while grown:
        grown = False
        for section in sections:
            for _ in range(section.share):
                if section.shown == len(section.items):
                    break
                section.shown += 1
                if sum(one.height for one in sections) > room:
                    section.shown -= 1
                    break
                grown = True


def _sections(summary: Summary, verdicts: Sequence[VerdictRecord], width: int) -> Iterator[Section]:
    rows = words.rows_of(summary)
    yield Section(
        "claims:",
        [_folded(f"{one.id}: {one.sentence}{doubts(one)}", width, "  ") for one in verdicts],
    )
    yield _medians(rows, verdicts, width)
    yield Section("findings:", [_folded(one, width, "  ") for one in words.findings(summary)])
    yield Section("missing:", [_folded(one, width, "  ") for one in words.missing(rows)])
    ratios = [f"{row[0]} {row[1]}: {row[2]}, p {row[3]}" for row in words.ratios(summary)]
    title = plain(f"ratio to {summary.baseline} [95% interval], p by Holm:")
    yield Section(title, [_folded(one, width, "  ") for one in ratios])
    yield Section("stopped:", [_folded(one, width, "  ") for one in words.stops(summary)])


def _medians(rows: Sequence[SummaryRow], verdicts: Sequence[VerdictRecord], width: int) -> Section:
    """Put the quantities down and the conditions across where they fit, else one under the other."""
    conditions = list(dict.fromkeys(row.condition for row in rows))
    names = _in_order([f"{row.metric}.{row.quantity}" for row in rows], verdicts)
    cells = {(f"{row.metric}.{row.quantity}", row.condition): words.cell(row) for row in rows}
    title = "median [95% interval]"
    first = max([len(title), *(len(name) + 2 for name in names)])
    wide = [
        max(cell_len(plain(one)), *(cell_len(cells.get((name, one), "-")) for name in names))
        for one in conditions
    ]
    if first + sum(wide) + 2 * len(wide) <= width:
        line = [title.ljust(first), *(f"  {plain(one):>{wide[at]}}" for at, one in enumerate(conditions))]
        items = [
            "".join(
                [
                    f"  {name}".ljust(first),
                    *(f"  {cells.get((name, one), '-'):>{wide[at]}}" for at, one in enumerate(conditions)),
                ]
            )
            for name in names
        ]
        return Section("".join(line), [[item] for item in items], share=4)
    listed: list[list[str]] = []
    for name in names:
        at = 0
        for condition in conditions:
            if (name, condition) not in cells:
                continue
            lines = _pair(plain(condition), cells[name, condition], width)
            listed.append([f"  {name}", *lines] if at == 0 else lines)
            at += 1
    return Section(f"{title}:", listed, share=4)


def _pair(name: str, cell: str, width: int) -> list[str]:
    """Put a condition and its number on one line, else the number below."""
    room = width - 6 - cell_len(cell)
    if cell_len(name) <= room:
        return [f"    {name}{' ' * (room - cell_len(name))}  {cell}"]
    return [*_folded(name, width, "    "), f"{cell:>{width}}"]


def _in_order(names: Sequence[str], verdicts: Sequence[VerdictRecord]) -> list[str]:
    """Return each quantity once: those that are claimed on, the time until ready, then the rest."""
    claimed = [f"{one.metric}.{one.quantity}" for one in verdicts]
    known = set(names)
    return [name for name in dict.fromkeys([*claimed, _FIRST, *names]) if name in known]


def _folded(text: str, width: int, indent: str) -> list[str]:
    clean = plain(text).replace("\n", " ")
    return textwrap.wrap(clean, max(20, width), initial_indent=indent, subsequent_indent=f"{indent}  ") or [
        indent
    ]
