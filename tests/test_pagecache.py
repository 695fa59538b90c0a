"""Cold starts: when the cache is dropped, how a trial proves it, and what is said where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import vmvc
from tests.test_trial import GUEST, Bench
from vmvc import pagecache, probes
from vmvc.cli.progress import Quiet
from vmvc.contract import Event, MonotonicClock, Severity, Tag
from vmvc.errors import CleanupError, EngineError, StepFailed
from vmvc.execution import start
from vmvc.job import Job, Outcome
from vmvc.loading import Loaded, loads
from vmvc.plan import Plan
from vmvc.planning import plan_of
from vmvc.spec import Trials
from vmvc.trial import Trial


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Stand for the host: a switch and a counter; the call sets what was read since boot, in KiB."""
    monkeypatch.setattr(pagecache, "SWITCH", tmp_path / "drop_caches")
    monkeypatch.setattr(pagecache, "COUNTERS", tmp_path / "vmstat")
    (tmp_path / "drop_caches").touch()

    def read(kib: int) -> None:
        (tmp_path / "vmstat").write_text(f"nr_free_pages 1\npgpgin {kib}\npgpgout 7\n")

    read(1000)
    return read


# --- the cache --------------------------------------------------------------------------------------------


def test_everything_is_dropped(disk: Callable[[int], None]) -> None:
    pagecache.drop()
    assert pagecache.SWITCH.read_text() == "3\n"


def test_what_was_read_is_counted_in_bytes(disk: Callable[[int], None]) -> None:
    assert pagecache.read_bytes() == 1000 * 1024
    pagecache.COUNTERS.write_text("pgpgout 7\n")
    assert pagecache.read_bytes() is None
    pagecache.COUNTERS.unlink()
    assert pagecache.read_bytes() is None


@pytest.mark.parametrize(("virtualised", "severity"), [(True, Severity.WARNING), (False, Severity.INFO)])
def test_what_stays_warm_is_said(disk: Callable[[int], None], virtualised: bool, severity: Severity) -> None:
    (found,) = pagecache.findings(virtualised=virtualised)
    assert (found.code, found.severity) == ("cache.below", severity)
    assert ("hypervisor" in found.what) is virtualised


def test_without_the_right_there_is_no_cold(
    disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagecache, "SWITCH", Path("/proc/nowhere/drop_caches"))
    (found,) = pagecache.findings(virtualised=False)
    assert (found.code, found.severity) == ("cache.cannot-drop", Severity.ERROR)
    assert "root" in found.remedy
    with pytest.raises(EngineError, match="cannot be dropped"):
        pagecache.drop()


# --- one trial --------------------------------------------------------------------------------------------


def run(bench: Bench, *, cold: bool = False, rehearsed: bool = False) -> Outcome:
    job = Job(Tag("r", 1, "h:1:1"), bench.backend, GUEST, (), 5.0, 5.0, cold=cold, rehearsed=rehearsed)
    return Trial(job, lambda step, seconds: bench.announced.append(step), MonotonicClock()).run()


