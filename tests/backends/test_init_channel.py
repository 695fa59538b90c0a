"""The channel of the minimal init, with a guest at the other end that a test plays."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vmvc.backends.init_channel import InitChannel
from vmvc.contract import Completed
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed

Request = list[bytes]


class Guest:
    """Reads requests and answers by ``reply``, which returns a line or nothing."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.channel = InitChannel(ours)
        self.requests: list[Request] = []
        self.arrived = threading.Condition()

    def serve(self, reply: Callable[[Request], bytes]) -> None:
        def loop() -> None:
            with self.socket.makefile("rb") as lines:
                for line in lines:
                    request = line.split()
                    with self.arrived:
                        self.requests.append(request)
                        self.arrived.notify_all()
                    self.socket.sendall(reply(request))

        threading.Thread(target=loop, daemon=True).start()


@pytest.fixture
def guest() -> Iterator[Guest]:
    one = Guest()
    yield one
    one.channel.close()
    one.socket.close()


def done(status: int, stdout: bytes = b"", stderr: bytes = b"") -> Callable[[Request], bytes]:
    fields = [b"%d" % status, *(base64.b64encode(text) or b"-" for text in (stdout, stderr))]
    return lambda request: b" ".join([request[0], *fields]) + b"\n"


def test_a_request_and_its_answer(guest: Guest) -> None:
    guest.serve(done(3, b"out\0\n", b"err"))
    assert guest.channel.run(["sh", "-c", "a  b", ""], timeout=9.5, stdin=b"in\n") == Completed(
        3, b"out\0\n", b"err"
    )
    (request,) = guest.requests
    assert request[1:4] == [b"10", base64.b64encode(b"in\n"), base64.b64encode(b"sh")]
    assert request[5:] == [base64.b64encode(b"a  b"), b"="]


def test_no_input_is_a_dash(guest: Guest) -> None:
    guest.serve(done(0))
    assert guest.channel.run(["true"], timeout=5, stdin=b"") == Completed(0, b"", b"")
    assert guest.requests[0][2] == b"-"


def test_answers_may_come_in_another_order(guest: Guest) -> None:
    waiting: list[Request] = []

    def reply(request: Request) -> bytes:
        waiting.append(request)
        if len(waiting) < 2:
            return b""
        return b"".join(done(0, b"to " + one[3])(one) for one in reversed(waiting))

    guest.serve(reply)
    outputs: dict[str, bytes] = {}

    def ask(name: str) -> None:
        outputs[name] = guest.channel.run([name], timeout=10, stdin=b"").stdout

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {name: b"to " + base64.b64encode(name.encode()) for name in ("one", "two")}


def test_a_late_answer_is_not_taken_for_the_next(guest: Guest) -> None:
    late: list[Request] = []

    def reply(request: Request) -> bytes:
        if not late:
            late.append(request)
            return b""
        return done(7, b"late")(late[0]) + done(0, b"right")(request)

    guest.serve(reply)
    with pytest.raises(DeadlineExceeded, match="'slow' did not end within"):
        guest.channel.run(["slow"], timeout=0.05, stdin=b"")
    assert guest.channel.run(["next"], timeout=5, stdin=b"").stdout == b"right"


def test_a_command_may_return_124_of_itself(guest: Guest) -> None:
    guest.serve(done(124))
    assert guest.channel.run(["exit-124"], timeout=30, stdin=b"").returncode == 124


def test_the_end_of_the_machine_is_told(guest: Guest) -> None:
    def reply(_: Request) -> bytes:
        guest.socket.shutdown(socket.SHUT_RDWR)
        return b""

    threading.Thread(target=lambda: reply(guest.socket.recv(1000).split())).start()
    with pytest.raises(GuestDied, match="'sleep'"):
        guest.channel.run(["sleep", "9"], timeout=60, stdin=b"")
    with pytest.raises(GuestDied):
        guest.channel.run(["again"], timeout=60, stdin=b"")


def test_closing_ends_the_wait(guest: Guest) -> None:
    closer = threading.Timer(0.05, guest.channel.close)
    closer.start()
    with pytest.raises(GuestDied):
        guest.channel.run(["sleep", "9"], timeout=60, stdin=b"")
    closer.join()


@pytest.mark.parametrize("line", [b"", b" 0", b" x - -", b" 0 - !", b" 0 - - -"])
def test_an_answer_that_makes_no_sense(guest: Guest, line: bytes) -> None:
    guest.serve(lambda request: request[0] + line + b"\n")
    with pytest.raises(StepFailed, match="no sense"):
        guest.channel.run(["true"], timeout=5, stdin=b"")


def test_a_guest_that_does_not_read_is_given_up(guest: Guest) -> None:
    before = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        guest.channel.run(["cat"], timeout=0.1, stdin=bytes(8 * 2**20))
    assert time.monotonic() - before < 30
    with pytest.raises(StepFailed, match="stuck"):
        guest.channel.run(["true"], timeout=5, stdin=b"")


def test_a_serial_port_gets_nothing_before_the_guest_has_opened_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = InitChannel(ours, serial=True)
        with pytest.raises(DeadlineExceeded):
            channel.run(["too-early"], timeout=0.1, stdin=b"")
        theirs.settimeout(0.1)
        with pytest.raises(TimeoutError):
            theirs.recv(1)
        theirs.settimeout(None)
        theirs.sendall(b"\nopen\n")
        answered = threading.Thread(target=lambda: theirs.sendall(theirs.recv(99)[:2] + b"0 - -\n"))
        answered.start()
        assert channel.run(["in-time"], timeout=9.0, stdin=b"").returncode == 0
        answered.join()
        channel.close()


def test_a_machine_that_ends_before_its_serial_port_is_open_is_blamed() -> None:
    ours, theirs = socket.socketpair()
    channel = InitChannel(ours, serial=True)
    threading.Timer(0.1, theirs.close).start()
    before = time.monotonic()
    with pytest.raises(GuestDied):
        channel.run(["never"], timeout=30.0, stdin=b"")
    assert time.monotonic() - before < 5
    channel.close()
