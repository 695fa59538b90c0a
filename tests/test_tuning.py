"""A host is tuned for the time of a run, and afterwards holds every byte that it held before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sysfs import CPU, FILES, TUNED, plant, tree
from vmvc import host, owner, tuning
from vmvc.contract import Finding, Severity
from vmvc.errors import CleanupError, EngineError
from vmvc.host.topology import Split, cpu_list, show_cpus, split
from vmvc.tuning import End
from vmvc.tuning import saved as store
from vmvc.tuning.saved import Saved
from vmvc.tuning.settings import Change

ALL = ("governor", "turbo", "aslr")
ASLR = "proc/sys/kernel/randomize_va_space"
POLICY = f"{CPU}/cpufreq/policy0/scaling_governor"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plant a host and make it the one to tune."""
    made = plant(tmp_path / "host")
    monkeypatch.setattr(tuning, "ROOT", made)
    return made


class Heard(list[Finding]):
    """What is told of a run."""

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self]


def leave_dead(root: Path, *, boot: str | None = None, alive: bool = False) -> None:
    """Leave the host as a killed run does that had tuned it."""
    changes = tuple(Change("governor", root / name, FILES[name], TUNED[name]) for name in [POLICY])
    changes += (Change("aslr", root / ASLR, FILES[ASLR], TUNED[ASLR]),)
    mine = owner.current()
    dead = f"{mine.rpartition(':')[0]}:1.00"
    place = store.folder()
    place.mkdir(parents=True, exist_ok=True)
    store.write(place, Saved(mine if alive else dead, host.boot_id() if boot is None else boot, changes))
    for change in changes:
        change.path.write_bytes(change.wanted)


# --- in good order ----------------------------------------------------------------------------------------


def test_a_tuned_host_has_what_is_wanted_and_then_what_it_had(root: Path) -> None:
    heard = Heard()
    with tuning.tuned(ALL, cpus=1, tell=heard.append) as about:
        assert tree(root) == {**FILES, **TUNED}
        assert about.settings == ALL
        assert about.cpuset is None
        assert about.disturbed() == []
    assert tree(root) == FILES
    assert store.read(store.folder()) is None
    assert heard.codes == [*["tune.governor"] * 4, "tune.turbo", "tune.aslr"]
    said = " | ".join(finding.what for finding in heard)
    assert "policy0/scaling_governor: from powersave to performance" in said
    assert "policy10/scaling_governor: nothing to do, it was performance" in said
    assert "randomize_va_space: from 2 to 0" in said
    assert tuple(heard) == about.findings


def test_equal_changes_are_told_once(root: Path) -> None:
    (root / f"{CPU}/cpufreq/policy0/energy_performance_preference").unlink()
    for number in (0, 1, 10):
        (root / f"{CPU}/cpufreq/policy{number}/scaling_governor").write_bytes(b"ondemand\n")
    (root / f"{CPU}/cpufreq/policy0/scaling_available_governors").write_bytes(b"ondemand performance\n")
    with tuning.tuned(["governor"], cpus=1, tell=lambda finding: None) as about:
        (finding,) = about.findings
    assert "policy0/scaling_governor and 2 more: from ondemand to performance" in finding.what


def test_turbo_of_other_drivers(root: Path) -> None:
    (root / f"{CPU}/intel_pstate/no_turbo").unlink()
    before = tree(root)
    with tuning.tuned(["turbo"], cpus=1, tell=lambda finding: None):
        assert tree(root) == {**before, f"{CPU}/cpufreq/boost": b"0\n"}
    assert tree(root) == before


