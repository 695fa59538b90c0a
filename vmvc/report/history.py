"""A folder of results -> every run in it, and each experiment's quantities run after run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vmvc import journal, likeness, results
from vmvc.errors import ResultsError
from vmvc.records_journal import QuantityRecord, RunRecord
from vmvc.records_summary import Summary, SummaryRow
from vmvc.report.answer import FIRST
from vmvc.report.plain import clean
from vmvc.runs import Overview, facts_of, overviews
from vmvc.units import show_bytes

MOST_CELLS: Final = 20_000
"""Medians of one experiment that a page holds; of more, those of the quantities that people ask for first."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs were measured: a letter, and what run.json says of it."""

    letter: str
    words: str


@dataclass(frozen=True, slots=True)
class Past:
    """One run of an experiment; ``number``: from 1, the oldest first; ``place``: "" where it is not known."""

    number: int
    overview: Overview
    report: str
    place: str = ""
    warnings: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """The median of a quantity in one condition of one run; ``row`` has its interval and n."""

    past: Past
    condition: str
    row: SummaryRow


@dataclass(slots=True)
class Story:
    """The runs of one experiment: what its newest readable run measures, and points by quantity."""

    name: str
    pasts: list[Past] = field(default_factory=list)
    quantities: list[QuantityRecord] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    points: dict[str, list[Point]] = field(default_factory=dict)
    apart: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """Everything that an index shows."""

    folder: Path
    stories: Sequence[Story]
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class _Read:
    past: Past
    head: RunRecord
    summary: Summary
    emulated: frozenset[str]


def history_of(folder: Path) -> History:
    """Return the runs below ``folder/EXPERIMENT/RUN``; one that cannot be read is listed with the reason.

    Raises: ResultsError where the folder holds no run.
    """
    found: dict[str, list[Overview]] = {}
    for one in overviews(folder):
        found.setdefault(one.experiment, []).append(one)
    if not found:
        raise ResultsError(f"{folder}: holds no run", hint="give a folder of results, as vmvc run makes it")
    places: dict[str, Place] = {}
    stories = [_story(folder, name, listed, places) for name, listed in found.items()]
    return History(folder, stories, list(places.values()))


def _story(folder: Path, name: str, listed: Iterable[Overview], places: dict[str, Place]) -> Story:
    story = Story(name)
    reads = []
    for number, overview in enumerate(sorted(listed, key=lambda one: (not one.wall, one.wall, one.run)), 1):
        read = _read(folder, number, overview, places)
        if isinstance(read, Past):
            story.pasts.append(read)
        else:
            story.pasts.append(read.past)
            reads.append(read)
    if reads:
        _points(story, reads)
    return story


def _read(folder: Path, number: int, overview: Overview, places: dict[str, Place]) -> _Read | Past:
    """Return a run with its summary; what is known of it alone where it cannot be read."""
    path = Path(overview.folder)
    report = path / "report.html"
    link = report.relative_to(folder).as_posix() if report.is_file() else ""
    if overview.state == "unreadable":
        return Past(number, overview, link)
    try:
        head, summary = journal.head(path / "journal.jsonl"), results.summary_of(path)
    except ResultsError as error:
        state = {"state": "unreadable", "reason": error.what}
        return Past(number, overview.model_copy(update=state), link)
    try:
        facts: Mapping[str, Any] = facts_of(path)
    except ResultsError:
        facts = {}
    warnings = sum(one.severity != "info" for one in summary.findings)
    past = Past(number, overview, link, _place(facts, places), warnings)
    return _Read(past, head, summary, _emulated(facts))


def _place(facts: Mapping[str, Any], places: dict[str, Place]) -> str:
    """Return the letter of the host and version that a run was measured on; a new one gets the next."""
    host = facts.get("host")
    if not isinstance(host, Mapping):
        return ""
    memory = host.get("memory")
    told = [
        *(str(host[key]) for key in ("hardware", "cpu") if host.get(key)),
        f"{host['threads']} threads" if "threads" in host else "",
        show_bytes(memory) if isinstance(memory, int | float) and not isinstance(memory, bool) else "",
        *(str(host[key]) for key in ("distribution", "kernel") if host.get(key)),
        "itself virtual" if host.get("virtualised") is True else "",
        f"vmvc {facts['vmvc']}" if facts.get("vmvc") else "",
    ]
    words = clean(", ".join(filter(None, told)))
    return places.setdefault(words, Place(_letter(len(places)), words)).letter


def _letter(number: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    head, last = divmod(number, 26)
    return (_letter(head - 1) if head else "") + chr(ord("A") + last)


def _emulated(facts: Mapping[str, Any]) -> frozenset[str]:
    backends = facts.get("backends")
    if not isinstance(backends, Mapping):
        return frozenset()
    return frozenset(
        name
        for name, one in backends.items()
        if isinstance(one, Mapping)
        and isinstance(one.get("facts"), Mapping)
        and one["facts"].get("emulated") is True
    )


def _points(story: Story, reads: Sequence[_Read]) -> None:
    """Put the medians of all runs under the quantities of the newest one; others' definitions stay apart."""
    newest = reads[-1]
    known = {f"{one.metric}.{one.quantity}": one for one in newest.head.quantities}
    keys = list(known)
    cells = sum(len(read.summary.rows) for read in reads)
    if cells > MOST_CELLS:
        keys = [key for key in keys if key in FIRST] or keys[:1]
    story.left_out = len(known) - len(keys)
    story.quantities = [known[key] for key in keys]
    labels: dict[str, None] = {}
    apart: Counter[str] = Counter()
    for read in reads:
        unlike = _unlike(read, newest, known)
        for row in read.summary.rows:
            key = f"{row.metric}.{row.quantity}"
            if row.median is None or key not in keys:
                continue
            if key in unlike:
                apart[f"run {read.past.number}: {unlike[key]}"] += 1
                continue
            label = f"{row.condition} (emulated)" if row.backend in read.emulated else row.condition
            labels[label] = None
            story.points.setdefault(key, []).append(Point(read.past, clean(label), row))
    story.conditions = [clean(label) for label in labels]
    story.apart = [clean(reason) for reason in apart]


def _unlike(read: _Read, newest: _Read, known: Mapping[str, QuantityRecord]) -> Mapping[str, str]:
    """Return the quantities that this run defines otherwise than the newest one does, and how."""
    found = {}
    for one in read.head.quantities:
        key = f"{one.metric}.{one.quantity}"
        if key in known and (why := likeness.redefined((newest.head, read.head), (known[key], one))):
            found[key] = f"{key} is not drawn: {why}"
    return found


def changes(story: Story) -> Iterator[tuple[QuantityRecord, str, list[Point]]]:
    """Yield every quantity and condition with its points, the oldest run first."""
    for quantity in story.quantities:
        found = story.points.get(f"{quantity.metric}.{quantity.quantity}", [])
        for condition in story.conditions:
            own = [point for point in found if point.condition == condition]
            if own:
                yield quantity, condition, own
