"""Every line of the fake backend's script; that it keeps the contract is in tests/test_testing.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from vmvc import probes
from vmvc.backends import fake_script
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_guest import CRASH_STATUS, execute
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.console import ConsoleTap
from vmvc.contract import Event, Guest, MonotonicClock, Severity, Tag
from vmvc.errors import (
    CleanupError,
    DeadlineExceeded,
    GuestDied,
    ImageError,
    StepFailed,
    Unavailable,
    VmvcError,
)
from vmvc.spec import (
    BUILT_IN_IMAGES,
    Console,
    Exec,
    Http,
    Ready,
    ReadyConsole,
    ReadyExec,
    ReadyHttp,
    ReadyTcp,
    Tcp,
)

HTTP = ReadyHttp(http=Http(port=80))
GUEST = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=HTTP)

Make = Callable[..., FakeInstance]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def make(state: Path) -> Make:
    """Return an instance of a trial with that script."""

    def instance(trial: int = 1, probe: Ready = HTTP, **script: object) -> FakeInstance:
        backend = FakeBackend("fake", FakeOptions.model_validate({"state": str(state), **script}))
        return backend.instance(Tag("run", trial, "h:1:1"), replace(GUEST, ready=probe))

    return instance


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long the backend would have slept."""
    taken: list[float] = []
    monkeypatch.setattr("vmvc.backends.fake.time.sleep", taken.append)
    return taken


def wait(instance: FakeInstance, within: float = 10.0, console: ConsoleTap | None = None) -> Event:
    clock = MonotonicClock()
    return probes.wait(instance.guest.ready, instance, console, clock, clock.now() + round(within * 1e9))


def up(instance: FakeInstance) -> FakeInstance:
    instance.create()
    instance.start()
    return instance


def live(instance: FakeInstance) -> None:
    up(instance)
    instance.run(("true",), timeout=1)
    instance.stop(timeout=1)
    instance.destroy()


# --- time -------------------------------------------------------------------------------------------------


def test_steps_take_their_time(make: Make, naps: list[float]) -> None:
    instance = up(make(create=0.5, start=0.25, stop=0.125))
    instance.stop(timeout=1)
    instance.destroy()
    assert naps == [0.5, 0.25, 0.125]


def test_readiness_takes_its_time(make: Make) -> None:
    instance = make(ready=0.1)
    instance.create()
    before = time.monotonic_ns()
    instance.start()
    assert 0.1 <= (wait(instance).at - before) / 1e9 < 5
    instance.destroy()


def test_jitter_follows_the_seed_and_the_trial(make: Make, naps: list[float]) -> None:
    def creates(**script: object) -> list[float]:
        naps.clear()
        for trial in range(1, 21):
            instance = make(trial, create=1.0, **script)
            instance.create()
            instance.destroy()
        return list(naps)

    assert creates(jitter=0.2) == creates(jitter=0.2)
    assert creates(jitter=0.2) != creates(jitter=0.2, seed=2)
    assert len(set(creates(jitter=0.2))) == 20
    assert 0.8 <= min(creates(jitter=0.2)) < 0.95
    assert 1.05 < max(creates(jitter=0.2)) <= 1.2
    assert set(creates()) == {1.0}


def test_a_stop_beyond_its_timeout_is_forced(make: Make, naps: list[float]) -> None:
    instance = up(make(stop=60.0))
    with pytest.raises(DeadlineExceeded):
        instance.stop(timeout=0.5)
    assert naps[-1] == 0.5
    assert not instance.alive()
    instance.destroy()


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("create", StepFailed),
        ("start", StepFailed),
        ("run", StepFailed),
        ("stop", StepFailed),
        ("destroy", CleanupError),
    ],
)
def test_a_step_fails_with_its_reason(make: Make, step: str, error: type[VmvcError]) -> None:
    instance = make(fail={step: "out of luck"})
    with pytest.raises(error, match="out of luck"):
        live(instance)
    instance._end()


