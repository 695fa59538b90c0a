"""Derived files: every planned condition and quantity, absence never as 0, the same bytes each time."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.edited import unchecked
from vmvc import results
from vmvc.cli.summary import print_summary
from vmvc.errors import ResultsError, StorageError
from vmvc.journal import Journal
from vmvc.records_journal import JOURNAL_LINE, RunRecord, TrialRecord
from vmvc.records_summary import Summary, SummaryRow

READY = {"metric": "startup", "quantity": "ready", "unit": "s", "better": "lower", "says": "Ready."}
CONSOLE = {"metric": "startup", "quantity": "console", "unit": "s", "better": "lower", "says": "Console."}
RSS = {"metric": "memory", "quantity": "rss", "unit": "B", "better": "lower", "says": "Memory."}


def head(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "version": 1,
        "run": "r1",
        "experiment_sha256": "0" * 64,
        "name": "first",
        "seed": 1,
        "count": 8,
        "trials": 18,
        "axes": {"fake": {"guest.memory": (True, "1GiB")}, "other": {}},
        "only": (),
        "quantities": (READY, CONSOLE, RSS),
    }
    return RunRecord.model_validate(fields | changes)


def trial(number: int, condition: str = "other", **changes: Any) -> TrialRecord:
    fields: dict[str, Any] = {
        "trial": number,
        "block": number,
        "position": 1,
        "warmup": False,
        "backend": condition.split()[0],
        "condition": condition,
        "factors": {},
        "metrics": ("startup", "memory"),
        "instance": f"vmvc-r1-{number}",
        "wall": "2026-11-23T00:00:00.000+00:00",
        "outcome": "measured",
        "events": {},
        "readings": (reading(float(number)),),
    }
    return TrialRecord.model_validate(fields | changes)


def reading(value: float, resolution: float | None = 0.25) -> dict[str, object]:
    return {"metric": "startup", "quantity": "ready", "unit": "s", "value": value, "resolution": resolution}


FAILED: dict[str, Any] = {
    "outcome": "failed",
    "failure": {"phase": "ready", "error": "DeadlineExceeded", "reason": "too late"},
    "readings": (),
}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def write(*trials: TrialRecord, **changes: Any) -> Path:
        with Journal(tmp_path / "journal.jsonl") as book:
            book.append(head(**changes))
            for one in trials:
                book.append(one)
        return tmp_path

    return write


def row(summary: Summary, condition: str, quantity: str) -> SummaryRow:
    (one,) = [one for one in summary.rows if (one.condition, one.quantity) == (condition, quantity)]
    return one


def test_every_planned_condition_and_quantity_has_a_row(folder: Callable[..., Path]) -> None:
    summary = results.rebuild(folder(trial(1)))
    assert [(one.condition, one.quantity) for one in summary.rows] == [
        (condition, quantity)
        for condition in ("fake guest.memory=true", "fake guest.memory=1GiB", "other")
        for quantity in ("ready", "console", "rss")
    ]
    assert row(summary, "fake guest.memory=1GiB", "ready").reason == "8 of 8: not measured yet"


def test_statistics_leave_warm_ups_and_failures_out(folder: Callable[..., Path]) -> None:
    trials = [trial(number) for number in range(1, 8)]
    summary = results.rebuild(
        folder(trial(8, warmup=True, readings=(reading(1000.0),)), *trials, trial(9, **FAILED))
    )
    ready = row(summary, "other", "ready")
    assert (ready.n, ready.failed, ready.planned) == (7, 1, 8)
    assert (ready.min, ready.q1, ready.median, ready.q3, ready.max) == (1, 2.5, 4, 5.5, 7)
    assert ready.reason == "1 of 8: ready: too late"
    assert (summary.measured, summary.failed) == (8, 1)


def test_the_interval_is_by_order_statistics_and_no_narrower_than_the_resolution(
    folder: Callable[..., Path],
) -> None:
    same = results.rebuild(folder(*(trial(number, readings=(reading(4.0),)) for number in range(1, 7))))
    ready = row(same, "other", "ready")
    assert (ready.low, ready.high, ready.resolution) == (3.75, 4.0, 0.25)


def test_outliers_are_counted_and_stay_in(folder: Callable[..., Path]) -> None:
    values = [132.7067, 132.9015, 132.8607, 132.614, 132.6397, 132.5018, 132.6546, 108.7559]
    summary = results.rebuild(
        folder(*(trial(number, readings=(reading(value),)) for number, value in enumerate(values, 1)))
    )
    ready = row(summary, "other", "ready")
    assert (ready.n, ready.outliers, ready.min) == (8, 1, 108.7559)


def test_few_values_have_no_interval(folder: Callable[..., Path]) -> None:
    ready = row(results.rebuild(folder(*(trial(number) for number in range(1, 6)))), "other", "ready")
    assert ready.median == 3
    assert ready.low is None
    assert ready.high is None


def test_a_missing_value_is_an_empty_cell_with_a_reason_and_never_0(folder: Callable[..., Path]) -> None:
    absent = ({"metric": "startup", "quantity": "console", "reason": "it printed nothing"},)
    where = folder(trial(1, absent=absent), trial(2, **FAILED))
    summary = results.rebuild(where)
    console = row(summary, "other", "console")
    assert (console.n, console.median) == (0, None)
    assert console.reason == "1 of 8: ready: too late; 1 of 8: it printed nothing"
    with (where / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(one["trial"], one["quantity"], one["value"], one["unit"]) for one in rows] == [
        ("1", "ready", "1", "s"),
        ("1", "console", "", "s"),
    ]


def test_columns_are_those_that_the_readme_lists(folder: Callable[..., Path]) -> None:
    where = folder(trial(1, "fake guest.memory=1GiB", factors={"guest.memory": "1GiB"}))
    results.rebuild(where)
    first, second = (where / "measurements.csv").read_text().splitlines()
    assert first == (
        "run,trial,block,position,warmup,backend,condition,metric,quantity,value,unit,guest.memory"
    )
    assert second == "r1,1,1,1,false,fake,fake guest.memory=1GiB,startup,ready,1,s,1GiB"


def test_values_survive_the_csv_exactly(folder: Callable[..., Path]) -> None:
    values = [0.1 + 0.2, 1e-9, 123456789012345.0, 2.0**60, -3.5]
    where = folder(*(trial(number, readings=(reading(value),)) for number, value in enumerate(values, 1)))
    results.rebuild(where)
    with (where / "measurements.csv").open() as file:
        assert [float(one["value"]) for one in csv.DictReader(file)] == values


def test_rebuilt_files_are_the_same_bytes(folder: Callable[..., Path]) -> None:
    where = folder(*(trial(number) for number in range(1, 8)), trial(9, **FAILED))
    results.rebuild(where)
    derived = ("measurements.csv", "summary.json", "summary.csv")
    before = {name: (where / name).read_bytes() for name in derived}
    for name in derived:
        (where / name).unlink()
    results.rebuild(where)
    assert {name: (where / name).read_bytes() for name in derived} == before


def test_a_trial_recorded_twice_is_refused(folder: Callable[..., Path]) -> None:
    with pytest.raises(ResultsError, match="trial 1 is recorded twice"):
        results.rebuild(folder(trial(1), trial(1)))


def test_values_of_mixed_units_are_refused(folder: Callable[..., Path]) -> None:
    other = {**reading(4096.0), "unit": "B"}
    with pytest.raises(ResultsError, match=r"trial 2: startup.ready is in 'B', the run measures it in 's'"):
        results.rebuild(folder(trial(1), trial(2, readings=(other,))))


def test_values_beyond_measure_are_refused(folder: Callable[..., Path]) -> None:
    with pytest.raises(ResultsError, match=r"trial 1: startup.ready is no measurement, got 1e\+200"):
        results.rebuild(folder(trial(1, readings=(reading(1e200),))))


def test_two_runs_in_one_journal_are_refused(folder: Callable[..., Path]) -> None:
    folder(trial(1))
    with pytest.raises(ResultsError, match=r"journal.jsonl:3: a second run begins here"):
        results.rebuild(folder(trial(2), options={"startup": {"settle": 2}}))


def test_a_run_of_an_older_version_is_compared_with_its_first_backend(folder: Callable[..., Path]) -> None:
    where = folder(*(trial(number) for number in range(1, 8)))
    text = unchecked(where / "journal.jsonl").read_text()
    assert '"baseline":""' in text
    (where / "journal.jsonl").write_text(text.replace('"baseline":"",', "").replace('"options":{},', ""))
    summary = results.summarise(where / "journal.jsonl")
    assert summary.baseline == "fake"
    assert [(one.condition, one.baseline) for one in summary.comparisons if one.quantity == "ready"] == [
        ("other", "fake guest.memory=true")
    ]


def test_comparisons_and_trends_leave_warm_ups_out(folder: Callable[..., Path]) -> None:
    levels = [(f"fake guest.memory={level}", {"guest.memory": level}) for level in ("1GiB", "2GiB")]
    every = [("other", {}), *levels]
    trials = [
        trial(3 * block + place, condition, block=block, factors=factors, warmup=block == 1, readings=(
            reading(1000.0 if block == 1 else block + place),
        ))
        for block in range(1, 8)
        for place, (condition, factors) in enumerate(every)
    ]  # fmt: skip
    axes = {"other": {}, "fake": {"guest.memory": ("1GiB", "2GiB")}}
    summary = results.rebuild(folder(*trials, axes=axes, quantities=(READY,)))
    assert [one.n for one in summary.comparisons] == [6, 6]
    assert [one.difference for one in summary.comparisons] == [1, 2]
    assert all(one.paired and one.family == 2 for one in summary.comparisons)
    (trend,) = summary.trends
    assert trend.n == (6, 6)
    assert trend.slope == pytest.approx(1 / 2**30)


def test_planted_faults_in_a_journal_are_findings_of_its_summary(folder: Callable[..., Path]) -> None:
    drifting = [trial(number, readings=(reading(float(number)),)) for number in range(1, 13)]
    findings = results.rebuild(folder(*drifting, count=12)).findings
    assert [finding.code for finding in findings] == ["flag.drift", "flag.autocorrelated"]
    assert [finding.severity for finding in findings] == ["warning", "info"]


def test_no_nan_is_ever_written(folder: Callable[..., Path]) -> None:
    """Whatever the values are: constants, one value, none, zeros, negative and huge ones."""
    strange = ([5.0] * 8, [0.0] * 8, [-1.0, 1.0] * 4, [3e149, -3e149] * 4, [5e-324] * 8, [1.0])
    for number, values in enumerate(strange):
        trials = [
            trial(2 * place + who, name, block=place + 1, readings=(reading(value * (who + 1), None),))
            for place, value in enumerate(values)
            for who, name in enumerate(("other", "fake guest.memory=1GiB"), 1)
        ]
        where = folder(*trials) if not number else _again(folder, trials)
        results.rebuild(where)
        for name in ("summary.json", "summary.csv"):
            text = (where / name).read_text().lower()
            assert not re.search(r"\b(nan|inf|infinity)\b", text), (values, text)


@pytest.mark.parametrize("failed", [False, True])
def test_an_empty_run_and_one_in_which_all_failed_have_no_numbers(
    folder: Callable[..., Path], failed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("other", "fake guest.memory=true")
    trials = [trial(number, names[number % 2], **FAILED) for number in range(1, 17)] if failed else []
    where = folder(*trials)
    summary = results.rebuild(where)
    assert all(one.n == 0 and one.median is None and one.flags == () and one.reason for one in summary.rows)
    assert all(one.ratio is None and one.p is None and one.reason for one in summary.comparisons)
    assert all(one.slope is None and one.p is None and one.reason for one in summary.trends)
    assert row(summary, "other", "ready").failed_low == (pytest.approx(0.6756, abs=1e-4) if failed else None)
    print_summary(summary, where)
    assert not re.search(r"\b(nan|None|inf)\b", capsys.readouterr().out)


def _again(folder: Callable[..., Path], trials: list[TrialRecord]) -> Path:
    (folder() / "journal.jsonl").unlink()
    return folder(*trials)


def test_a_disk_that_is_full_leaves_the_old_files(
    folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = folder(trial(1))
    results.rebuild(where)
    before = (where / "measurements.csv").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="the journal is whole"):
        results.rebuild(where)
    assert (where / "measurements.csv").read_bytes() == before
    assert [path.name for path in where.iterdir() if path.name.startswith(".")] == []


def test_findings_stand_beside_the_numbers(folder: Callable[..., Path]) -> None:
    spoiled = {"code": "stop.forced", "severity": "warning", "what": "forced"}
    before = {"code": "host.load", "severity": "warning", "what": "the host is busy"}
    where = folder(trial(1, findings=(spoiled,)), trial(2, findings=(spoiled,)), trial(3), findings=(before,))
    found = [finding.what for finding in results.rebuild(where).findings]
    assert found == ["the host is busy", "other: forced (2 trials)"]


def test_files_fit_their_schemas(folder: Callable[..., Path]) -> None:
    where = folder(*(trial(number) for number in range(1, 8)), trial(9, **FAILED))
    results.rebuild(where)
    journal_schema = JOURNAL_LINE.json_schema(mode="serialization")
    for line in _lines(where / "journal.jsonl"):
        jsonschema.validate(line, journal_schema)
    summary = json.loads((where / "summary.json").read_text())
    jsonschema.validate(summary, Summary.model_json_schema(mode="serialization"))


def _lines(path: Path) -> Iterator[object]:
    for line in path.read_text().splitlines():
        yield json.loads(line)


# --- series -----------------------------------------------------------------------------------------------

SERIES = {
    "metric": "density",
    "columns": {"instance": "1", "ready": "s", "disk": "B"},
    "rows": ({"instance": 1, "ready": 0.5}, {"instance": 2, "ready": 0.1 + 0.2, "disk": 4096}),
}


def test_a_series_becomes_a_file_with_a_row_each_and_absence_is_empty(folder: Callable[..., Path]) -> None:
    where = folder(
        trial(1),
        trial(2, "fake guest.memory=1GiB", factors={"guest.memory": "1GiB"}, series=(SERIES,)),
        trial(3, warmup=True, series=(SERIES,)),
    )
    results.rebuild(where)
    assert (where / "series-density.csv").read_text().splitlines() == [
        "run,trial,block,position,warmup,backend,condition,instance,ready,disk,guest.memory",
        "r1,2,2,1,false,fake,fake guest.memory=1GiB,1,0.5,,1GiB",
        "r1,2,2,1,false,fake,fake guest.memory=1GiB,2,0.30000000000000004,4096,1GiB",
        "r1,3,3,1,true,other,other,1,0.5,,",
        "r1,3,3,1,true,other,other,2,0.30000000000000004,4096,",
    ]


def test_each_metric_with_series_has_its_file_and_others_none(folder: Callable[..., Path]) -> None:
    wider = {"metric": "load", "columns": {"at": "s"}, "rows": ({"at": 1.0},)}
    where = folder(trial(1, series=(SERIES, wider)), trial(2))
    results.rebuild(where)
    assert sorted(path.name for path in where.glob("series-*")) == ["series-density.csv", "series-load.csv"]
    assert len((where / "series-load.csv").read_text().splitlines()) == 2


def test_columns_that_a_later_trial_adds_are_there_for_all(folder: Callable[..., Path]) -> None:
    more = {**SERIES, "columns": {"instance": "1", "swap": "B"}, "rows": ({"instance": 1, "swap": 7},)}
    where = folder(trial(1, series=(SERIES,)), trial(2, series=(more,)))
    results.rebuild(where)
    head, first, _, last = (where / "series-density.csv").read_text().splitlines()
    assert head.split(",")[7:11] == ["instance", "ready", "disk", "swap"]
    assert first.split(",")[7:11] == ["1", "0.5", "", ""]
    assert last.split(",")[7:11] == ["1", "", "", "7"]


def test_a_journal_of_before_there_were_series_has_none(folder: Callable[..., Path]) -> None:
    where = folder(trial(1))
    path = unchecked(where / "journal.jsonl")
    path.write_text(path.read_text().replace(',"series":[]', ""))
    assert "series" not in path.read_text()
    assert results.rebuild(where).measured == 1
    assert not list(where.glob("series-*"))
