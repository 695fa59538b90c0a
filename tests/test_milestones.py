"""Events that a platform tells or a guest prints: stamped once, by the runner's clock, or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.test_trial import GUEST
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.console import ConsoleTap
from vmvc.contract import Marks, Tag
from vmvc.errors import Unavailable
from vmvc.images import MACHINE_LINES
from vmvc.milestones import Milestones

BOOT = (
    b"SeaBIOS\r\n[    0.000000] Linux version 6.1\r\n[    0.0000",
    b"00] Command line: x\r\nvmvc: init\r\nvmvc: netw",
    b"ork\r\nvmvc: exec\r\nhello\r\n",
    b"vmvc: command ended with 1",
    b"43\r\n",
)


class Clock:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        self.at += 1
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError


class Chunks:
    """A console that prints what is let through."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.ended = False

    def read(self, timeout: float) -> bytes | None:
        if self.waiting:
            return self.waiting.pop(0)
        return b"" if self.ended else None

    def close(self) -> None:
        self.ended = True


class Machine(FakeInstance):
    told: Callable[[str], None]
    lines = dict(MACHINE_LINES)

    def watch(self, tell: Callable[[str], None]) -> None:
        self.told = tell

    def marks(self) -> Marks:
        return Marks(self.lines, {"pulse": "it has none"})

    def exit_code(self) -> int:
        return 7


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    backend = FakeBackend("fake", FakeOptions(state=str(tmp_path)))
    backend.instance_type = Machine  # type: ignore[misc]
    made = backend.instance(Tag("r", 1, "h:1:1"), GUEST)
    assert isinstance(made, Machine)
    return made


Tapped = tuple[ConsoleTap, Chunks, Callable[[bytes], None]]


@pytest.fixture
def tapped() -> Iterator[Tapped]:
    chunks, clock = Chunks(), Clock()
    tap = ConsoleTap(chunks, clock)

    def say(chunk: bytes) -> None:
        before = len(tap.head)
        chunks.waiting.append(chunk)
        while len(tap.head) < before + len(chunk):
            pass

    yield tap, chunks, say
    tap.close()


def test_the_lines_of_a_boot_are_events_in_their_order(machine: Machine, tapped: Tapped) -> None:
    tap, _, say = tapped
    milestones = Milestones(machine, Clock())
    milestones.listen(tap)
    for chunk in BOOT[:3]:
        say(chunk)
    events = milestones.events()
    assert sorted(events, key=lambda name: events[name].at) == ["kernel", "init", "network", "exec"]
    assert events["kernel"].at < events["init"].at < events["network"].at == events["exec"].at


def test_the_end_is_looked_for_after_the_request_to_stop_only(machine: Machine, tapped: Tapped) -> None:
    tap, chunks, say = tapped
    milestones = Milestones(machine, Clock())
    milestones.listen(tap)
    say(b"vmvc: command ended with 1\n")
    milestones.listen_for_the_end(tap)
    assert "stopped" not in milestones.events()
    for chunk in BOOT[3:]:
        say(chunk)
    chunks.ended = True
    assert milestones.exit_code(tap) == 143
    assert "stopped" in milestones.events()


@pytest.mark.parametrize(("said", "code"), [("0", 0), ("TERM", 143), ("SIGKILL", 137)])
def test_systemd_names_signals(machine: Machine, tapped: Tapped, said: str, code: int) -> None:
    tap, chunks, say = tapped
    milestones = Milestones(machine, Clock())
    milestones.listen_for_the_end(tap)
    say(f"[  OK  ] vmvc: command ended with {said}\r\n".encode())
    chunks.ended = True
    assert milestones.exit_code(tap) == code


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"bye\n", "did not say how"), (b"vmvc: command ended with JOY\n", "makes no sense: 'JOY'")],
)
def test_an_end_without_a_code_is_unknown_and_never_zero(
    machine: Machine, tapped: Tapped, said: bytes, reason: str
) -> None:
    tap, chunks, say = tapped
    milestones = Milestones(machine, Clock())
    milestones.listen_for_the_end(tap)
    say(said)
    chunks.ended = True
    with pytest.raises(Unavailable, match=reason):
        milestones.exit_code(tap)


def test_the_first_word_of_a_platform_counts_and_its_own_exit_code(machine: Machine) -> None:
    clock = Clock()
    milestones = Milestones(machine, clock)
    machine.told("exec")
    clock.at = 100
    machine.told("exec")
    machine.told("stopped")
    assert {name: event.at for name, event in milestones.events().items()} == {"exec": 1, "stopped": 102}
    assert milestones.exit_code(None) == 7


def test_what_nobody_tells_has_a_reason(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "lines", {"kernel": "."})
    assert Milestones(machine, Clock()).absent() == {
        "kernel": "no line of the guest's console announced it",
        **dict.fromkeys(("init", "network", "exec", "stopped"), "the platform does not tell of this"),
        "pulse": "it has none",
    }
