"""Everything that a report shows, as text with units and as raw numbers; it knows no engine and no plot.

``vmvc.report.gather`` makes a view from a run's folder; page, Markdown, tables and charts are made from a
view alone, so a number is the same to the digit in all of them. Values are in the quantity's own unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vmvc.records import FindingRecord
from vmvc.records_explain import Explained
from vmvc.records_journal import EventRecord
from vmvc.report.figures import Cell, Grown, Line, Part, Phase, Ratio, Series, Slope

ACCOUNTS: Final = {
    "memory": {
        "Processes, by proportional share (PSS)": {"own": "memory.pss", "helpers": "memory.helpers_pss"},
        "Daemons that serve all instances (PSS)": {"shared": "memory.shared_pss"},
        "Cgroup": {
            "anonymous": "memory.cgroup_anon",
            "page cache": "memory.cgroup_file",
            "kernel": "memory.cgroup_kernel",
        },
        "Guest, by its own account": {"used": "memory.guest_used"},
        "Host": {"less available": "memory.host_drop"},
    },
    "disk": {"Allocated": {"only this instance's": "disk.unique", "shared": "disk.shared"}},
}
"""Metric -> account -> part -> quantity; parts of one account may be stacked, accounts never added."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a reader must know before any number; ``level``: ``info``, ``warning`` or ``error``."""

    level: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim; ``verdict``: ``supported``, ``refuted``, ``inconclusive`` or ``not judged``."""

    id: str
    says: str
    verdict: str
    sentence: str
    spoilers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quantity:
    """One column of numbers; ``axis`` is the unit on axes and ``divisor`` turns values into it."""

    key: str
    metric: str
    unit: str
    better: str
    says: str
    axis: str
    divisor: float
    log: bool

    @property
    def title(self) -> str:
        """The title of an axis."""
        return f"{self.key} ({self.axis})" if self.axis else self.key


@dataclass(frozen=True, slots=True)
class Condition:
    """One planned condition.

    ``label`` is its id with factor paths cut short where that stays unambiguous; it says where a machine was
    emulated, so that this stands beside every number.
    """

    id: str
    label: str
    backend: str
    colour: str
    emulated: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """Quantities of one condition that lack values, and why."""

    condition: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial with all that is known about it.

    ``key``: its number, with that of the attempt where another one follows. ``console``: the end of what the
    guest printed. ``unclean``: it was measured, and its instance could not be removed.
    """

    trial: int
    key: str
    block: int
    position: int
    warmup: bool
    condition: str
    label: str
    wall: str
    instance: str
    failure: str
    hint: str
    events: Mapping[str, EventRecord]
    values: Mapping[str, float]
    absent: tuple[tuple[str, str], ...]
    findings: tuple[FindingRecord, ...]
    noise: Mapping[str, float]
    unclean: bool
    console: str
    console_note: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about isolation: what it means, and its words in each condition."""

    key: str
    says: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """A titled list of what is known."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class View:
    """A run as people look at it.

    ``bare``: whether the baseline is the bare host. ``workloads``: quantities of work that guests do.
    """

    name: str
    title: str
    run: str
    began: str
    vmvc: str
    confidence: float
    planned: int
    measured: int
    failed: int
    cleanup_failed: int
    notices: tuple[Notice, ...]
    verdicts: tuple[Verdict, ...]
    answers: tuple[str, ...]
    headlines: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    conditions: tuple[Condition, ...]
    cells: Mapping[tuple[str, str], Cell]
    series: Mapping[tuple[str, str], Series]
    phases: tuple[Phase, ...]
    memory: tuple[Part, ...]
    disk: tuple[Part, ...]
    baseline: str
    bare: bool
    ratios: tuple[Ratio, ...]
    slopes: tuple[Slope, ...]
    fleets: tuple[Grown, ...]
    lines: tuple[Line, ...]
    workloads: tuple[str, ...]
    isolation: tuple[Fact, ...]
    missing: tuple[Missing, ...]
    findings: tuple[FindingRecord, ...]
    trials: tuple[Trial, ...]
    recorded: int
    explained: Explained
    method: tuple[tuple[str, str], ...]
    environment: tuple[Facts, ...]
    source: str
    commands: tuple[str, ...]

    def quantity(self, key: str) -> Quantity | None:
        """Return the quantity of that key, ``None`` where the run does not measure it."""
        return next((one for one in self.quantities if one.key == key), None)

    def row(self, key: str) -> list[Cell]:
        """Return that quantity's cells, one a planned condition."""
        return [self.cells[one.id, key] for one in self.conditions]

    def found_on(self, backend: str) -> list[FindingRecord]:
        """Return the warnings that name a backend or one of its conditions."""
        ids = [one.id for one in self.conditions if one.backend == backend]
        return [
            finding
            for finding in self.findings
            if finding.severity != "info"
            and any(finding.what.startswith(f"{name}: ") for name in [backend, *ids])
        ]