def test_a_failed_create_leaves_nothing_and_a_failed_start_what_was_created(make: Make, state: Path) -> None:
    with pytest.raises(StepFailed):
        make(fail={"create": "x"}).create()
    assert not list(state.glob("*"))
    instance = make(fail={"start": "x"})
    with pytest.raises(StepFailed):
        up(instance)
    assert [path.name for path in state.iterdir()] == [instance.tag.name]


def test_check_and_prepare_fail_too() -> None:
    backend = FakeBackend("fake", FakeOptions(fail={"check": "no licence", "prepare": "no image"}))
    (finding,) = backend.check()
    assert (finding.severity, finding.what) == (Severity.ERROR, "no licence")
    with pytest.raises(ImageError, match="no image"):
        backend.prepare(GUEST)


def test_a_guest_that_refuses_is_never_ready(make: Make) -> None:
    instance = up(make(fail={"ready": "x"}))
    with pytest.raises(DeadlineExceeded, match="HTTP 503"):
        wait(instance, within=0.5)
    stream = instance.console()
    assert (stream.read(1), stream.read(0)) == (b"fake guest: booting\r\n", None)
    assert instance.run(("true",), timeout=1).returncode == 0
    instance.destroy()


def test_failures_keep_to_their_trials(make: Make) -> None:
    for trial in range(1, 6):
        instance = make(trial, fail={"create": "x"}, fault_trials=(2, 4))
        if trial in (2, 4):
            with pytest.raises(StepFailed):
                instance.create()
        else:
            instance.create()


def test_failures_keep_to_their_rate_and_seed(make: Make) -> None:
    def failed(seed: int) -> list[int]:
        trials = []
        for trial in range(1, 101):
            instance = make(trial, fail={"create": "x"}, fault_rate=0.3, seed=seed)
            try:
                instance.create()
            except StepFailed:
                trials.append(trial)
            instance.destroy()
        return trials

    assert failed(1) == failed(1)
    assert failed(1) != failed(2)
    assert 15 < len(failed(1)) < 45


class Hung(Exception):
    pass


@pytest.mark.parametrize("step", ["create", "start", "run", "stop", "destroy"])
def test_a_step_hangs_after_its_effect(
    make: Make, state: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang() -> None:
        raise Hung

    monkeypatch.setattr(fake_script, "_hang", hang)
    instance = make(hang=step)
    with pytest.raises(Hung):
        live(instance)
    assert (state / instance.tag.name).exists() == (step != "destroy")
    assert instance.alive() == (step in ("start", "run"))
    instance._end()


def test_a_guest_that_hangs_never_listens(make: Make) -> None:
    instance = up(make(hang="ready"))
    with pytest.raises(DeadlineExceeded, match="connection refused"):
        wait(instance, within=0.1)
    assert instance.run(("true",), timeout=1).returncode == 1
    instance.destroy()


LIFE = """
import sys
from vmvc.backends.fake import FakeBackend, FakeOptions
from vmvc.contract import Guest, Tag
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp

options = FakeOptions.model_validate_json(sys.argv[1])
guest = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=1, ready=ReadyHttp(http=Http(port=80)))
instance = FakeBackend("fake", options).instance(Tag("other", 7, "h:1:1"), guest)
instance.create()
instance.start()
while instance.run(("true",), timeout=9).returncode:
    pass
instance.stop(timeout=9)
instance.destroy()
"""


def in_another_process(state: Path, script: str) -> int:
    options = FakeOptions.model_validate_json(script).model_copy(update={"state": str(state)})
    argv = [sys.executable, "-c", LIFE, options.model_dump_json(exclude_none=True)]
    return subprocess.run(argv, check=False, timeout=60).returncode


@pytest.mark.parametrize("step", ["create", "start", "ready", "run", "stop", "destroy"])
def test_a_crash_takes_the_process_and_leaves_what_was_made(make: Make, state: Path, step: str) -> None:
    assert in_another_process(state, f'{{"crash": "{step}", "ready": "10ms"}}') == CRASH_STATUS
    left = FakeBackend("fake", FakeOptions(state=str(state))).leftovers()
    assert [found.tag for found in left] == ([] if step == "destroy" else [Tag("other", 7, "h:1:1")])
    for found in left:
        assert not found.alive()
        with pytest.raises(StepFailed):
            found.endpoint(80)
        found.destroy()
    assert not list(state.iterdir())


def test_without_a_fault_another_process_leaves_nothing(state: Path) -> None:
    assert in_another_process(state, "{}") == 0
    assert not list(state.iterdir())


def test_a_guest_dies(make: Make) -> None:
    instance = up(make(dies_after=0.5, hang="ready"))
    tap = ConsoleTap(instance.console(), MonotonicClock())
    with pytest.raises(GuestDied, match="fake guest: booting"):
        wait(instance, console=tap)
    tap.close()
    assert not instance.alive()
    instance.destroy()


def test_destroy_fails_so_often(make: Make, state: Path) -> None:
    make(destroy_fails=2).create()
    for _ in range(2):
        with pytest.raises(CleanupError):
            make(destroy_fails=2).destroy()
    make(destroy_fails=2).destroy()
    make(destroy_fails=2).destroy()
    assert not list(state.iterdir())


def test_a_leak_claims_success(make: Make, state: Path) -> None:
    instance = up(make(leak=True))
    instance.destroy()
    assert not instance.alive()
    assert list(state.iterdir())


# --- what a guest shows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "probe",
    [
        ReadyHttp(http=Http(port=80, path="/x", status=204)),
        ReadyTcp(tcp=Tcp(port=22, expect="SSH-")),
        ReadyTcp(tcp=Tcp(port=6379, send="PING\r\n", expect="+PONG")),
        ReadyConsole(console=Console(pattern="ready$")),
        ReadyExec(exec=Exec(command=("true",), interval=0.01)),
    ],
)
def test_every_probe_sees_it(make: Make, probe: Ready) -> None:
    instance = up(make(probe=probe, ready=0.05))
    tap = ConsoleTap(instance.console(), MonotonicClock())
    wait(instance, console=tap)
    instance.stop(timeout=1)
    assert tap.drain(5)
    tap.close()
    assert tap.head == b"fake guest: booting\r\nfake guest: ready\r\n"
    instance.destroy()


