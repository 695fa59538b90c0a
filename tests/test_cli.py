"""The commands, run as users run them, on the fake backend: what they print, where, and how they exit."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import VMVC, vmvc
from vmvc.cli import COMMANDS, text

FAKE = """\
name: first
backends:
  fake: {{options: {{state: {state}, {options}}}}}
metrics: [startup, shutdown]
trials: {{count: {count}, warmup: 1, timeout: 5s, stop_timeout: 2s}}
"""


@pytest.fixture
def fake(tmp_path: Path, experiment: Callable[[str], Path]) -> Callable[..., Path]:
    """Write an experiment on the fake backend with these options."""

    def write(options: str = "ready: 1ms", count: int = 3) -> Path:
        return experiment(FAKE.format(state=tmp_path / "state", options=options, count=count))

    return write


def run_of(folder: Path) -> Path:
    (one,) = (folder / "results" / "first").iterdir()
    return one


def trials_in(run: Path) -> list[int]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [line["trial"] for line in lines if line["record"] == "trial"]


# --- the way that goes well -------------------------------------------------------------------------------


def test_a_run_leaves_its_folder_and_prints_a_table(tmp_path: Path, fake: Callable[..., Path]) -> None:
    path = fake()
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 0
    assert "startup.ready" in said.out
    assert "4/4 fake: ready after" in said.err
    run = run_of(tmp_path)
    assert {entry.name for entry in run.iterdir()} == {
        *("experiment.yaml", "run.json", "journal.jsonl", "measurements.csv", "summary.json"),
        *("summary.csv", "claims.json", "report.html", "report.md", "logs", "SHA256SUMS"),
    }
    assert (run / "experiment.yaml").read_bytes() == path.read_bytes()
    about = json.loads((run / "run.json").read_text())
    assert about["experiment"]["guest"]["memory"] == "256MiB"
    assert about["backends"]["fake"]["facts"]["engine"] == "fake"
    assert about["host"]
    assert about["plan"]["trials"] == 4
    assert about["conditions"]["fake"]["facts"] == {"image": "none"}


def test_results_go_where_they_are_told(tmp_path: Path, fake: Callable[..., Path]) -> None:
    assert vmvc("run", fake(), "--results", tmp_path / "elsewhere", "--trials", "1", cwd=tmp_path).code == 0
    (run,) = (tmp_path / "elsewhere" / "first").iterdir()
    assert len(trials_in(run)) == 2


def test_several_files_run_one_after_the_other(tmp_path: Path, fake: Callable[..., Path]) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(fake().read_text().replace("name: first", "name: other"))
    assert vmvc("run", tmp_path / "experiment.yaml", other, "--quiet", cwd=tmp_path).code == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["first", "other"]


def test_quiet_prints_nothing(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake(), "--quiet", cwd=tmp_path)
    assert (said.code, said.out, said.err) == (0, "", "")


def test_json_prints_only_json(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake(), "--json", cwd=tmp_path)
    *lines, summary = [json.loads(line) for line in said.out.splitlines()]
    assert {line["record"] for line in lines} >= {"opened", "trial"}
    assert [line["trial"] for line in lines if line["record"] == "trial"] == [1, 2, 3, 4]
    assert summary["measured"] == 4


def test_an_experiment_can_come_from_a_pipe(tmp_path: Path, fake: Callable[..., Path]) -> None:
    assert vmvc("run", "-", "--quiet", cwd=tmp_path, stdin=fake().read_text()).code == 0


def test_only_leaves_the_other_backends_out(tmp_path: Path, experiment: Callable[[str], Path]) -> None:
    path = experiment(
        "name: first\nmetrics: [startup]\ntrials: {count: 1, warmup: 0}\nbackends:\n"
        f"  one: {{kind: fake, options: {{state: {tmp_path}/a}}}}\n"
        "  two: {kind: fake, options: {fail: {check: it is broken}}}\n"
    )
    assert vmvc("run", path, "--only", "one", "--quiet", cwd=tmp_path).code == 0
    said = vmvc("run", path, "--only", "three", cwd=tmp_path)
    assert (said.code, "selects no condition" in said.err) == (2, True)


def test_show_prints_and_rebuilds_the_same_bytes(tmp_path: Path, fake: Callable[..., Path]) -> None:
    vmvc("run", fake(), "--quiet", cwd=tmp_path)
    run = run_of(tmp_path)
    names = ("measurements.csv", "summary.json", "summary.csv", "claims.json")
    before = {name: (run / name).read_bytes() for name in names}
    for name in names:
        (run / name).unlink()
    said = vmvc("show", "--rebuild", run, cwd=tmp_path)
    assert said.code == 0
    assert "startup.ready" in said.out
    assert {name: (run / name).read_bytes() for name in names} == before
    assert json.loads(vmvc("show", "--json", run.parent, cwd=tmp_path).out)["run"] == run.name


def test_show_prints_ratios_to_the_baseline(tmp_path: Path, experiment: Callable[[str], Path]) -> None:
    path = experiment(
        f"name: first\nbackends:\n  slow: {{kind: fake, options: {{create: 8ms, state: {tmp_path / 's'}}}}}\n"
        f"  fast: {{kind: fake, options: {{state: {tmp_path / 's'}}}}}\n"
        "metrics: [startup]\ntrials: {count: 7, warmup: 0}\n"
    )
    assert vmvc("run", path, "--quiet", cwd=tmp_path).code == 0
    said = vmvc("show", "results/first", cwd=tmp_path)
    table = said.out.partition("compared with slow:\n")[2].splitlines()
    assert re.fullmatch(r"quantity +condition +ratio of medians \[95% interval\] +p \(Holm\)", table[0])
    assert re.fullmatch(r"startup.created +fast +[\d.]+ \[[\d.]+, [\d.]+\] +[\d.]+", table[1]), table[1]
    summary = json.loads(vmvc("show", "results/first", "--json", cwd=tmp_path).out)
    assert summary["baseline"] == "slow"
    assert summary["comparisons"][0]["baseline"] == "slow"


def test_plan_prints_the_order_and_runs_nothing(tmp_path: Path, fake: Callable[..., Path]) -> None:
    log = tmp_path / "calls"
    path = fake(f"log: {log}")
    said = vmvc("plan", path, cwd=tmp_path)
    assert said.code == 0
    assert "1 conditions x 3 trials + 1 warm-up = 4 trials" in said.out
    lines = [json.loads(line) for line in vmvc("plan", path, "--json", cwd=tmp_path).out.splitlines()]
    assert lines[0]["trials"] == len(lines) - 1 == 4
    assert [line["warmup"] for line in lines[1:]] == [True, False, False, False]
    assert not log.exists()
    assert not (tmp_path / "results").exists()


def test_validate_names_the_good_and_every_fault_of_the_bad(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    path = experiment("name: a b\nbackends: [fake, dokcer]\nmetrics: [startup]\nguest: {memroy: 1GiB}\n")
    said = vmvc("validate", path, cwd=tmp_path)
    assert said.code == 2
    assert f"{path}:1:7: " in said.err
    assert "did you mean docker" in said.err.replace("'", "")
    assert "did you mean memory" in said.err.replace("'", "")
    assert said.err.count(str(path)) == 3


def test_help_of_every_command_ends_well(tmp_path: Path) -> None:
    everything = vmvc("--help", cwd=tmp_path).out
    for name in COMMANDS:
        assert name in everything
        said = vmvc(name, "--help", cwd=tmp_path)
        assert said.code == 0
        assert "Usage: vmvc" in said.out


@pytest.mark.parametrize("what", ["backends", "metrics"])
def test_list_names_what_there_is(tmp_path: Path, what: str) -> None:
    said = vmvc("list", what, "--json", cwd=tmp_path)
    assert said.code == 0
    names = [next(iter(row.values())) for row in json.loads(said.out)]
    assert {"backends": "docker", "metrics": "startup"}[what] in names


def test_every_metric_says_what_it_needs_and_gives(tmp_path: Path) -> None:
    rows = {row["metric"]: row for row in json.loads(vmvc("list", "metrics", "--json", cwd=tmp_path).out)}
    assert all(row["needs"] for row in rows.values())
    assert "startup.ready" in [one["quantity"] for one in rows["startup"]["quantities"]]
    assert "for" in rows["energy"]["options"].split(", ")
    ready_made = [one["quantity"] for one in rows["workload"]["quantities"]]
    assert any(one.startswith("workload sysbench-cpu.") for one in ready_made)
    said = vmvc("list", "metrics", cwd=tmp_path).out
    assert all(row["needs"] in said for row in rows.values())


# --- bad input: one clear message, the right exit code, nothing lost --------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["rnu"], 2, "did you mean 'run'"),
        (["run"], 2, "name an experiment file"),
        (["run", "missing.yaml"], 2, "no such file"),
        (["run", "."], 2, "folder"),
        (["run", "--trials", "0", "x.yaml"], 2, "range"),
        (["run", "--resume", "nowhere"], 2, "No such file"),
        (["run", "--resume", "nowhere", "--trials", "2"], 2, "leave --only and --trials out"),
        (["show", "nowhere"], 2, "holds no run"),
        (["schema", "exprmnt"], 2, "experiment"),
        (["plan", "missing.yaml"], 2, "no such file"),
    ],
)
def test_bad_arguments_exit_with_2(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    said = vmvc(*arguments, cwd=tmp_path)
    assert (said.code, words in said.err) == (code, True), said.err


def test_trials_that_fail_exit_with_1_and_say_why(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake("fail: {start: no room}, fault_trials: [2]"), cwd=tmp_path)
    assert said.code == 1
    assert "fake: failed in start: no room" in said.err
    assert "1 failed" in said.out
    assert "1 of 3: start: no room" in said.out
    assert len(trials_in(run_of(tmp_path))) == 4


def test_an_engine_that_cannot_be_used_exits_with_3_and_leaves_no_folder(
    tmp_path: Path, fake: Callable[..., Path]
) -> None:
    said = vmvc("run", fake("fail: {check: the engine is asleep}"), cwd=tmp_path)
    assert said.code == 3
    assert "fake: the engine is asleep" in said.err
    assert "hint:" in said.err
    assert list((tmp_path / "results").rglob("*/*")) == []


def test_an_image_that_does_not_build_exits_with_3(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake("fail: {prepare: no such suite}"), cwd=tmp_path)
    assert (said.code, "no such suite" in said.err) == (3, True)


def test_a_leak_exits_with_3_and_keeps_the_measurement(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake("destroy_fails: 9"), cwd=tmp_path)
    assert (said.code, "could not be removed" in said.err) == (3, True)
    assert trials_in(run_of(tmp_path)) == [1]


def test_a_guest_that_dies_at_once_says_so(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake("ready: 4s, dies_after: 10ms", count=1), cwd=tmp_path)
    assert (said.code, "the guest ended before it was ready" in said.err) == (1, True)


def test_a_results_folder_that_cannot_be_made_exits_with_2(tmp_path: Path, fake: Callable[..., Path]) -> None:
    said = vmvc("run", fake(), "--results", "/proc/here", cwd=tmp_path)
    assert (said.code, "results folder cannot be written" in said.err) == (2, True)


@pytest.mark.real("root")
def test_a_full_disk_in_mid_journal_is_resumable(tmp_path: Path, fake: Callable[..., Path]) -> None:
    small = tmp_path / "results"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        said = vmvc("run", fake(count=200), cwd=tmp_path)
        assert said.code == 3, said.err
        assert "No space left on device" in said.err
        assert "vmvc run --resume" in said.err
        run = run_of(tmp_path)
        done = trials_in(run)
        assert done == list(range(1, len(done) + 1))
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        assert vmvc("run", "--resume", run, "--quiet", cwd=tmp_path).code == 0
        assert trials_in(run) == list(range(1, 202))
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_run_of_another_version_is_refused(tmp_path: Path, fake: Callable[..., Path]) -> None:
    vmvc("run", fake(), "--quiet", cwd=tmp_path)
    path = run_of(tmp_path) / "journal.jsonl"
    path.write_text(path.read_text().replace('"version":1', '"version":7', 1))
    for arguments in (["show"], ["run", "--resume"]):
        said = vmvc(*arguments, path.parent, cwd=tmp_path)
        assert (said.code, "is of version 7" in said.err) == (2, True)


def test_resuming_a_changed_experiment_is_refused(tmp_path: Path, fake: Callable[..., Path]) -> None:
    path = fake()
    vmvc("run", path, "--quiet", cwd=tmp_path)
    run = run_of(tmp_path)
    path.write_text(path.read_text() + "title: changed\n")
    said = vmvc("run", path, "--resume", run, cwd=tmp_path)
    assert (said.code, "changed since run" in said.err) == (2, True)
    (run / "experiment.yaml").write_bytes(path.read_bytes())
    said = vmvc("run", "--resume", run, cwd=tmp_path)
    assert (said.code, "changed since the run was started" in said.err) == (2, True)


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path, fake: Callable[..., Path]) -> None:
    path = fake("ready: 500ms")
    with subprocess.Popen([VMVC, "run", path, "--quiet"], cwd=tmp_path) as first:
        _until(lambda: (tmp_path / "state").exists())
        said = vmvc("run", path, cwd=tmp_path)
        assert first.wait() == 0
    assert (said.code, "another vmvc run" in said.err) == (3, True)


# --- interrupted, killed, resumed -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_that_is_ended_can_be_resumed(
    tmp_path: Path, fake: Callable[..., Path], number: signal.Signals
) -> None:
    path = fake("ready: 200ms", count=5)
    with subprocess.Popen([VMVC, "run", path], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("2/6"):
                break
        time.sleep(0.05)
        running.send_signal(number)
        rest = running.stderr.read()
        code = running.wait()
    run = run_of(tmp_path)
    if number is signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 130
        assert f"vmvc run --resume {run.relative_to(tmp_path)}" in rest
        assert not _instances(tmp_path)
    done = len(trials_in(run))
    assert 2 <= done <= 4
    said = vmvc("run", "--resume", run, cwd=tmp_path)
    assert said.code == 0
    assert trials_in(run) == [1, 2, 3, 4, 5, 6]
    assert not _instances(tmp_path)
    with (run / "measurements.csv").open() as file:
        ready = [row["trial"] for row in csv.DictReader(file) if row["quantity"] == "ready"]
    assert ready == ["1", "2", "3", "4", "5", "6"]


def _instances(folder: Path) -> list[str]:
    return [entry.name for entry in (folder / "state").iterdir() if not entry.name.startswith(".")]


def test_clean_removes_what_a_killed_run_left_and_nothing_else(
    tmp_path: Path, fake: Callable[..., Path]
) -> None:
    path = fake()
    state = tmp_path / "state"
    labels = {"vmvc": "instance", "vmvc.run": "dead", "vmvc.trial": "1"}
    for name, owner in (("vmvc-dead-1", f"{os.uname().nodename}:1:0"), ("vmvc-other-1", "elsewhere:1:0")):
        (state / name).mkdir(parents=True)
        (state / name / "labels.json").write_text(json.dumps({**labels, "vmvc.owner": owner}))
    (state / "vmvc-foreign").mkdir()
    said = vmvc("clean", "--dry-run", path, cwd=tmp_path)
    assert said.code == 0
    assert "would be removed" in said.out
    assert (state / "vmvc-dead-1").exists()
    assert vmvc("clean", path, cwd=tmp_path).code == 0
    assert sorted(_instances(tmp_path)) == ["vmvc-foreign", "vmvc-other-1"]


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def test_results_can_be_read_by_others(tmp_path: Path, fake: Callable[..., Path]) -> None:
    vmvc("run", fake(), "--quiet", cwd=tmp_path)
    for path in run_of(tmp_path).iterdir():
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o644, path


def test_doctor_says_what_works_and_cures_what_does_not(tmp_path: Path) -> None:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    said = vmvc("doctor", cwd=tmp_path, env=environment)
    assert said.code == 3
    assert "docker: does not work" in said.out
    assert "fake: works" in said.out
    assert "hint:" in said.out.split("fake: works")[0]
    machine = json.loads(vmvc("doctor", "--json", cwd=tmp_path, env=environment).out)
    assert {one["backend"]: one["works"] for one in machine["backends"]}["docker"] is False
    assert machine["host"]["facts"]["kernel"]


def test_a_missing_sdk_breaks_only_its_backend(tmp_path: Path, fake: Callable[..., Path]) -> None:
    (tmp_path / "libvirt.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'libvirt'\", name='libvirt')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert vmvc("run", fake(), "--quiet", cwd=tmp_path, env=environment).code == 0
    listed = vmvc("list", "backends", cwd=tmp_path, env=environment)
    assert listed.code == 0
    assert "pip install 'vmvc[libvirt]'" in listed.out
    path = tmp_path / "needs.yaml"
    path.write_text("name: needs\nbackends: [fake, libvirt]\nmetrics: [startup]\n")
    said = vmvc("validate", path, cwd=tmp_path, env=environment)
    assert (said.code, "pip install 'vmvc[libvirt]'" in said.err) == (3, True)


@pytest.mark.parametrize("cells", [["x", "1", "日本"], ["\x1b[31m", "22222", ""], ["", "", ""]])
def test_a_pipe_gets_the_same_lines_as_a_wide_terminal(
    cells: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns, rows = ["a", "日本b", "c"], [cells, ["é", "22222", "-"]]
    text.write(columns, rows, right=["c"])
    plainly = capsys.readouterr().out
    monkeypatch.setattr(text, "_aligned", lambda *_: [])
    text.write(columns, rows, right=["c"])
    assert capsys.readouterr().out == plainly