def test_a_driver_whose_governor_rules_the_preference_gets_both_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As intel_pstate: no preference can be set under the governor performance."""
    write, governor = store.write_value, root / POLICY

    def driver(path: Path, value: bytes) -> None:
        if path.name == "energy_performance_preference" and governor.read_bytes() == b"performance\n":
            raise OSError(16, "Device or resource busy")
        write(path, value)

    monkeypatch.setattr(store, "write_value", driver)
    with tuning.tuned(["governor"], cpus=1, tell=lambda finding: None):
        assert governor.read_bytes() == b"performance\n"
    assert tree(root) == FILES


def test_governors_of_old_kernels(root: Path) -> None:
    for name in list(FILES):
        if "cpufreq/policy" in name:
            (root / name).unlink()
    file = root / f"{CPU}/cpu3/cpufreq/scaling_governor"
    file.parent.mkdir()
    file.write_bytes(b"userspace\n")
    with tuning.tuned(["governor"], cpus=1, tell=lambda finding: None):
        assert file.read_bytes() == b"performance\n"
    assert file.read_bytes() == b"userspace\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_exception_puts_everything_back(root: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), tuning.tuned(ALL, cpus=1, tell=lambda finding: None):
        raise error
    assert tree(root) == FILES


def test_what_needs_no_change_is_not_saved(root: Path) -> None:
    (root / ASLR).write_bytes(b"0\n")
    with tuning.tuned(["aslr"], cpus=1, tell=lambda finding: None):
        (root / ASLR).write_bytes(b"1\n")
        assert store.read(store.folder()) is None
    assert (root / ASLR).read_bytes() == b"1\n"


# --- refused before anything is changed -------------------------------------------------------------------


def refused(settings: Sequence[str], cpus: int = 1) -> str:
    with pytest.raises(EngineError) as caught, tuning.tuned(settings, cpus=cpus, tell=lambda finding: None):
        raise AssertionError("it began")
    assert caught.value.exit_code == 3
    return caught.value.what


def test_everything_that_a_host_does_not_show_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    what = refused([*ALL, "cpus"])
    for word in ("governor: this host shows no", "turbo: this host does not", "aslr: this host does not"):
        assert f"tune: {word}" in what
    assert "tune: cpus: guest and prober need a CPU each, and there is one here" in what
    assert what.count("hint: ") == 4


def test_what_may_not_be_written_is_told_and_nothing_is_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: ASLR not in str(path) and POLICY not in str(path))
    what = refused(ALL)
    assert f"tune: governor: this user may not write {root / POLICY}" in what
    assert f"tune: aslr: this user may not write {root / ASLR}" in what
    assert tree(root) == FILES


def test_a_governor_that_the_driver_does_not_have_is_refused(root: Path) -> None:
    (root / f"{CPU}/cpufreq/policy0/scaling_available_governors").write_bytes(b"powersave\n")
    assert "policy0: there is no governor performance" in refused(["governor"])


def test_a_guest_with_more_cpus_than_are_left_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert "a guest asks for 3 CPUs, and 2 are left" in refused(["cpus"], cpus=3)


def test_a_host_that_does_not_take_a_value_is_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = store.write_value

    def ignore(path: Path, value: bytes) -> None:
        if path.name != "no_turbo":
            write(path, value)

    monkeypatch.setattr(store, "write_value", ignore)
    assert "no_turbo is still 0: 1 was refused" in refused(ALL)
    assert tree(root) == FILES
    assert store.read(store.folder()) is None


def test_a_place_that_cannot_be_written_stops_before_anything_is_changed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VMVC_STATE", str(tmp_path / "file" / "below"))
    assert "could not be put back after a kill" in refused(["aslr"])
    assert tree(root) == FILES


def test_two_runs_never_tune_one_host(root: Path) -> None:
    with tuning.tuned(["aslr"], cpus=1, tell=lambda finding: None):
        assert "another run tunes this host" in refused(["turbo"])
        with tuning.tuned([], cpus=1, tell=lambda finding: None) as other:
            assert other.findings == ()
        assert (root / ASLR).read_bytes() == b"0\n"
        with pytest.raises(EngineError, match="still lives"):
            tuning.restore()
    assert tree(root) == FILES


# --- killed -----------------------------------------------------------------------------------------------

KILLED = """
import json, os, signal, sys
from pathlib import Path
from tests.sysfs import FILES, plant, tree
from vmvc import tuning
from vmvc.tuning import saved as store

root = tuning.ROOT = plant(Path(sys.argv[1]))
write, ends = store.write_value, []
for number in range(20):
    child = os.fork()
    if child == 0:
        left = number
        def dying(path, value):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            write(path, value)
        store.write_value = dying
        with tuning.tuned(("governor", "turbo", "aslr"), cpus=1, tell=lambda finding: None):
            pass
        os._exit(0)
    _, status = os.waitpid(child, 0)
    as_killed = tree(root) != FILES
    back = tuning.restore()
    forgotten = store.read(store.folder()) is None
    ends.append([status, as_killed, back is not None, tree(root) == FILES, forgotten])
    if status == 0:
        break
print(json.dumps(ends))
"""


def test_killed_before_any_write_everything_comes_back(tmp_path: Path) -> None:
    """Five writes tune the host and five put it back: killed at each of them, and then not at all."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "host")],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert [status for status, *_ in ends] == [*[9] * 10, 0]
    assert [as_killed for _, as_killed, *_ in ends] == [False, *[True] * 9, False]
    assert [back for _, _, back, *_ in ends] == [*[True] * 10, False]
    assert all(same and forgotten for *_, same, forgotten in ends)