def test_the_last_line_waits_for_readiness(make: Make) -> None:
    instance = up(make(hang="ready", console=("one", "two", "three")))
    stream = instance.console()
    assert (stream.read(1), stream.read(1), stream.read(0)) == (b"one\r\n", b"two\r\n", None)
    instance.destroy()
    assert stream.read(1) == b""


def test_a_guest_answers_only_what_was_asked(make: Make) -> None:
    instance = up(make(probe=ReadyTcp(tcp=Tcp(port=6379, send="PING", expect="+PONG"))))
    address = instance.endpoint(6379)
    with socket.create_connection(address, timeout=0.1) as connection:
        connection.sendall(b"PI")
        with pytest.raises(TimeoutError):
            connection.recv(100)
        connection.sendall(b"NG")
        connection.settimeout(10)
        assert connection.recv(100) == b"+PONG"
        assert connection.recv(100) == b""
    with socket.create_connection(address, timeout=10) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    instance.destroy()


def test_disk_says_what_the_script_says(make: Make) -> None:
    usage = make(disk={"virtual": 10, "unique": 0}).disk()
    assert (usage.virtual, usage.unique, usage.allocated) == (10, 0, None)
    assert set(usage.absent) == {"allocated", "shared"}


def test_commands() -> None:
    def run(*argv: str, stdin: bytes = b"") -> tuple[int, bytes]:
        done = execute(argv, {"A": "1", "B": "2"}, stdin, 1)
        return done.returncode, done.stdout

    assert run("echo", "a", "b") == (0, b"a b\n")
    assert run("cat", stdin=b"\0x") == (0, b"\0x")
    assert run("printf", r"%s\0", "a", "") == (0, b"a\0\0")
    assert run("printenv", "B") == (0, b"2\n")
    assert run("printenv", "C") == (1, b"")
    assert (run("true"), run("false"), run("exit", "7"), run("nothing")) == (
        (0, b""),
        (1, b""),
        (7, b""),
        (127, b""),
    )
    assert run("sleep", "0") == (0, b"")


def test_another_object_cannot_read_the_console(make: Make) -> None:
    instance = up(make())
    with pytest.raises(Unavailable):
        make().console()
    assert make().endpoint(80) == instance.endpoint(80)
    instance.destroy()


