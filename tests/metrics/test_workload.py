"""Workloads: what the tools print, what goes wrong in a command, what is refused, the laws that hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vmvc.backends.fake_instance import FakeInstance
from vmvc.contract import Absent, Completed, Finding, Guest, Metric, Reading, Scene, Tag
from vmvc.errors import DeadlineExceeded, StepFailed, TrialError, Unavailable
from vmvc.metrics.presets import PRESETS
from vmvc.metrics.task import Task, Wanted, Word
from vmvc.metrics.workload import Workload
from vmvc.metrics.workload_options import WorkloadOptions
from vmvc.parsing import LONGEST, Output
from vmvc.spec import BUILT_IN_IMAGES, Console, Http, ReadyConsole, ReadyHttp, RecipeImage
from vmvc.testing import MetricContract
from vmvc.units import unit_named

SAID = Path(__file__).parent.parent / "files" / "workload"
GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=2, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
TOOLS = replace(GUEST, image=RecipeImage(base="debian:bookworm", packages=("sysbench", "fio")))


class Clock:
    """A clock that moves when a command runs."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += round(seconds * 1e9)


Answer = Completed | TrialError | Unavailable


class Scripted(FakeInstance):
    """An instance that gives the test's answers, the last one again and again, each in a second."""

    def __init__(self, *answers: Answer, clock: Clock | None = None, seconds: float = 1.0) -> None:
        self.tag, self.guest = Tag("r", 1, "h:1:1"), GUEST
        self._answers, self._seconds = list(answers), seconds
        self.clock = clock or Clock()
        self.asked: list[tuple[str, ...]] = []
        self.given: list[bytes] = []
        self.timeouts: list[float] = []

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        if argv[-1] == "true":
            self.clock.sleep(0.01)
            return Completed(0, b"", b"")
        self.asked.append(tuple(argv))
        self.given.append(stdin)
        self.timeouts.append(timeout)
        self.clock.sleep(self._seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Completed):
            return answer
        raise answer

    def endpoint(self, port: int) -> tuple[str, int]:
        return "192.0.2.1", port + 8000


def printed(text: str | bytes, code: int = 0, stderr: bytes = b"") -> Completed:
    return Completed(code, text if isinstance(text, bytes) else text.encode(), stderr)


def own(quantities: Mapping[str, Wanted] | None = None, **options: Any) -> Workload:
    """Return a metric that runs a command of its own and reads the number that it prints."""
    wanted = {"n": Wanted(lines=Word(), better="higher")} if quantities is None else quantities
    task = options.pop("task", {})
    run = Task(command=task.pop("command", ("tool",)), quantities=wanted, **task)
    given = {"iterations": 1, "warmup": 0, **options}
    return Workload(WorkloadOptions(run=run, **given), "mine")


def observe(metric: Metric, instance: Scripted, **changes: Any) -> list[Any]:
    scene = Scene(events={}, guest=GUEST, instance=instance, clock=instance.clock, **changes)
    return list(metric.observe(scene))


def readings(observed: Sequence[Any]) -> dict[str, Reading]:
    return {one.quantity: one for one in observed if isinstance(one, Reading)}


class TestContract(MetricContract):
    def metric(self) -> Metric:
        return Workload(
            WorkloadOptions(run=Task(command=("echo", "7"), quantities={"n": Wanted(lines=Word())}))
        )

    @contextmanager
    def scene(self, metric: Metric) -> Iterator[Scene]:
        instance = Scripted(printed("7\n"))
        yield Scene(events={}, guest=GUEST, instance=instance, clock=instance.clock)


class TestPreset(TestContract):
    def metric(self) -> Metric:
        return Workload(WorkloadOptions(use="sysbench-cpu"))

    @contextmanager
    def scene(self, metric: Metric) -> Iterator[Scene]:
        instance = Scripted(printed((SAID / "sysbench-cpu.stdout").read_bytes()))
        yield Scene(events={}, guest=GUEST, instance=instance, clock=instance.clock)