@pytest.fixture
def bench(tmp_path: Path, disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a trial's bench whose log shows when the cache is dropped, and a probe that reads 5 KiB."""
    made = Bench(tmp_path)
    monkeypatch.setattr(pagecache, "drop", lambda: made.backend._script.log("drop", "host"))

    def wait(*_: object) -> Event:
        disk(1005)
        return Event(MonotonicClock().now())

    monkeypatch.setattr(probes, "wait", wait)
    return made


def test_the_cache_is_dropped_before_the_first_event_and_only_where_asked(bench: Bench) -> None:
    outcome = run(bench, cold=True)
    assert outcome.failure is None
    assert bench.calls == ["drop", "create", "start", "console", "stop", "destroy"]
    assert bench.announced[:2] == ["cool", "create"]
    assert outcome.proof == {"disk_read_bytes": 5 * 1024.0}
    assert outcome.findings == []
    run(bench)
    assert bench.calls.count("drop") == 1


def test_a_cold_start_that_read_nothing_was_none(
    bench: Bench, disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "wait", lambda *_: Event(MonotonicClock().now()))
    outcome = run(bench, cold=True)
    assert outcome.proof == {"disk_read_bytes": 0.0}
    assert [finding.code for finding in outcome.findings] == ["cache.not-cold"]
    assert run(bench).findings == []
    pagecache.COUNTERS.unlink()
    outcome = run(bench, cold=True)
    assert outcome.proof == {}
    assert [finding.code for finding in outcome.findings] == ["cache.not-cold"]


def test_a_cache_that_cannot_be_dropped_fails_the_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise EngineError("no")

    monkeypatch.setattr(pagecache, "drop", refuse)
    failure = run(bench, cold=True).failure
    assert failure is not None
    assert failure[0] == "cool"
    assert not bench.log.exists()


def test_a_rehearsal_is_a_life_that_nobody_times(bench: Bench) -> None:
    outcome = run(bench, rehearsed=True)
    life = ["create", "start", "console", "stop", "destroy"]
    assert bench.calls == [*life, *life]
    assert outcome.failure is None
    assert outcome.proof == {"disk_read_bytes": 0.0}  # the first life has read them
    assert bench.left == []


def test_a_rehearsal_that_fails_fails_the_trial(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fail={"start": "no room"}, recovers=1)
    failure = run(bench, rehearsed=True).failure
    assert failure is not None
    assert (failure[0], type(failure[1])) == ("start", StepFailed)
    assert bench.calls == ["create", "start", "destroy"]
    bench = Bench(tmp_path, destroy_fails=1)
    outcome = run(bench, rehearsed=True)
    assert isinstance(outcome.cleanup, CleanupError)
    assert outcome.failure is not None


# --- which trials -----------------------------------------------------------------------------------------


def experiment_of(folder: Path, trials: str, factors: str = "{}") -> Loaded:
    text = (
        f"name: first\nmetrics: [startup]\nfactors: {factors}\ntrials: {{count: 2, warmup: 0, {trials}}}\n"
        f"backends: {{fake: {{options: {{state: {folder}/state, log: {folder}/log}}}}}}\n"
    )
    return loads(text.encode(), "x.yaml", folder)


def colds(plan: Plan) -> Iterator[tuple[str, bool]]:
    for condition in plan.conditions:
        yield condition.id, plan.cold(condition)


def test_cold_is_a_setting_and_a_factor(tmp_path: Path) -> None:
    plan = plan_of(experiment_of(tmp_path, "cache: cold"))
    assert (dict(colds(plan)), plan.mixed) == ({"fake": True}, False)
    plan = plan_of(experiment_of(tmp_path, "cache: cold", "{trials.cache: [warm, cold]}"))
    assert dict(colds(plan)) == {"fake trials.cache=warm": False, "fake trials.cache=cold": True}
    assert plan.mixed
    plan = plan_of(experiment_of(tmp_path, "cache: warm", "{include: [{trials.cache: cold}]}"))
    assert dict(colds(plan)) == {"fake trials.cache=cold": True}
    assert Trials().cache == "warm"


def test_warm_trials_beside_cold_ones_take_twice_as_long(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    def seconds(levels: str) -> float:
        loaded = experiment_of(tmp_path, "seed: 1", f"{{trials.cache: [{levels}]}}")
        said = vmvc("plan", experiment(loaded.source.decode()), "--json", cwd=tmp_path)
        return float(json.loads(said.out.splitlines()[0])["estimated_seconds"])

    assert seconds("warm, cold") == pytest.approx(seconds("warm") * 2 + seconds("cold"))


def test_a_run_is_refused_before_its_first_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagecache, "SWITCH", Path("/proc/nowhere/drop_caches"))
    loaded = experiment_of(tmp_path, "cache: cold")
    with pytest.raises(EngineError, match=r"trials.cache: cold needs to write .*\n  hint: run vmvc as root"):
        start(loaded, plan_of(loaded), tmp_path / "results", Quiet())
    assert "create" not in (tmp_path / "log").read_text()
    assert list((tmp_path / "results").rglob("*/*")) == []
    loaded = experiment_of(tmp_path, "cache: warm")
    assert start(loaded, plan_of(loaded), tmp_path / "results", Quiet()).summary.failed == 0