def test_the_next_run_puts_back_what_a_dead_one_left_and_says_so(root: Path) -> None:
    leave_dead(root)
    assert [finding.code for finding in tuning.leftovers()] == ["tune.left"]
    heard = Heard()
    with tuning.tuned([], cpus=1, tell=heard.append) as about:
        assert tree(root) == FILES
    assert heard.codes == ["tune.restored"]
    assert f"{root / POLICY} to powersave" in heard[0].what
    assert list(about.findings) == heard
    assert tuning.leftovers() == []


def test_a_run_that_tunes_again_finds_the_values_of_before(root: Path) -> None:
    """Saved from a tuned host, the values would be those that the dead run had set."""
    leave_dead(root)
    with tuning.tuned(ALL, cpus=1, tell=lambda finding: None):
        assert tree(root) == {**FILES, **TUNED}
    assert tree(root) == FILES


def test_restore_says_what_it_did(root: Path) -> None:
    assert tuning.restore() is None
    leave_dead(root)
    ends = tuning.restore()
    assert ends is not None
    assert [(end.change.path, end.end, end.now) for end in ends] == [
        (root / ASLR, End.RESTORED, b"2\n"),
        (root / POLICY, End.RESTORED, b"powersave\n"),
    ]
    assert tree(root) == FILES
    assert tuning.restore() is None


def test_what_a_live_run_has_tuned_is_never_touched(root: Path) -> None:
    leave_dead(root, alive=True)
    with pytest.raises(EngineError, match="still lives"):
        tuning.restore()
    assert tuning.leftovers() == []
    with tuning.tuned([], cpus=1, tell=lambda finding: None):
        assert (root / ASLR).read_bytes() == b"0\n"


def test_values_of_an_earlier_boot_are_forgotten(root: Path) -> None:
    """The settings went back when the host was started anew: what they are now is nobody's mistake."""
    leave_dead(root, boot="another")
    assert tuning.leftovers() == []
    assert tuning.restore() == []
    assert (root / ASLR).read_bytes() == b"0\n"
    assert tuning.restore() is None


# --- changed by somebody else -----------------------------------------------------------------------------


def test_what_somebody_changed_meanwhile_is_left_alone_and_told(root: Path) -> None:
    heard = Heard()
    with tuning.tuned(ALL, cpus=1, tell=heard.append) as about:
        (root / ASLR).write_bytes(b"1\n")
        (disturbed,) = about.disturbed()
        assert disturbed.code == "tune.changed"
        assert "randomize_va_space no longer is as tuned: it is 1 instead of 0" in disturbed.what
    assert tree(root) == {**FILES, ASLR: b"1\n"}
    assert heard.codes[-1] == "tune.changed"
    assert "it is 1, vmvc had set 0 and found 2" in heard[-1].what
    assert store.read(store.folder()) is None


def test_what_somebody_put_back_meanwhile_is_well(root: Path) -> None:
    heard = Heard()
    with tuning.tuned(["aslr"], cpus=1, tell=heard.append):
        (root / ASLR).write_bytes(b"2\n")
    assert heard.codes == ["tune.aslr"]
    assert tree(root) == FILES


def test_a_cpu_that_went_away_takes_its_setting_with_it(root: Path) -> None:
    leave_dead(root)
    (root / POLICY).unlink()
    ends = tuning.restore()
    assert ends is not None
    assert [end.end for end in ends] == [End.RESTORED, End.GONE]
    assert store.read(store.folder()) is None


def test_what_cannot_be_put_back_stays_on_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, refusing = store.write_value, True

    def refuse(path: Path, value: bytes) -> None:
        if refusing and path == root / POLICY and value == FILES[POLICY]:
            raise PermissionError(13, "Permission denied")
        write(path, value)

    monkeypatch.setattr(store, "write_value", refuse)
    heard = Heard()
    with pytest.raises(CleanupError, match="Permission denied"), tuning.tuned(ALL, cpus=1, tell=heard.append):
        pass
    assert heard[-1].code == "tune.failed"
    assert tree(root) == {**FILES, POLICY: b"performance\n"}
    kept = store.read(store.folder())
    assert kept is not None
    assert [change.path for change in kept.changes] == [root / POLICY]
    refusing = False
    store.write(store.folder(), Saved(f"{owner.current().rpartition(':')[0]}:1.00", kept.boot, kept.changes))
    assert tuning.restore() is not None
    assert tree(root) == FILES