# --- what the tools print ---------------------------------------------------------------------------------

TOLD: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "sysbench-cpu": {"events": (100, 1e5), "latency_p95": (1e-5, 1)},
    "sysbench-memory": {"bandwidth": (2**27, 2**40)},
    "sysbench-threads": {"events": (10, 1e6), "latency_p95": (1e-5, 1)},
    "sysbench-fileio": {
        "reads": (1, 1e7),
        "writes": (1, 1e7),
        "fsyncs": (0.1, 1e6),
        "latency_p95": (1e-6, 1),
    },
    **{
        f"fio-{mode}": {
            "iops": (10, 1e7),
            "bandwidth": (2**20, 2**40),
            "latency_mean": (1e-6, 1),
            "latency_p99": (1e-6, 5),
        }
        for mode in ("randread", "randwrite", "seqread", "seqwrite")
    },
    "stress-cpu": {"bogo_ops": (1, 1e6)},
    "stress-vm": {"bogo_ops": (1, 1e7)},
    "stream": {"read": (2**20, 2**40), "written": (2**20, 2**40)},
    "context-switch": {"switch": (1e-8, 1e-3)},
    "syscall": {"call": (1e-9, 1e-4)},
    "openssl-sha256": {"throughput": (2**20, 2**36)},
    "openssl-aes": {"throughput": (2**20, 2**40)},
    "iperf3": {"throughput": (1e6, 1e12)},
    "http-wrk": {"requests": (1, 1e6)},
    "http-ab": {"requests": (1, 1e6), "failed": (0, 0), "latency_p95": (1e-3, 10)},
}


def test_every_ready_made_workload_has_its_tools_own_output() -> None:
    assert TOLD.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_the_numbers_of_a_tool_are_read_from_what_it_printed(name: str) -> None:
    """The outputs were printed by the tools of Debian 12, run as the presets run them, with two threads."""
    task = PRESETS[name].task
    assert task.quantities.keys() == TOLD[name].keys()
    for quantity, wanted in task.quantities.items():
        output = Output(wanted.file, (SAID / f"{name}.{wanted.file}").read_bytes())
        value = wanted.parser()(output) * (unit_named(wanted.unit) or ("", 0.0))[1]
        low, high = TOLD[name][quantity]
        assert low <= value <= high, (quantity, value)


def test_a_known_output_gives_the_very_number() -> None:
    said = "CPU speed:\n    events per second:  1234.56\n\n         95th percentile:             2.5\n"
    found = readings(observe(Workload(WorkloadOptions(use="sysbench-cpu")), Scripted(printed(said))))
    assert found["events"].value == 1234.56
    assert found["latency_p95"].value == pytest.approx(0.0025)


@pytest.mark.parametrize("name", PRESETS)
def test_every_tool_gets_as_many_threads_as_the_guest_has_cpus(name: str) -> None:
    task = PRESETS[name].task
    assert "{threads}" in " ".join(task.command) or task.on == "host" or name == "syscall"


# --- how it is run ----------------------------------------------------------------------------------------


def test_arguments_are_filled_and_nothing_else_is_touched() -> None:
    command = ("tool", "-t{threads}", "{seconds}", "{size}", "{memory}", "a  b; $HOME {x} {}")
    instance = Scripted(printed("1"))
    observe(own(task={"command": command}, time=3, size=4096), instance)
    assert instance.asked == [("tool", "-t2", "3", "4096", str(2**28), "a  b; $HOME {x} {}")]


def test_environment_and_input_reach_the_command() -> None:
    instance = Scripted(printed("1"))
    observe(own(task={"env": {"A": "b c"}, "stdin": "hello\n"}), instance)
    assert (instance.asked, instance.given) == ([("env", "A=b c", "tool")], [b"hello\n"])


def test_setup_comes_once_before_and_teardown_once_after() -> None:
    instance = Scripted(printed("1"))
    observe(own(task={"setup": ("make",), "teardown": ("remove",)}, iterations=2, warmup=1), instance)
    assert [one[0] for one in instance.asked] == ["make", "tool", "tool", "tool", "remove"]


