"""What was read of a run -> the view that every report is made from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from vmvc import explain
from vmvc.conditions import conditions_of
from vmvc.plan import Condition as Planned
from vmvc.plan import show_level
from vmvc.records import FindingRecord
from vmvc.records_journal import UNCLEAN, TrialRecord
from vmvc.records_summary import Comparison, Summary, SummaryRow, Trend
from vmvc.report import answer, growth, isolation, material, phases, surroundings, workloads
from vmvc.report.amount import chance, scale, span
from vmvc.report.figures import Cell, Part, Ratio, Slope
from vmvc.report.material import Material
from vmvc.report.plain import clean
from vmvc.report.view import ACCOUNTS, Condition, Missing, Notice, Quantity, Trial, View
from vmvc.units import show

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7a7a7a")
"""Told apart by colour-blind people, on white and on black. Source: Okabe & Ito (2008), "Color Universal
Design", less black and yellow, which vanish on one of the two."""
LOG_FROM: Final = 20.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""


def view_of(folder: Path, summary: Summary | None = None) -> View:
    """Return the view of a run's folder; ``summary``: that of its journal, where it is known already.

    Raises: ResultsError.
    """
    return _view(material.read(folder, summary))


def _view(stuff: Material) -> View:
    head, summary = stuff.head, stuff.summary
    conditions = _conditions(stuff)
    labels = {one.id: one.label for one in conditions}
    cells = {
        (row.condition, key): Cell(row, labels[row.condition], key)
        for row in summary.rows
        for key in [f"{row.metric}.{row.quantity}"]
    }
    quantities = _quantities(stuff, cells)
    notices = [*_state(stuff), *stuff.notices, *_emulation(conditions)]
    ratios = tuple(_ratios(summary.comparisons, conditions))
    headlines = answer.headlines([one.key for one in quantities], cells.values())
    return View(
        name=head.name,
        title=_title(stuff),
        run=head.run,
        began=str(stuff.about.get("wall", "")) or (stuff.trials[0].wall if stuff.trials else ""),
        vmvc=str(stuff.about.get("vmvc", "")),
        confidence=summary.confidence,
        planned=summary.trials,
        measured=summary.measured,
        failed=summary.failed,
        cleanup_failed=summary.cleanup_failed,
        notices=tuple(notices),
        verdicts=answer.verdicts(stuff),
        answers=answer.sentences(cells, conditions, headlines, ratios),
        headlines=headlines,
        quantities=quantities,
        conditions=conditions,
        cells=cells,
        series=stuff.series,
        phases=tuple(phases.phases(stuff.offsets, conditions)),
        memory=tuple(_parts("memory", cells, conditions)),
        disk=tuple(_parts("disk", cells, conditions)),
        baseline=summary.baseline,
        bare=_is_bare(stuff),
        ratios=ratios,
        slopes=tuple(_slopes(summary.trends)),
        fleets=tuple(growth.grown(stuff.fleets, conditions)),
        lines=tuple(growth.lines(cells, conditions)),
        workloads=workloads.keys(quantities, _kinds(stuff)),
        isolation=isolation.facts(quantities, conditions, cells),
        missing=tuple(_missing(summary.rows, labels)),
        findings=_findings(summary.findings),
        trials=tuple(
            _trial(stuff, one, labels, again=after is not None and after.trial == one.trial)
            for one, after in zip_longest(stuff.trials, stuff.trials[1:])
        ),
        recorded=stuff.recorded,
        explained=explain.tables(stuff.head, stuff.about, stuff.summary),
        method=tuple(surroundings.method(stuff)),
        environment=tuple(surroundings.environment(stuff)),
        source=clean(stuff.source),
        commands=tuple(surroundings.commands(stuff)),
    )


def _is_bare(stuff: Material) -> bool:
    """Say whether the baseline stands on nothing but the host."""
    known = stuff.head.isolation.get(stuff.summary.baseline)
    if known is not None:
        return known == "none"
    backends = material.mapping(stuff.about.get("backends"))
    return material.mapping(backends.get(stuff.summary.baseline)).get("isolation") == "none"


def _kinds(stuff: Material) -> dict[str, str]:
    """Return the kinds of metrics that go by another name."""
    options = stuff.head.options
    return {name: str(given["kind"]) for name, given in options.items() if "kind" in given}


def _title(stuff: Material) -> str:
    title = material.mapping(stuff.about.get("experiment")).get("title")
    return clean(str(title)) if title else stuff.head.name


# --- conditions and quantities ----------------------------------------------------------------------------


def _conditions(stuff: Material) -> tuple[Condition, ...]:
    planned = list(conditions_of(stuff.head))
    backends = list(dict.fromkeys(one.backend for one in planned))
    keys = backends if len(planned) > len(COLOURS) else [one.id for one in planned]
    colours = {key: COLOURS[number % len(COLOURS)] for number, key in enumerate(keys)}
    emulated = surroundings.emulated(stuff)
    labels = _labels(planned)
    return tuple(
        Condition(
            one.id,
            f"{labels[one.id]} (emulated)" if one.backend in emulated else labels[one.id],
            one.backend,
            colours.get(one.id) or colours[one.backend],
            one.backend in emulated,
        )
        for one in planned
    )


def _labels(planned: Sequence[Planned]) -> Mapping[str, str]:
    """Return short names: the last part of each factor path, unless that would make two of them alike."""
    short = {
        one.id: " ".join(
            [
                one.backend,
                *(f"{path.rpartition('.')[2]}={show_level(level)}" for path, level in one.factors.items()),
            ]
        )
        for one in planned
    }
    twice = {label for label, times in Counter(short.values()).items() if times > 1}
    return {id_: id_ if label in twice else label for id_, label in short.items()}