def test_what_root_left_is_told_to_everybody(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SYSTEM", tmp_path / "var")
    monkeypatch.delenv("VMVC_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    leave_dead(root)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    heard = Heard()
    with tuning.tuned([], cpus=1, tell=heard.append) as about:
        assert heard.codes == ["tune.left"]
        assert heard[0].remedy == "sudo vmvc restore"
        assert list(about.findings) == heard
    assert "a run of root's tunes this host" in refused(["turbo"])
    assert tuning.restore() is None
    assert (root / ASLR).read_bytes() == b"0\n"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert tuning.restore() is not None
    assert tree(root) == FILES


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "owner": "a:1:1"}'])
def test_a_file_that_is_not_ours_stops_a_run(root: Path, text: str) -> None:
    store.folder().mkdir(parents=True)
    store.file_of(store.folder()).write_text(text)
    with pytest.raises(EngineError, match="settings of the host may still be changed"):
        tuning.restore()
    assert "may still be changed" in refused([])
    assert [finding.code for finding in tuning.leftovers()] == ["tune.unreadable"]


def test_a_forged_file_never_makes_vmvc_write_elsewhere(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"set")
    leave_dead(root)
    kept = store.read(store.folder())
    assert kept is not None
    for path in (victim, root / f"{CPU}/intel_pstate/no_turbo", root / "proc/sys/kernel/../kernel/panic"):
        forged = Change("aslr", path, b"found", b"set")
        store.write(store.folder(), Saved(kept.owner, kept.boot, (forged,)))
        ends = tuning.restore()
        assert ends is not None
        assert [end.end for end in ends] == [End.FAILED]
    assert victim.read_bytes() == b"set"


def test_any_bytes_survive_the_file(root: Path) -> None:
    place, odd = store.folder(), bytes(range(256))
    place.mkdir(parents=True)
    store.write(place, Saved("a:1:1", "b", (Change("aslr", root / ASLR, odd, b"\n"),)))
    kept = store.read(place)
    assert kept is not None
    assert kept.changes[0].found == odd


def test_where_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(store.folder()) == os.environ["VMVC_STATE"]
    monkeypatch.delenv("VMVC_STATE")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert store.folder() == Path("/var/lib/vmvc")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/somebody/.state")
    assert store.folder() == Path("/home/somebody/.state/vmvc")


# --- CPUs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ({0, 1, 2, 3}, Split((0, 2), (1, 3))),
        ({1, 2, 3}, Split((1, 3), (2,))),
        ({1, 3}, Split((1,), (3,), siblings=True)),
        ({2}, None),
        ((), None),
        ({0, 1, 2, 3, 8, 9}, Split((0, 2), (1, 3, 8, 9))),
    ],
)
def test_threads_of_a_core_stay_together(root: Path, allowed: set[int], expected: Split | None) -> None:
    assert split(root, allowed) == expected


@pytest.mark.parametrize(
    ("written", "cpus"), [("0", (0,)), ("0-2,8\n", (0, 1, 2, 8)), ("", ()), ("1,3", (1, 3))]
)
def test_cpus_are_read_and_written_as_the_kernel_does(written: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(written) == cpus
    assert cpu_list(show_cpus(cpus)) == cpus


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPUs are needed")
def test_this_process_and_its_children_stay_on_the_probers_cpus(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    show = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]
    with tuning.tuned(["cpus"], cpus=1, tell=lambda finding: None) as about:
        assert about.split is not None
        assert about.cpuset == about.split.guest
        assert not set(about.split.guest) & set(about.split.prober)
        assert os.sched_getaffinity(0) == set(about.split.prober)
        child = subprocess.run(show, capture_output=True, text=True, check=True)
        assert {int(cpu) for cpu in child.stdout.split()} == set(about.split.prober)
        (finding,) = about.findings
        assert finding.code == "tune.cpus"
        assert finding.severity is (Severity.WARNING if about.split.siblings else Severity.INFO)
    assert os.sched_getaffinity(0) == before
    assert not store.folder().exists(), "affinity dies with the process, so nothing need be saved"


def test_tuning_costs_little(root: Path) -> None:
    """On a host of 256 CPUs the files are read, saved, written and put back within a blink."""
    for number in range(256):
        file = root / f"{CPU}/cpufreq/policy{number}/scaling_governor"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"powersave\n")
    before = time.monotonic()
    with tuning.tuned(["governor"], cpus=1, tell=lambda finding: None) as about:
        assert about.disturbed() == []
    assert time.monotonic() - before < 2.0