@pytest.mark.parametrize(("rule", "value"), [("mean", 5.0), ("median", 3.0)])
def test_iterations_become_one_value_by_the_rule_and_warm_ups_are_kept_apart(rule: str, value: float) -> None:
    instance = Scripted(*(printed(str(one)) for one in (100, 1, 3, 11)))
    found = readings(observe(own(iterations=3, warmup=1, rule=rule), instance))
    assert found["n"] == Reading("n", value, None, (1.0, 3.0, 11.0), (100.0,))
    assert found["wall"].iterations == (1.0, 1.0, 1.0)
    assert found["exec_cost"].value == pytest.approx(0.01)


def test_numbers_are_stored_in_the_units_base_and_files_of_the_guest_are_read() -> None:
    wanted = {
        "time": Wanted(regex=r"(\d+) ms", unit="ms"),
        "rate": Wanted(lines=Word(), unit="MiB/s", file="/result"),
    }
    instance = Scripted(printed("5 ms"), printed("2\n"))
    found = readings(observe(own(wanted), instance))
    assert found["time"].value == pytest.approx(0.005)
    assert found["rate"].value == 2 * 2**20
    assert instance.asked[1][-1] == "/result"
    units = {one.name: one.unit for one in own(wanted).quantities}
    assert units == {"time": "s", "rate": "B/s", "wall": "s", "exec_cost": "s"}


def test_codes_that_are_accepted_are_a_value() -> None:
    found = observe(own(accept=(0, 3)), Scripted(printed("1", code=3)))
    assert readings(found)["exit_code"].value == 3
    mixed = observe(own(accept=(0, 3), iterations=2), Scripted(printed("1", code=3), printed("1")))
    assert Absent("exit_code", "iterations ended with 0 and 3") in mixed


# --- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            printed("", 127, b"tool: not found\n"),
            "iteration 1: 'tool' was not found in the guest: tool: not found",
        ),
        (printed("", 2, b"a\nbad \x1b[31mthing\n"), "iteration 1: 'tool' ended with 2: bad ?[31mthing"),
        (printed("", 137), "iteration 1: 'tool' ended with 137: it printed nothing"),
        (printed(""), "iteration 1: n: stdout: expected one line, got 0; nothing was printed there"),
        (printed("1\n2\n"), "iteration 1: n: stdout: expected one line, got 2; it ends with '2'"),
        (printed("soon\n"), "iteration 1: n: stdout:1: expected a number, got 'soon'"),
        (printed(b"\x7fELF\xff\xfe"), "iteration 1: n: stdout:1: this is no text: byte 0xff"),
        (
            printed(b"1" * (3 * LONGEST)),
            f"iteration 1: 'tool' printed {3 * LONGEST} bytes to stdout, and at most {LONGEST} are read",
        ),
        (DeadlineExceeded("late"), "iteration 1: 'tool' did not end within 5 s"),
    ],
)
def test_each_thing_that_goes_wrong_is_one_clear_error(answer: Answer, said: str) -> None:
    with pytest.raises(TrialError) as caught:
        observe(own(deadline=5), Scripted(answer))
    assert caught.value.what == said
    assert caught.value.hint


def test_a_missing_file_of_the_guest_is_told() -> None:
    wanted = {"n": Wanted(lines=Word(), file="/none")}
    with pytest.raises(StepFailed, match=r"/none: the guest has no such file to read: head: no such"):
        observe(own(wanted), Scripted(printed("1"), printed("", 1, b"head: no such\n")))


def test_a_failing_setup_is_told() -> None:
    with pytest.raises(StepFailed, match="setup: 'make' ended with 1: full"):
        observe(own(task={"setup": ("make",)}), Scripted(printed("", 1, b"full\n")))