def _quantities(stuff: Material, cells: Mapping[tuple[str, str], Cell]) -> tuple[Quantity, ...]:
    found = []
    for one in stuff.head.quantities:
        key = f"{one.metric}.{one.quantity}"
        rows = [cell.row for (_, name), cell in cells.items() if name == key and cell.row.n]
        low = min((row.min for row in rows if row.min is not None), default=0.0)
        high = max((row.max for row in rows if row.max is not None), default=0.0)
        axis, divisor = scale(max(abs(low), abs(high)), one.unit)
        log = low > 0 and high / low >= LOG_FROM
        found.append(Quantity(key, one.metric, one.unit, one.better, one.says, axis, divisor, log))
    return tuple(found)


# --- notices ----------------------------------------------------------------------------------------------


def _state(stuff: Material) -> Iterator[Notice]:
    summary, place = stuff.summary, f"results/{stuff.head.name}/{stuff.head.run}"
    done = summary.measured + summary.failed
    if done < summary.trials:
        yield Notice(
            "warning",
            f"the run is not finished: {done} of {summary.trials} trials are recorded; "
            "these are its numbers so far",
            f"vmvc run --resume {place}",
        )
    counted = sum(row.n for row in summary.rows)
    if done and not summary.measured:
        yield Notice("error", f"no trial succeeded: all {summary.failed} failed; the reasons are below")
    elif done and not counted:
        yield Notice("warning", "only warm-ups have been measured so far, and warm-ups count in no summary")
    elif summary.failed:
        yield Notice(
            "warning",
            f"{summary.failed} of {done} trials failed; each is listed below with its phase and reason",
        )
    if summary.cleanup_failed:
        yield Notice(
            "warning",
            f"{summary.cleanup_failed} of {done} trials: measured, cleanup failed. The run stopped there, "
            "and went on only when what had been left was gone",
        )


def _emulation(conditions: Iterable[Condition]) -> Iterator[Notice]:
    names = list(dict.fromkeys(one.backend for one in conditions if one.emulated))
    if names:
        yield Notice(
            "warning",
            f"{' and '.join(names)} ran emulated (tcg), without hardware virtualisation: "
            "some 10 to 50 times slower than KVM; these are not the figures of hardware virtualisation",
            "measure on a host with /dev/kvm",
        )


# --- what charts show -------------------------------------------------------------------------------------


def _parts(
    metric: str, cells: Mapping[tuple[str, str], Cell], conditions: Iterable[Condition]
) -> Iterator[Part]:
    for condition in conditions:
        for account, parts in ACCOUNTS[metric].items():
            for name, key in parts.items():
                cell = cells.get((condition.id, key))
                if cell is not None and cell.row.median is not None:
                    yield Part(condition.label, account, name, key, cell.row.median)


def _ratios(found: Iterable[Comparison], conditions: Iterable[Condition]) -> Iterator[Ratio]:
    known = {one.id: one for one in conditions}
    for row in found:
        one, baseline = known[row.condition], known[row.baseline]
        if row.ratio is not None or row.difference is not None:
            yield Ratio(f"{row.metric}.{row.quantity}", one.label, baseline.label, one.colour, row)


def _slopes(found: Iterable[Trend]) -> Iterator[Slope]:
    for row in found:
        held = " ".join(f"{path}={show_level(level)}" for path, level in row.factors.items())
        told = ""
        if row.slope is not None:
            step, name = (
                (2**20, "MiB") if row.level_unit == "B" else (1, row.level_unit.replace("1", "step of 1"))
            )
            told = show(row.slope * step, row.unit)
            if row.slope_low is not None and row.slope_high is not None:
                told += f" [{span(row.slope_low * step, row.slope_high * step, row.unit)}]"
            told += f" per {name}"
        yield Slope(
            f"{row.metric}.{row.quantity}",
            f"{row.backend} {held}".strip(),
            row.factor,
            ", ".join(map(show_level, row.levels)),
            told,
            chance(row.p_adjusted),
            clean(row.reason),
        )


def _missing(rows: Iterable[SummaryRow], labels: Mapping[str, str]) -> Iterator[Missing]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault((row.condition, row.reason), []).append(f"{row.metric}.{row.quantity}")
    for (condition, reason), names in reasons.items():
        what = ", ".join(names) if len(names) <= 6 else f"{len(names)} quantities"
        yield Missing(labels[condition], what, clean(reason))


def _findings(found: Iterable[FindingRecord]) -> tuple[FindingRecord, ...]:
    return tuple(
        one.model_copy(update={"what": clean(one.what), "remedy": clean(one.remedy)}) for one in found
    )


def _trial(stuff: Material, trial: TrialRecord, labels: Mapping[str, str], *, again: bool) -> Trial:
    """Return one attempt at a trial; ``again``: another one follows."""
    console, note = stuff.console(trial)
    failure = trial.failure
    return Trial(
        trial=trial.trial,
        key=f"{trial.trial}-{trial.attempt}" if again else str(trial.trial),
        block=trial.block,
        position=trial.position,
        warmup=trial.warmup,
        condition=trial.condition,
        label=labels.get(trial.condition, trial.condition),
        wall=trial.wall,
        instance=trial.instance,
        failure="" if failure is None else clean(f"{failure.phase}: {failure.reason}"),
        hint="" if failure is None else clean(failure.hint),
        unclean=trial.outcome == UNCLEAN,
        events=trial.events,
        values={f"{one.metric}.{one.quantity}": one.value for one in trial.readings},
        absent=tuple((f"{one.metric}.{one.quantity}", clean(one.reason)) for one in trial.absent),
        findings=_findings(trial.findings),
        noise={name: value for name, value in trial.noise.items() if math.isfinite(value)},
        console=console,
        console_note=note,
    )
