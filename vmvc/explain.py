"""A run's records -> the lesson's tables for this host: layers, comparison, mechanisms; no engine is asked.

Every cell is either what was recorded, with its place, or the reason why it is not known. What a word of the
lesson means here is said once, in the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vmvc import journal, results
from vmvc.conditions import conditions_of
from vmvc.errors import ResultsError
from vmvc.explain_comparison import COMPARISON
from vmvc.explain_layers import LAYERS
from vmvc.explain_mechanisms import MECHANISMS
from vmvc.plan import Condition
from vmvc.recorded import Make, Recorded
from vmvc.records_explain import Explained, ExplainedCell, ExplainedColumn, ExplainedRow, ExplainedTable
from vmvc.records_journal import RunRecord
from vmvc.records_summary import Summary
from vmvc.runs import facts_of

MOST: Final = 8
"""Conditions up to which each has a column; of more, the first of each backend has."""
EMULATED: Final = (
    "{} ran emulated (tcg), without hardware virtualisation: its times are not those of a VM on KVM"
)


def explained(folder: Path) -> Explained:
    """Return the tables of a run's folder.

    Raises: ResultsError.
    """
    head, summary = journal.head(folder / "journal.jsonl"), results.summary_of(folder)
    try:
        return tables(head, facts_of(folder), summary)
    except ResultsError as error:
        made = tables(head, {}, summary)
        return made.model_copy(update={"notes": (f"facts of host and engines: {error.what}", *made.notes)})


def tables(head: RunRecord, about: Mapping[str, Any], summary: Summary) -> Explained:
    """Return the tables from what is read already; ``about``: run.json, empty where there is none."""
    conditions, notes = _columns(head)
    rows = {(row.condition, f"{row.metric}.{row.quantity}"): row for row in summary.rows}
    columns = [Recorded(about, rows, condition) for condition in conditions]
    described = tuple(_column(one) for one in columns)
    emulated = dict.fromkeys(one.backend for one in described if one.emulated)
    notes += [EMULATED.format(" and ".join(emulated))] if emulated else []
    if summary.measured < summary.trials:
        notes.append(f"{summary.measured} of {summary.trials} planned trials are measured")
    return Explained(
        run=head.run,
        name=head.name,
        columns=described,
        tables=tuple(
            ExplainedTable(
                name=name,
                title=title,
                rows=tuple(
                    ExplainedRow(
                        name=row.name, says=row.says, cells=tuple(_cell(one, row.answer) for one in columns)
                    )
                    for row in questions
                ),
            )
            for name, title, questions in (
                ("layers", "What stands below the application", LAYERS),
                ("comparison", "What it costs and what it gives", COMPARISON),
                ("mechanisms", "Namespaces, cgroups and union file system, as found", MECHANISMS),
            )
        ),
        notes=tuple(notes),
    )


def _columns(head: RunRecord) -> tuple[Sequence[Condition], list[str]]:
    first: dict[str, Condition] = {}
    few: list[Condition] = []
    count = 0
    for condition in conditions_of(head):
        count += 1
        first.setdefault(condition.backend, condition)
        if count <= MOST:
            few.append(condition)
    if count <= MOST:
        return few, []
    note = f"of {count} conditions the first of each backend is shown; summary.csv has all"
    return list(first.values()), [note]


def _column(one: Recorded) -> ExplainedColumn:
    return ExplainedColumn(
        condition=one.condition.id,
        backend=one.condition.backend,
        kind=one.kind,
        isolation=one.isolation,
        emulated=one.emulated,
    )


def _cell(one: Recorded, answer: Make | str) -> ExplainedCell:
    return one.number(answer) if isinstance(answer, str) else one.cell(answer)