def test_no_iteration_outlives_the_limit_of_its_observation() -> None:
    instance = Scripted(printed("1"), seconds=30.0)
    with pytest.raises(DeadlineExceeded, match="iteration 5: there is no time left"):
        observe(own(iterations=9, deadline=60), instance, timeout=100.0)
    assert instance.timeouts == pytest.approx([60, 60, 35, 5], abs=0.1)


def test_without_a_way_into_the_guest_nothing_is_claimed() -> None:
    metric = own()
    found = observe(metric, Scripted(Unavailable("no way in")))
    assert found == [Absent(one.name, "no way in") for one in metric.quantities]


# --- what spoils a number ---------------------------------------------------------------------------------


def codes(observed: Sequence[Any]) -> set[str]:
    return {one.code for one in observed if isinstance(one, Finding)}


@pytest.mark.parametrize(("seconds", "found"), [(0.19, {"workload.short"}), (0.21, set())])
def test_a_time_close_to_that_of_an_empty_command_is_a_finding(seconds: float, found: set[str]) -> None:
    assert codes(observe(own(), Scripted(printed("1"), seconds=seconds))) == found


@pytest.mark.parametrize(("latency", "found"), [(1.0, set()), (1.09, set()), (1.2, {"workload.little"})])
def test_littles_law_holds_within_a_tenth(latency: float, found: set[str]) -> None:
    wanted = 16 / 1000 * 1e9 * latency
    job = {
        "iops": 1000,
        "bw_bytes": 1,
        "lat_ns": {"mean": wanted},
        "clat_ns": {"percentile": {"99.000000": 1}},
    }
    said = json.dumps({"jobs": [{"read": job}]})
    assert codes(observe(Workload(WorkloadOptions(use="fio-randread")), Scripted(printed(said)))) == found


# --- before the first trial -------------------------------------------------------------------------------


def lacks(metric: Metric, guest: Guest) -> list[str]:
    return [f"{one.code}: {one.what}; {one.remedy}" for one in metric.check(guest)]


@pytest.mark.parametrize(
    ("metric", "guest", "said"),
    [
        (Workload(WorkloadOptions(use="fio-randread")), TOOLS, ""),
        (own(), GUEST, ""),
        (
            Workload(WorkloadOptions(use="fio-randread")),
            GUEST,
            (
                "workload.package: the image of base tiny lacks the package fio; "
                "give the image base: debian:bookworm and packages: [fio]"
            ),
        ),
        (
            Workload(WorkloadOptions(use="stress-cpu")),
            TOOLS,
            (
                "workload.package: the image of base debian:bookworm lacks the package stress-ng; "
                "give the image packages: [sysbench, fio, stress-ng]"
            ),
        ),
        (
            own(task={"command": ("/usr/bin/fio", "--x")}),
            GUEST,
            (
                "workload.package: the image of base tiny lacks the package fio; "
                "give the image base: debian:bookworm and packages: [fio]"
            ),
        ),
        (
            own(task={"command": ("no-such-program",), "on": "host"}),
            GUEST,
            "workload.program: this host has no program no-such-program; install it on the host",
        ),
        (
            own(task={"command": ("true",), "on": "host"}),
            replace(GUEST, ready=ReadyConsole(console=Console(pattern="x"))),
            (
                "workload.port: the host reaches no port of the guest; "
                "give guest.ready an http or tcp probe, or the task a port"
            ),
        ),
    ],
)
def test_what_is_lacking_is_told_before_the_first_trial(metric: Metric, guest: Guest, said: str) -> None:
    assert lacks(metric, guest) == ([said] if said else [])


def test_a_machine_of_unknown_size_wants_to_be_told_the_threads() -> None:
    machine = replace(GUEST, image=None, cpus=None, memory=None, machine="ubuntu-vm")
    task = {"command": ("work", "--threads={threads}", "--size={memory}")}
    assert lacks(own(task=task), machine) == [
        (
            "workload.threads: nobody says how many CPUs the machine ubuntu-vm has; "
            "say with how many threads: set `threads` of the workload"
        ),
        (
            "workload.memory: nobody says how much memory the machine ubuntu-vm has; "
            "write a size into the command in place of {memory}"
        ),
    ]
    assert [one for one in lacks(own(task=task, threads=2), machine) if "threads" in one] == []


