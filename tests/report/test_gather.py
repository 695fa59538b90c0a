"""A run's folder as people look at it: the answer, what is missing, and every state that a run can be in."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest

from tests.edited import unchecked
from tests.report import runs
from vmvc import explain, results
from vmvc.errors import ResultsError
from vmvc.records import FindingRecord
from vmvc.records_journal import UntilRecord
from vmvc.report import view_of
from vmvc.report.amount import scale, span
from vmvc.report.markdown import escape, markdown
from vmvc.report.material import MOST_TRIALS
from vmvc.report.page import page
from vmvc.report.plain import clean

ONE = ("docker",)


def told(folder: Path) -> str:
    return "\n".join(f"{one.level}: {one.text}" for one in view_of(folder).notices)


def test_numbers_are_those_of_the_summary(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run")
    view = view_of(folder)
    summary = results.summarise(folder / "journal.jsonl")
    assert [cell.row for cell in view.cells.values()] == list(summary.rows)
    assert (view.measured, view.failed, view.planned) == (27, 0, 27)


def test_phases_end_at_the_medians_of_the_summary(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run"))
    phases = [one for one in view.phases if one.condition == "docker"]
    ends = {one.name: one.end for one in phases}
    assert [one.begin for one in phases] == [0.0, *list(ends.values())[:-1]]
    wanted = {
        "create": "created",
        "start": "started",
        "until first output": "console",
        "until ready": "ready",
    }
    assert ends == {
        phase: pytest.approx(view.cells["docker", f"startup.{event}"].row.median, abs=1e-12)
        for phase, event in wanted.items()
    }


def test_lives_for_other_metrics_count_in_no_phase(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE)
    path = unchecked(folder / "journal.jsonl")
    last = json.loads(path.read_text().splitlines()[-1])
    begin = last["events"]["requested"]["at_ns"]
    last |= {"trial": 10, "metrics": ["memory"], "readings": []}
    last["events"]["ready"]["at_ns"] = begin + 10**12
    path.write_text(path.read_text() + json.dumps(last) + "\n")
    view = view_of(folder)
    (ready,) = [one for one in view.phases if one.name == "until ready"]
    assert ready.n == 8
    assert ready.end == pytest.approx(view.cells["docker", "startup.ready"].row.median)


def test_warm_ups_and_failures_count_in_no_phase(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", failing={5: "too late"}))
    assert {one.n for one in view.phases} == {7, 8}


def test_headline_quantities_stand_for_their_metrics(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run"))
    assert view.headlines[:3] == ("startup.ready", "shutdown.gone", "memory.pss")
    assert view.answers[0].startswith("Ready to answer after: process ")
    assert view.cells["docker", "startup.ready"].median in view.answers[0]


def test_every_planned_condition_is_there_with_its_reason(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", until=2, warmup=0))
    assert [one.id for one in view.conditions] == ["process", "docker", "kvm"]
    lacking = [one.condition for one in view.missing if one.reason == "8 of 8: not measured yet"]
    assert lacking[-1] == "kvm (emulated)"
    assert view.missing[-1].what == f"{len(view.quantities)} quantities"


def test_labels_are_short_where_that_is_unambiguous(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", levels=("128MiB", "1GiB"), backends=("docker",)))
    assert [one.label for one in view.conditions] == ["docker memory=128MiB", "docker memory=1GiB"]


def test_an_emulated_machine_says_so_wherever_it_is_named(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run")
    assert [one.label for one in view_of(folder).conditions] == ["process", "docker", "kvm (emulated)"]
    assert "kvm ran emulated (tcg)" in told(folder)


def test_an_unfinished_run_says_how_far_it_is(tmp_path: Path) -> None:
    assert "warning: the run is not finished: 4 of 9 trials" in told(
        runs.make(tmp_path / "run", backends=ONE, until=4)
    )


def test_a_torn_journal_shows_what_is_whole(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE)
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert "8 of 9 trials" in told(folder)


def test_a_run_that_only_warmed_up_says_so(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE, until=1)
    assert "only warm-ups have been measured" in told(folder)
    assert view_of(folder).answers == ()


def test_a_run_without_success_says_so(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE, failing=dict.fromkeys(range(1, 10), "no network"))
    assert "error: no trial succeeded: all 9 failed" in told(folder)
    assert view_of(folder).phases == ()
    assert view_of(folder).trials[0].failure == "ready: no network"


def test_one_trial_is_a_run_too(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", count=1, warmup=0, backends=("docker",)))
    cell = view.cells["docker", "startup.ready"]
    assert (cell.row.n, cell.interval) == (1, "")
    assert "(n = 1)" in view.answers[0]


def test_a_run_without_any_trial_is_shown(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", until=0))
    assert view.trials == ()
    assert len(view.missing) == 3


def test_a_changed_experiment_and_a_missing_one_are_told(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE)
    (folder / "experiment.yaml").write_text("name: other\n")
    assert "experiment.yaml was changed since the run was started" in told(folder)
    (folder / "experiment.yaml").unlink()
    assert "experiment.yaml is missing" in told(folder)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"host": 3, "backends": [], "experiment": {"guest": 1, "claims": 2}}']
)
def test_a_damaged_run_json_hides_no_number(tmp_path: Path, text: str) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE)
    (folder / "run.json").write_text(text)
    view = view_of(folder)
    assert view.cells["docker", "startup.ready"].row.n == 8
    if not text.startswith('{"'):
        assert "run.json is missing or damaged" in told(folder)


def test_a_folder_that_is_no_run_and_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="No such file"):
        view_of(tmp_path)
    folder = runs.make(tmp_path / "run", backends=ONE)
    path = folder / "journal.jsonl"
    path.write_text(path.read_text().replace('"version":1', '"version":9', 1))
    with pytest.raises(ResultsError, match="of version 9"):
        view_of(folder)


def test_a_folder_without_logs_says_that_they_are_not_there(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE, console="")
    assert view_of(folder).trials[0].console_note == "there is no console log of this trial"


def test_consoles_show_their_end_without_control_characters(tmp_path: Path) -> None:
    lines = "".join(f"line {number}\r\n" for number in range(100))
    view = view_of(
        runs.make(
            tmp_path / "run", backends=ONE, console=f"{lines}\x1b[31mred\x1b[0m \x1b]0;title\x07end\x00\r\n"
        )
    )
    assert view.trials[0].console.splitlines()[-2:] == ["line 99", "red end\ufffd"]
    assert view.trials[0].console_note == "the end only; all of it: logs/trial-1.console"
    assert "line 9\n" not in view.trials[0].console


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x1b[1;31mb\x1b[0mc", "abc"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x1b(Bx\x1b=y", "xy"),
        ("\x9b31mx\u202ey", "\ufffd31mx\ufffdy"),
        ("tab\tis kept", "tab\tis kept"),
    ],
)
def test_terminal_sequences_are_taken_out(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_a_long_run_lists_what_went_wrong_first(tmp_path: Path) -> None:
    trials = MOST_TRIALS + 10
    folder = runs.make(
        tmp_path / "run", backends=("docker",), count=trials, warmup=0, console="", failing={trials: "late"}
    )
    view = view_of(folder)
    assert (view.recorded, len(view.trials)) == (trials, 400)
    assert view.trials[-1].trial == trials


def test_verdicts_are_those_of_the_journal(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", claims=runs.CLAIMS)
    view = view_of(folder)
    assert [(one.id, one.verdict) for one in view.verdicts] == [
        ("slow", "supported"),
        ("fast", "refuted"),
        ("close", "inconclusive"),
    ]
    found = results.verdicts(folder / "journal.jsonl")
    assert [one.sentence for one in view.verdicts] == [one.sentence for one in found]
    assert any("emulated" in text for text in view.verdicts[0].spoilers) == any(
        "emulated" in finding.what for finding in found[0].spoilers
    )


def test_an_attempt_that_was_made_again_is_listed_and_counts_once(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=ONE, retried={5: "no address"})
    view = view_of(folder)
    assert [one.key for one in view.trials if one.trial == 5] == ["5-1", "5"]
    assert [one.failure for one in view.trials if one.trial == 5] == ["ready: no address", ""]
    assert (view.recorded, view.failed, view.cells["docker", "startup.ready"].row.n) == (9, 0, 8)
    assert "not finished" not in told(folder)


def test_a_stop_rule_is_part_of_the_method(tmp_path: Path) -> None:
    rule = UntilRecord(metric="startup.ready", relative_ci=0.05, min=6, max=8)
    view = view_of(runs.make(tmp_path / "run", backends=ONE, rule=rule))
    method = dict(view.method)
    assert "until the median of startup.ready is known within 5%, 6 to 8 measured" in method["Repetitions"]
    assert not any("--trials" in command for command in view.commands)


def test_ratios_are_those_of_the_summary(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run")
    view = view_of(folder)
    (wanted,) = [
        one
        for one in results.summarise(folder / "journal.jsonl").comparisons
        if (one.condition, one.metric, one.quantity) == ("docker", "startup", "ready")
    ]
    (shown,) = [one for one in view.ratios if (one.label, one.key) == ("docker", "startup.ready")]
    assert (shown.row, shown.baseline, view.baseline) == (wanted, "process", "process")
    assert shown.interval == f"{wanted.ratio_low:.3g} to {wanted.ratio_high:.3g}"
    assert f"{wanted.ratio:.3g} times that of process" in view.answers[0]


def test_trends_have_units_that_people_read(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", levels=("128MiB", "256MiB", "512MiB"), backends=("docker",)))
    (shown,) = [one for one in view.slopes if one.key == "startup.ready"]
    assert (shown.backend, shown.factor, shown.levels) == ("docker", "guest.memory", "128MiB, 256MiB, 512MiB")
    assert shown.slope.endswith("s per MiB") or shown.slope.endswith("] per MiB")


def test_a_summary_that_is_known_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs.make(tmp_path / "run")
    summary = results.summarise(folder / "journal.jsonl")
    again = view_of(folder)
    monkeypatch.setattr(results, "summary_of", None)
    assert view_of(folder, summary) == again


def test_claims_of_an_old_run_are_not_judged(tmp_path: Path) -> None:
    claim = {"id": "fast", "says": "It is fast", "metric": "startup.ready"}
    folder = runs.make(tmp_path / "run", backends=ONE)
    about = json.loads((folder / "run.json").read_text())
    about["experiment"]["claims"] = [claim]
    (folder / "run.json").write_text(json.dumps(about))
    (one,) = view_of(folder).verdicts
    assert (one.id, one.says, one.verdict) == ("fast", "It is fast", "not judged")


def test_the_lesson_is_that_of_explain_to_the_cell(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run")
    view = view_of(folder)
    assert view.explained == explain.explained(folder)
    rows = {row.name: [cell.text for cell in row.cells] for row in view.explained.tables[0].rows}
    assert [one.condition for one in view.explained.columns] == ["process", "docker", "kvm"]
    html, text = page(view), markdown(view)
    for name, cells in rows.items():
        for cell in filter(None, cells):
            assert cell in unescape(html), name
            assert escape(cell) in text, name


def test_findings_stand_beside_the_backend_that_they_name(tmp_path: Path) -> None:
    found = [
        FindingRecord(code="a", severity="warning", what="docker: slow disk"),
        FindingRecord(code="b", severity="info", what="docker: worth knowing"),
        FindingRecord(code="c", severity="warning", what="the host is busy"),
    ]
    view = view_of(runs.make(tmp_path / "run", backends=ONE, findings=found))
    assert [one.code for one in view.found_on("docker")] == ["a"]
    assert view.found_on("process") == []


def test_axes_have_units_that_read_well() -> None:
    assert scale(0.5, "s") == ("ms", 1e-3)
    assert scale(12.0, "s") == ("s", 1.0)
    assert scale(3 * 2**20, "B") == ("MiB", 2.0**20)
    assert scale(0.0, "B") == ("B", 1.0)
    assert scale(5, "1") == ("", 1.0)


def test_a_span_names_a_shared_unit_once() -> None:
    assert span(1.7, 2.5, "s") == "1.7 to 2.5 s"
    assert span(0.5, 2.5, "s") == "500 ms to 2.5 s"
    assert span(0.5, 0.9998, "s") == "500 ms to 1 s"
    assert span(3.0, 4.0, "1") == "3 to 4"