# --- order ------------------------------------------------------------------------------------------------


def test_every_call_is_logged_in_order(make: Make, tmp_path: Path) -> None:
    log = tmp_path / "log"
    backend = FakeBackend("mine", FakeOptions(log=str(log), state=str(tmp_path / "state")))
    backend.check()
    backend.describe()
    backend.prepare(GUEST)
    instance = backend.instance(Tag("run", 3, "h:1:1"), GUEST)
    up(instance)
    instance.console()
    instance.endpoint(80)
    instance.run(("true",), timeout=1)
    instance.stop(timeout=1)
    instance.destroy()
    backend.leftovers()
    calls = ["create", "start", "console", "endpoint", "run", "stop", "destroy"]
    assert log.read_text().splitlines() == [
        *("check mine", "describe mine", "prepare mine"),
        *(f"{call} vmvc-run-3" for call in calls),
        "leftovers mine",
    ]


def test_steps_out_of_order_are_refused(make: Make, state: Path) -> None:
    with pytest.raises(StepFailed, match="does not exist"):
        make().start()
    with pytest.raises(StepFailed, match="does not run"):
        make().run(("true",), timeout=1)
    instance = up(make())
    with pytest.raises(StepFailed, match="exists already"):
        make().create()
    with pytest.raises(StepFailed, match="runs already"):
        instance.start()
    instance.stop(timeout=1)
    instance.start()
    wait(instance)
    instance.destroy()
    assert not list(state.iterdir())


def test_another_object_ends_a_guest(make: Make) -> None:
    threads = threading.active_count()
    for stops in (True, False):
        instance = up(make())
        if stops:
            make().stop(timeout=1)
        else:
            make().destroy()
        assert not instance.alive()
        deadline = time.monotonic() + 10
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() == threads
        make().destroy()


def test_what_is_half_made_or_half_gone_is_no_leftover(make: Make, state: Path) -> None:
    make().create()
    (state / make().tag.name).rename(state / ".gone-1")
    assert FakeBackend("fake", FakeOptions(state=str(state))).leftovers() == []


def test_what_a_dead_process_left_half_gone_is_removed_and_a_live_ones_stays(state: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        for why in ("new", "gone"):
            (state / f".{why}-{pid}-1" / "sub").mkdir(parents=True)
    assert FakeBackend("fake", FakeOptions(state=str(state))).leftovers() == []
    assert {one.name for one in state.iterdir()} == {f".new-{os.getpid()}-1", f".gone-{os.getpid()}-1"}


def test_state_is_kept_in_the_cache_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path))
    FakeBackend("fake", FakeOptions()).instance(Tag("run", 1, "h:1:1"), GUEST).create()
    assert (tmp_path / "fake" / "vmvc-run-1" / "labels.json").is_file()


def test_many_lives_leave_no_thread_and_no_file_open(make: Make, state: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = (threading.active_count(), open_files())
    for trial in range(50):
        instance = up(make(trial))
        wait(instance)
        if trial % 2:
            instance.stop(timeout=1)
        instance.destroy()
    assert (threading.active_count(), open_files()) == before
    assert not list(state.iterdir())


# --- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        '{"fail": {"boot": "x"}}',
        '{"hang": "check"}',
        '{"create": 1}',
        '{"destroy_fails": -1}',
        '{"fault_rate": "200%"}',
        '{"disk": {"actual": "1B"}}',
    ],
)
def test_a_bad_script_is_refused(script: str) -> None:
    with pytest.raises(ValidationError):
        FakeOptions.model_validate_json(script)


def test_a_script_from_a_file() -> None:
    options = FakeOptions.model_validate_json(
        '{"create": "5ms", "jitter": "10%", "fail": {"start": "x"}, "fault_trials": [1, 2],'
        ' "dies_after": "1s", "disk": {"virtual": "1GiB"}, "console": ["a"]}'
    )
    assert (options.create, options.jitter, options.fault_trials) == (0.005, 0.1, (1, 2))
    assert options.disk is not None
    assert options.disk.virtual == 2**30