def test_a_network_test_wants_its_server_and_a_port_to_it() -> None:
    metric = Workload(WorkloadOptions(use="iperf3"))
    assert metric.ports() == (5201,)
    told = [one.code for one in metric.check(TOOLS)]
    assert "workload.server" in told
    assert "workload.package" in told
    image = RecipeImage(base="debian:bookworm", packages=("iperf3",))
    good = replace(TOOLS, image=image, command=("iperf3", "-s", "--forceflush"))
    assert {one.code for one in metric.check(good)} <= {"workload.program"}


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["dd", "if=/dev/zero", "of=/dev/null"], "no I/O"),
        (["/bin/dd", "bs=1M", "if=/dev/zero"], "no I/O"),
        (["sh", "-c", "dd if=/dev/zero of=/dev/null bs=1M count=100"], "no I/O"),
        (["dd", "if=/dev/zero", "of=/tmp/x"], "page cache"),
        (["dd", "if=/tmp/x", "of=/dev/null"], "page cache"),
        (["fio", "--ioengine=null", "--name=x"], "no I/O"),
        (["tar", "--create", "--gzip", "--file=/dev/null", "/usr/lib"], "tar reads no file"),
        (["sh", "-c", "cd /usr; tar -czf /dev/null lib"], "tar reads no file"),
        (["fio", "--filename=/dev/null"], "no I/O"),
    ],
)
def test_what_only_looks_like_io_is_refused_with_the_reason(command: Sequence[str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        WorkloadOptions(run=Task(command=tuple(command)))


@pytest.mark.parametrize(
    "command",
    [
        ["dd", "if=/dev/zero", "of=/tmp/x", "conv=fdatasync"],
        ["dd", "if=/dev/zero", "of=/tmp/x", "oflag=direct"],
        ["dd", "if=/tmp/x", "of=/dev/null", "iflag=direct"],
        ["dd", "if=/dev/urandom", "of=/tmp/x", "bs=1M"],
        ["add", "if=/dev/zero"],
        ["sh", "-c", "tar -cz /usr/lib | wc -c"],
        ["sh", "-c", "tar -cf /tmp/x /usr/lib >/dev/null"],
    ],
)
def test_what_is_io_is_taken(command: Sequence[str]) -> None:
    WorkloadOptions(run=Task(command=tuple(command)))


BAD: Sequence[tuple[str, Callable[[], object]]] = [
    ("expected exactly one of use, run", lambda: WorkloadOptions()),
    ("did you mean 'fio-randread'", lambda: WorkloadOptions(use="fio-randred")),
    (
        "time: stream gives its numbers after 5s and more, got 4s",
        lambda: WorkloadOptions(use="stream", time=4),
    ),
    ("whole seconds", lambda: WorkloadOptions(use="fio-randread", time=1.5)),
    ("deadline: expected more than time", lambda: WorkloadOptions(use="fio-randread", time=10, deadline=10)),
    ("has no {seconds}", lambda: own(time=5)),
    ("one group", lambda: Wanted(regex="a")),
    ("one group", lambda: Wanted(regex="(a)(b)")),
    ("expected a regular expression", lambda: Wanted(regex="(")),
    ("expected exactly one of regex, json, csv, lines", lambda: Wanted()),
    ("expected exactly one of regex, json, csv, lines", lambda: Wanted(regex="(a)", json_="b")),
    ("expected one of", lambda: Wanted(regex="(a)", unit="furlong")),
    ("lines count from 1", lambda: Wanted(lines=Word(line=0))),
    ("wall is a quantity of every", lambda: own({"wall": Wanted(lines=Word())})),
]


@pytest.mark.parametrize(("said", "make"), BAD)
def test_bad_options_are_refused(said: str, make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError, match=said):
        make()
