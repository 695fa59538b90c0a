"""Stages of a boot: read from what guests print, and absent with the reason where one does not tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import Absent, Completed, Guest, Marks, Metric, MonotonicClock, Reading, Scene, Tag
from vmvc.errors import DeadlineExceeded, Unavailable
from vmvc.metrics.boot import Boot, BootOptions
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
LOG = "[    0.000000] Linux version 6.1\n[    1.250000] Run /init as init process\n[    1.3] x\n"
SHOWN = "UserspaceTimestampMonotonic=3500000\nFinishTimestampMonotonic=9000000\n"


class TestBoot(MetricContract):
    def metric(self) -> Metric:
        return Boot(BootOptions(wait=0.0))


Said = Mapping[str, bytes | int | Exception]


def stages(state: Path, said: Said, marks: Marks | None = None) -> dict[str, Reading | Absent]:
    """Return what a guest gives that answers commands as ``said``: an output, an exit code, a failure."""

    class Machine(FakeInstance):
        def marks(self) -> Marks:
            return marks or Marks()

        def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
            answer = said[next(key for key in said if key in " ".join(argv))]
            if isinstance(answer, Exception):
                raise answer
            return Completed(answer, b"", b"") if isinstance(answer, int) else Completed(0, answer, b"")

    backend = FakeBackend("fake", FakeOptions(state=str(state)))
    backend.instance_type = Machine  # type: ignore[misc]
    scene = Scene({}, GUEST, backend.instance(Tag("r", 1, "h:1:1"), GUEST), MonotonicClock())
    return {one.quantity: one for one in Boot(BootOptions()).observe(scene)}


def test_the_stages_of_a_machine_of_systemd(tmp_path: Path) -> None:
    said: Said = {"dmesg": LOG.encode(), "is-system-running": 1, "show": SHOWN.encode()}
    assert list(stages(tmp_path, said).values()) == [
        Reading("kernel", 1.25),
        Reading("initrd", 2.25),
        Reading("userspace", 5.5),
    ]


def test_a_machine_without_systemd_has_its_kernel_only(tmp_path: Path) -> None:
    found = stages(tmp_path, {"dmesg": LOG.encode(), "is-system-running": 127})
    assert found["kernel"] == Reading("kernel", 1.25)
    for name in ("initrd", "userspace"):
        assert found[name] == Absent(name, "the guest has no command 'systemctl'")


@pytest.mark.parametrize(
    ("shown", "waited", "why"),
    [
        (SHOWN.replace("9000000", "0"), 0, "systemd does not say that it has started all"),
        ("", 0, "systemd does not say that it has started all"),
        (SHOWN, DeadlineExceeded("it did not end within 30 s"), "it did not end within 30 s"),
    ],
    ids=["not finished", "says nothing", "too slow"],
)
def test_a_systemd_that_has_not_finished_gives_no_time(
    tmp_path: Path, shown: str, waited: int | Exception, why: str
) -> None:
    said: Said = {"dmesg": LOG.encode(), "is-system-running": waited, "show": shown.encode()}
    absent = stages(tmp_path, said)["userspace"]
    assert isinstance(absent, Absent)
    assert why in absent.reason


def test_a_log_that_is_not_shown_costs_what_stands_on_it(tmp_path: Path) -> None:
    said: Said = {"dmesg": 1, "is-system-running": 0, "show": SHOWN.encode()}
    found = stages(tmp_path, said)
    assert found["kernel"] == Absent("kernel", "'dmesg' in the guest ended with 1")
    assert isinstance(found["initrd"], Absent)
    assert found["userspace"] == Reading("userspace", 5.5)
    told = stages(tmp_path, {**said, "dmesg": b"[    9.0] overwritten\n"})
    assert told["kernel"] == Absent("kernel", "the guest's kernel log does not name its first process")


def test_a_guest_without_a_kernel_of_its_own_is_not_asked(tmp_path: Path) -> None:
    found = stages(tmp_path, {"": Unavailable("asked")}, Marks(absent={"kernel": "it boots none"}))
    assert list(found.values()) == [
        Absent(name, "it boots none") for name in ("kernel", "initrd", "userspace")
    ]
