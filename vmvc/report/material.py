"""A run's folder -> what a report is made of, read once: journal, run.json, experiment.yaml and consoles.

Only the journal is needed; what else is missing or damaged is said, never guessed.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vmvc import journal, results
from vmvc.attempts import with_last
from vmvc.manifest import digest
from vmvc.records_claims import VerdictRecord
from vmvc.records_journal import ResumeRecord, RunRecord, TrialRecord
from vmvc.records_summary import Summary
from vmvc.report.figures import Series
from vmvc.report.plain import clean
from vmvc.report.view import Notice

MOST_TRIALS: Final = 2000
"""Trials up to which a report lists and draws every one."""
LISTED_OF_MORE: Final = 400
"""Trials that are listed where there are more: those with failures or findings, then the earliest."""
CONSOLE_LINES: Final = 40
CONSOLE_BYTES: Final = 4096
"""The end of a console that a report shows."""
ALL_CONSOLES: Final = 300_000
"""Characters of all consoles together, so that a report stays small enough to be mailed."""

JsonMap = Mapping[str, Any]


@dataclass(slots=True)
class Material:
    """What was read; ``trials`` are those that will be listed, in the order in which they ran."""

    folder: Path
    head: RunRecord
    summary: Summary
    about: JsonMap
    source: str
    notices: list[Notice]
    series: Mapping[tuple[str, str], Series]
    trials: list[TrialRecord]
    recorded: int
    offsets: Mapping[str, Mapping[str, array[float]]]
    verdicts: tuple[VerdictRecord, ...]
    fleets: Mapping[str, list[Sequence[Mapping[str, float]]]]
    resumed: int = 0
    _consoles: int = field(default=0, repr=False)

    def console(self, trial: TrialRecord) -> tuple[str, str]:
        """Return the end of what a trial's guest printed, and a note on what is not shown."""
        path = self.folder / "logs" / f"trial-{trial.trial}.console"
        if self._consoles >= ALL_CONSOLES:
            return "", f"not shown, to keep this page small: logs/{path.name}"
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(max(0, size - CONSOLE_BYTES))
                raw = file.read(CONSOLE_BYTES)
        except OSError:
            return "", "there is no console log of this trial"
        if not raw:
            return "", "the guest printed nothing"
        lines = raw.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        text = clean("\n".join(lines[-CONSOLE_LINES:])).strip("\n")
        self._consoles += len(text)
        cut = size > CONSOLE_BYTES or len(lines) > CONSOLE_LINES
        return text, f"the end only; all of it: logs/{path.name}" if cut else ""


def read(folder: Path, summary: Summary | None = None) -> Material:
    """Read a run's folder; ``summary``: that of its journal, where it is known already.

    Raises: ResultsError where the journal cannot be read.
    """
    path = folder / "journal.jsonl"
    head = journal.head(path)
    notices: list[Notice] = []
    summary = summary or results.summary_of(folder)
    return _collect(folder, summary, _about(folder, head, notices), _source(folder, head, notices), notices)


def _collect(folder: Path, summary: Summary, about: JsonMap, source: str, notices: list[Notice]) -> Material:
    path = folder / "journal.jsonl"
    head = journal.head(path)
    numbers: dict[tuple[str, str], tuple[array[int], array[float]]] = {}
    warm: dict[tuple[str, str], tuple[array[int], array[float]]] = {}
    offsets: dict[str, dict[str, array[float]]] = defaultdict(lambda: defaultdict(lambda: array("d")))
    fleets: dict[str, list[Sequence[Mapping[str, float]]]] = defaultdict(list)
    special: list[TrialRecord] = []
    plain: list[TrialRecord] = []
    recorded = 0
    startup = any(one.metric == "startup" for one in head.quantities)
    others: Counter[type] = Counter()
    for trial, last in with_last(_attempts(path, others)):
        recorded += last
        kept = special if trial.failure is not None or trial.findings else plain
        if len(kept) < MOST_TRIALS:
            kept.append(trial)
        if not trial.warmup:
            for series in trial.series:
                fleets[trial.condition].append(series.rows)
        into = warm if trial.warmup else numbers
        for reading in trial.readings:
            cell = (trial.condition, f"{reading.metric}.{reading.quantity}")
            trials, values = into.setdefault(cell, (array("q"), array("d")))
            trials.append(trial.trial)
            values.append(reading.value)
        timed = "startup" in trial.metrics or not startup
        if timed and not trial.warmup and trial.failure is None and "requested" in trial.events:
            begin = trial.events["requested"].at_ns
            for name in trial.events:
                offsets[trial.condition][name].append((trial.events[name].at_ns - begin) / 1e9)
    if recorded > MOST_TRIALS:
        special = special[: LISTED_OF_MORE // 2]
        plain = plain[: LISTED_OF_MORE - len(special)]
    shown = sorted([*special, *plain], key=lambda one: (one.trial, one.attempt))
    empty: tuple[array[int], array[float]] = (array("q"), array("d"))
    return Material(
        folder=folder,
        head=head,
        summary=summary,
        about=about,
        source=source,
        notices=notices,
        series={
            cell: Series(*numbers.get(cell, empty), *warm.get(cell, empty))
            for cell in dict.fromkeys([*numbers, *warm])
        },
        trials=shown,
        recorded=recorded,
        offsets=offsets,
        verdicts=results.verdicts_of(folder),
        fleets=fleets,
        resumed=others[ResumeRecord],
    )


def _attempts(path: Path, others: Counter[type]) -> Iterator[TrialRecord]:
    """Yield every attempt at every trial, and count the lines of other kinds."""
    for line in journal.read(path):
        if isinstance(line, TrialRecord):
            yield line
        else:
            others[type(line)] += 1


def _about(folder: Path, head: RunRecord, notices: list[Notice]) -> JsonMap:
    """Return run.json; an empty mapping, and a notice, where it cannot be read."""
    try:
        raw = (folder / "run.json").read_bytes()
        about = json.loads(raw)
    except (OSError, ValueError):
        about = None
    if isinstance(about, dict):
        if head.about_sha256 and digest(raw) != head.about_sha256:
            notices.append(
                Notice(
                    "warning",
                    "run.json was changed since the run was started: what it says of host and engines is not "
                    "what was found",
                    "put the original back",
                )
            )
        return about
    notices.append(
        Notice(
            "warning",
            "run.json is missing or damaged, so what host and engines were is not known here",
            "restore run.json from a copy",
        )
    )
    return {}


def _source(folder: Path, head: RunRecord, notices: list[Notice]) -> str:
    """Return the experiment as given; "" where it is missing, and a notice where it was changed."""
    try:
        raw = (folder / "experiment.yaml").read_bytes()
    except OSError:
        notices.append(
            Notice("warning", "experiment.yaml is missing from the run's folder", "restore it from a copy")
        )
        return ""
    if digest(raw) != head.experiment_sha256:
        notices.append(
            Notice(
                "warning",
                "experiment.yaml was changed since the run was started: it is not what was measured",
                "put the original back",
            )
        )
    return raw.decode("utf-8-sig", "replace")


def mapping(value: object) -> JsonMap:
    """Return the value where it is a mapping, else an empty one: run.json may have been edited by hand."""
    return value if isinstance(value, dict) else {}
