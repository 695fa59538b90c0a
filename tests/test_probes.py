"""Probes against what guests and port forwards really do on the loopback; exec in injected time."""

from __future__ import annotations

import math
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

from vmvc import probes
from vmvc.console import ConsoleTap
from vmvc.contract import (
    Clock,
    Completed,
    DiskUsage,
    Event,
    Guest,
    Instance,
    MonotonicClock,
    Processes,
    Tag,
)
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed, TrialError, Unavailable
from vmvc.probes import network
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

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INTERVAL = 0.01
LATE = 5.0
"""Seconds that a busy machine may add to any instant."""


class StubInstance(Instance):
    """An instance of which a probe sees what the test says."""

    def __init__(
        self,
        port: int = 1,
        *,
        alive: Callable[[], bool] = lambda: True,
        run: Callable[[float], Completed] | None = None,
    ) -> None:
        ready = ReadyHttp(http=Http(port=80))
        super().__init__(Tag("r", 1, "h:1:1"), Guest(BUILT_IN_IMAGES["tiny"], 1, 2**28, ready))
        self.port = port
        self.asked_endpoint = 0
        self._alive = alive
        self._run = run

    def endpoint(self, port: int) -> tuple[str, int]:
        self.asked_endpoint += 1
        return "127.0.0.1", self.port

    def alive(self) -> bool:
        return self._alive()

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        assert self._run is not None
        return self._run(timeout)

    def create(self) -> None: ...
    def start(self) -> None: ...
    def stop(self, *, timeout: float) -> None: ...
    def destroy(self) -> None: ...

    def console(self) -> NoReturn:
        raise NotImplementedError

    def processes(self) -> Processes:
        raise NotImplementedError

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        return DiskUsage()


class InjectedClock(Clock):
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += max(1, round(seconds * 1e9))


Behaviour = Callable[[socket.socket, bool], None]
"""What a server does with a connection, and whether the guest behind it is ready."""


class Server:
    """A listener behind which the guest is ready from a certain connection on."""

    def __init__(self, behaviour: Behaviour, ready_from: int) -> None:
        self.connections = self.served = self.most_at_once = 0
        self.ready_at = math.inf
        self.ready = threading.Event()
        self._behaviour = behaviour
        self._ready_from = ready_from
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._ended = False
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def become_ready(self) -> None:
        if not self.ready.is_set():
            self.ready_at = time.monotonic_ns()
            self.ready.set()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._ended:
                connection.close()
                return
            self.connections += 1
            self.most_at_once = max(self.most_at_once, self.connections - self.served)
            if self.connections >= self._ready_from:
                self.become_ready()
            thread = threading.Thread(target=self._serve, args=(connection, self.ready.is_set()))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket, ready: bool) -> None:
        with connection, suppress(OSError):
            self._behaviour(connection, ready)
        self.served += 1

    def close(self) -> None:
        self._ended = True
        self.ready.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def serving(behaviour: Behaviour, ready_from: int = 1) -> Iterator[Server]:
    server = Server(behaviour, ready_from)
    try:
        yield server
    finally:
        server.close()


NEVER = 10**9


def http(**changes: object) -> ReadyHttp:
    return ReadyHttp(http=Http.model_validate({"port": 80, "interval": INTERVAL, **changes}))


def wait(ready: Ready, instance: Instance, console: ConsoleTap | None = None, within: float = 30.0) -> Event:
    clock = MonotonicClock()
    return probes.wait(ready, instance, console, clock, clock.now() + round(within * 1e9))


def last_seen(server: Server, ready: Ready) -> str:
    """Return what is said when the guest dies after some connections."""
    with pytest.raises(GuestDied) as caught:
        wait(ready, StubInstance(server.port, alive=lambda: server.connections < 10))
    assert caught.value.hint
    return caught.value.what.partition("last seen: ")[2]


def answer(connection: socket.socket, data: bytes) -> None:
    connection.recv(4096)
    connection.sendall(data)


# --- what port forwards and guests do ---------------------------------------------------------------------


def holds(connection: socket.socket, ready: bool) -> None:
    """QEMU's user network: accepts at once; what came before the guest is held and never answered."""
    if not ready:
        connection.settimeout(30)
        connection.recv(4096)
        connection.recv(4096)
    else:
        answer(connection, OK)


def closes(connection: socket.socket, ready: bool) -> None:
    """Docker's proxy: accepts, finds nobody, closes."""
    if ready:
        answer(connection, OK)


def refuses(connection: socket.socket, ready: bool) -> None:
    answer(connection, OK if ready else b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


def trickles(connection: socket.socket, ready: bool) -> None:
    connection.recv(4096)
    if ready:
        for place in range(len(OK)):
            connection.sendall(OK[place : place + 1])
            time.sleep(0.001)


def babbles(connection: socket.socket, ready: bool) -> None:
    answer(connection, OK if ready else b"\x00\xff garbage\r\n\r\n")


@pytest.mark.parametrize("behaviour", [holds, closes, refuses, trickles, babbles])
def test_readiness_is_seen(behaviour: Behaviour) -> None:
    with serving(behaviour, ready_from=10) as server:
        instance = StubInstance(server.port)
        event = wait(http(), instance)
        assert 0 <= (event.at - server.ready_at) / 1e9 < LATE
        assert INTERVAL / 2 < event.resolution < LATE
        assert instance.asked_endpoint == 1


def test_attempts_overlap() -> None:
    with serving(holds, ready_from=10) as server:
        wait(http(), StubInstance(server.port))
        assert server.most_at_once >= 9


def test_attempts_in_flight_are_bounded() -> None:
    """A held attempt lives 16 intervals, every second one 32, every fourth 64: about 8 more a doubling."""
    with serving(holds, ready_from=200) as server:
        wait(http(interval=0.005), StubInstance(server.port))
        assert 16 <= server.most_at_once < 80


def test_a_port_that_opens_late() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        opened = []

        def open_port() -> None:
            listener.listen()
            opened.append(time.monotonic_ns())
            connection, _ = listener.accept()
            with connection:
                answer(connection, OK)

        timer = threading.Timer(0.2, open_port)
        timer.start()
        event = wait(http(), StubInstance(listener.getsockname()[1]))
        timer.join()
    assert 0 <= (event.at - opened[0]) / 1e9 < LATE


@pytest.mark.parametrize("needs", [0.1, 0.3, 0.6])
def test_a_slow_answer_is_waited_for(needs: float) -> None:
    """An emulated guest may need many intervals for its answer."""

    def slow(connection: socket.socket, ready: bool) -> None:
        connection.recv(4096)
        if ready:
            time.sleep(needs)
            connection.sendall(OK)

    with serving(slow, ready_from=5) as server:
        event = wait(http(), StubInstance(server.port))
    assert 0 <= (event.at - server.ready_at) / 1e9 - needs < event.resolution + LATE
    assert INTERVAL / 2 < event.resolution < max(needs, 0.5)


def test_an_answer_to_all_that_wait_is_told() -> None:
    def queues(connection: socket.socket, _: bool) -> None:
        connection.recv(4096)
        server.ready.wait(30)
        connection.sendall(OK)

    with serving(queues, ready_from=10) as server:
        event = wait(http(), StubInstance(server.port))
        assert 0 <= (event.at - server.ready_at) / 1e9 < LATE


@pytest.mark.parametrize("ready", [http(), ReadyTcp(tcp=Tcp(port=1, expect="ok", send="x"))])
def test_a_huge_answer_is_not_read(ready: Ready) -> None:
    sent = []

    def floods(connection: socket.socket, ready: bool) -> None:
        answer(connection, OK)
        for _ in range(10_000):
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with serving(floods) as server:
        wait(ready, StubInstance(server.port))
    assert sum(sent) < 100 * 2**20


@pytest.mark.parametrize(
    ("ready", "seen"),
    [(http(), "not HTTP"), (ReadyTcp(tcp=Tcp(port=1, expect="ok", send="x")), "other bytes")],
)
def test_endless_garbage_is_not_an_answer(ready: Ready, seen: str) -> None:
    def floods(connection: socket.socket, _: bool) -> None:
        answer(connection, b"HTTP/1.1 200" + b"x" * 10**6)

    with serving(floods) as server:
        assert seen in last_seen(server, ready)


@pytest.mark.parametrize("question", [network.http(Http(port=1)), network.tcp(Tcp(port=1, expect="ok"))])
def test_an_answer_is_judged_by_so_many_bytes(question: network.Question) -> None:
    assert question.judge(b"HTTP/1.1")[0] is None
    assert question.judge(b"HTTP/1.1 ".ljust(network.MOST_BYTES, b"x"))[0] is False


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404"),
        (b"HTTP/1.1 200", "connection closed after an unfinished answer"),
        (b"SSH-2.0-x\r\n", "an answer that is not HTTP: b'SSH-2.0-x"),
        (b"", "connection closed, no answer"),
        (b"HTTP/1.1 2000 OK\r\n", "an answer that is not HTTP"),
        (b"HTTP/2 200 OK\r\n", "an answer that is not HTTP"),
    ],
)
def test_what_was_seen_last_is_told(data: bytes, seen: str) -> None:
    with serving(lambda connection, _: answer(connection, data)) as server:
        assert last_seen(server, http()).startswith(seen)


def test_a_connection_that_is_held_is_told() -> None:
    with serving(holds, NEVER) as server:
        assert last_seen(server, http(interval=0.02)) == "connected, no answer"


def test_an_answer_is_told_rather_than_a_connection_that_is_still_held() -> None:
    def refuses_once(connection: socket.socket, later: bool) -> None:
        (holds if later else refuses)(connection, False)

    with serving(refuses_once, ready_from=2) as server, pytest.raises(GuestDied, match="HTTP 503"):
        wait(http(interval=0.05), StubInstance(server.port, alive=lambda: server.connections < 3))


def test_the_wanted_status_and_path() -> None:
    asked = []

    def redirects(connection: socket.socket, _: bool) -> None:
        asked.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.0 302 Found\r\n\r\n")

    with serving(redirects) as server:
        wait(http(path="/a?b=c", status=302), StubInstance(server.port))
    assert asked[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n")


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DeadlineExceeded, match="last seen: connection refused"):
            wait(http(), StubInstance(unused.getsockname()[1]), within=0.1)


def test_a_connection_to_itself_is_no_guest() -> None:
    question = network.tcp(Tcp(port=1, send="x", expect="x"))
    attempt = network.Attempt(question, socket.AF_INET, 0, 1)
    with attempt.socket:
        attempt.socket.bind(("127.0.0.1", 0))
        attempt.connect(attempt.socket.getsockname())
        assert attempt.go_on(selectors.EVENT_WRITE) is False
        assert attempt.seen == "connection refused"


def test_an_answer_counts_from_when_the_selector_told_of_it() -> None:
    """One that comes while the request is being sent would else be dated before it."""
    attempt = network.Attempt(network.tcp(Tcp(port=1, send="x", expect="ok")), socket.AF_INET, 0, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener, attempt.socket:
        attempt.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"ok")
            select.select([attempt.socket], [], [], 30)
            assert attempt.go_on(selectors.EVENT_WRITE) is None
            assert attempt.go_on(selectors.EVENT_READ) is True


def test_every_connection_is_closed() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with serving(holds, NEVER) as server:
        before = descriptors()
        with pytest.raises(DeadlineExceeded):
            wait(http(), StubInstance(server.port), within=0.3)
        deadline = time.monotonic() + 30
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert descriptors() <= before


def test_polling_costs_little() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        before = time.process_time()
        with pytest.raises(DeadlineExceeded):
            wait(http(), StubInstance(unused.getsockname()[1]), within=0.5)
        assert time.process_time() - before < 0.2


def test_a_long_interval_does_not_hide_the_deadline() -> None:
    with serving(closes, NEVER) as server:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            wait(http(interval=30.0), StubInstance(server.port), within=0.1)
        assert time.monotonic() - started < 10


# --- how late the instant may be --------------------------------------------------------------------------


def test_a_pause_of_this_process_widens_the_resolution() -> None:
    class PausedClock(MonotonicClock):
        """Stands still for 0.2 s at the tenth connection; meanwhile the guest gets ready."""

        def now(self) -> int:
            if server.connections >= 10 and not server.ready.is_set():
                time.sleep(0.2)
                server.become_ready()
            return super().now()

    with serving(refuses, NEVER) as server:
        clock = PausedClock()
        event = probes.wait(http(), StubInstance(server.port), None, clock, clock.now() + 60 * 10**9)
        assert event.resolution >= 0.2


def test_an_answer_that_nobody_listened_for_widens_the_resolution() -> None:
    def queues(connection: socket.socket, _: bool) -> None:
        connection.recv(4096)
        server.ready.wait(30)
        connection.sendall(OK)

    def alive() -> bool:
        if server.connections:
            server.become_ready()
            time.sleep(0.3)
        return True

    with serving(queues, NEVER) as server:
        event = wait(http(interval=0.05), StubInstance(server.port, alive=alive))
        assert (event.at - server.ready_at) / 1e9 >= 0.3
        assert event.resolution >= 0.3


def test_readiness_before_the_first_attempt_counts_from_the_call() -> None:
    class Slow(StubInstance):
        def endpoint(self, port: int) -> tuple[str, int]:
            time.sleep(0.1)
            return super().endpoint(port)

    with serving(refuses) as server:
        assert wait(http(), Slow(server.port)).resolution >= 0.1


def test_only_an_attempt_that_lived_as_long_as_the_answer_took_proves_something() -> None:
    proofs = network.Proofs()
    assert not proofs
    for began, unanswered in [(0, 640), (10, 160), (20, 320), (30, 160), (40, math.inf), (50, 160)]:
        proofs.add(began, unanswered, oldest=0)
    assert proofs
    assert proofs.latest(60, took=100) == 50
    assert proofs.latest(60, took=160) == 50
    assert proofs.latest(60, took=161) == 40
    assert proofs.latest(40, took=161) == 20
    assert proofs.latest(40, took=321) == 0
    assert proofs.latest(40, took=641) is None
    assert proofs.latest(0, took=1) is None


def test_proofs_come_in_any_order_and_old_ones_are_forgotten() -> None:
    proofs = network.Proofs()
    for began in (30, 10, 20):
        proofs.add(began, math.inf, oldest=5)
    assert [proofs.latest(before, took=1) for before in (10, 11, 21, 31)] == [None, 10, 20, 30]
    proofs.add(40, math.inf, oldest=25)
    assert [proofs.latest(before, took=1) for before in (25, 31, 41)] == [20, 30, 40]
    assert proofs.latest(20, took=1) is None


# --- bytes over tcp ---------------------------------------------------------------------------------------


def test_tcp_wants_bytes_and_not_only_a_connection() -> None:
    def banner(connection: socket.socket, ready: bool) -> None:
        connection.sendall(b"noise SS")
        if ready:
            connection.sendall(b"H-2.0\r\n")

    with serving(banner, ready_from=10) as server:
        probe = ReadyTcp(tcp=Tcp(port=22, expect="SSH-", interval=INTERVAL))
        event = wait(probe, StubInstance(server.port))
        assert 0 <= (event.at - server.ready_at) / 1e9 < LATE


def test_tcp_can_ask_first() -> None:
    def echo(connection: socket.socket, _: bool) -> None:
        if connection.recv(4096) == b"PING\r\n":
            connection.sendall(b"+PONG\r\n")

    with serving(echo) as server:
        wait(ReadyTcp(tcp=Tcp(port=1, send="PING\r\n", expect="PONG")), StubInstance(server.port))
        ready = ReadyTcp(tcp=Tcp(port=1, send="x", expect="PONG"))
        assert last_seen(server, ready) == "connection closed, no answer"


def test_an_address_that_does_not_resolve() -> None:
    class Nowhere(StubInstance):
        def endpoint(self, port: int) -> tuple[str, int]:
            return "no-such-host.invalid", 80

    with pytest.raises(StepFailed, match=r"no-such-host\.invalid:80 cannot be resolved"):
        wait(http(), Nowhere())


# --- the end of a guest -----------------------------------------------------------------------------------


class Printed:
    """A byte stream of what a test prints."""

    def __init__(self, *chunks: bytes | BaseException, ends: bool = True) -> None:
        self._chunks = list(chunks)
        self._ends = ends
        self._closed = threading.Event()

    def read(self, timeout: float) -> bytes | None:
        if self._chunks:
            chunk = self._chunks.pop(0)
            if isinstance(chunk, BaseException):
                raise chunk
            return chunk
        if self._ends or self._closed.wait(timeout):
            return b""
        return None

    def close(self) -> None:
        self._closed.set()


@contextmanager
def tapped(*chunks: bytes | BaseException, ends: bool = True) -> Iterator[ConsoleTap]:
    tap = ConsoleTap(Printed(*chunks, ends=ends), MonotonicClock())
    try:
        yield tap
    finally:
        tap.close()


def test_a_dead_guest_ends_the_wait_with_its_last_words() -> None:
    looks = iter([True, False])
    printed = b"boot\r\n\x1b[31mkernel panic\x1b[0m\r\n"
    with tapped(printed, ends=False) as tap, pytest.raises(GuestDied) as caught:
        wait(http(), StubInstance(alive=lambda: next(looks)), tap)
    assert "last seen: connection refused; console:\nboot\nkernel panic" in caught.value.what


def test_a_dead_guest_says_how_it_ended() -> None:
    class Killed(StubInstance):
        def epitaph(self) -> str:
            return "killed by signal 9"

    with pytest.raises(GuestDied, match=r"before it was ready \(killed by signal 9\); last seen"):
        wait(http(), Killed(alive=lambda: False))


def test_a_kernels_panic_is_the_reason_though_its_dump_comes_after_it() -> None:
    words = b"[ 2.6] Kernel panic - not syncing: sysrq \x1b[31mtriggered crash\r\n" + b"RIP: 0033\n" * 30
    reason = r"\(kernel panic: sysrq triggered crash\); last seen"
    with tapped(words, ends=False) as tap, pytest.raises(GuestDied, match=f"before it was ready {reason}"):
        wait(http(), StubInstance(alive=lambda: False), tap)
    with (
        tapped(words, ends=False) as tap,
        pytest.raises(DeadlineExceeded, match=f"not ready after .* {reason}"),
    ):
        wait(console("never"), StubInstance(), tap, within=0.2)


def test_the_last_words_are_waited_for() -> None:
    class Late(Printed):
        said = False

        def read(self, timeout: float) -> bytes | None:
            if self.said:
                return b""
            self.said = True
            time.sleep(0.05)
            return b"panic"

    tap = ConsoleTap(Late(), MonotonicClock())
    with pytest.raises(GuestDied, match="panic"):
        wait(http(), StubInstance(alive=lambda: False), tap)
    tap.close()


def test_the_end_of_the_console_is_looked_into_at_once() -> None:
    looks = []
    died = threading.Event()

    def alive() -> bool:
        looks.append(time.monotonic())
        return not died.is_set()

    class Ending(Printed):
        def read(self, timeout: float) -> bytes | None:
            died.wait(timeout)
            return b""

    tap = ConsoleTap(Ending(), MonotonicClock())
    threading.Timer(0.02, died.set).start()
    with pytest.raises(GuestDied, match="its console stayed silent"):
        wait(http(), StubInstance(alive=alive), tap)
    tap.close()
    assert looks[-1] - looks[0] < 0.2


def test_a_live_guest_is_looked_at_four_times_a_second() -> None:
    looks = []

    def alive() -> bool:
        looks.append(time.monotonic())
        return True

    with pytest.raises(DeadlineExceeded):
        wait(http(), StubInstance(alive=alive), within=0.6)
    assert 2 <= len(looks) <= 3


def test_a_broken_console_ends_the_wait() -> None:
    with tapped(OSError("pipe burst")) as tap, pytest.raises(StepFailed, match="pipe burst"):
        wait(http(), StubInstance(), tap)


# --- told by the console ----------------------------------------------------------------------------------


def console(pattern: str) -> ReadyConsole:
    return ReadyConsole(console=Console(pattern=pattern))


def test_the_console_tells() -> None:
    with tapped(b"boot\nguest re", b"ady\n", ends=False) as tap:
        event = wait(console("^guest ready$"), StubInstance(), tap)
    assert event.resolution == 0.0


def test_a_console_that_ends_without_the_line() -> None:
    with tapped(b"boot\n") as tap:
        with pytest.raises(StepFailed, match="ended without a line that matches 'ready'"):
            wait(console("ready"), StubInstance(), tap)
        with pytest.raises(GuestDied, match="console:\nboot"):
            wait(console("ready"), StubInstance(alive=lambda: False), tap)


def test_a_console_without_the_line_in_time() -> None:
    seen = "no line that matches 'ready'; console:\nboot"
    with tapped(b"boot\n", ends=False) as tap, pytest.raises(DeadlineExceeded, match=seen):
        wait(console("ready"), StubInstance(), tap, within=0.1)


def test_no_console_to_be_told_by() -> None:
    with pytest.raises(Unavailable):
        wait(console("ready"), StubInstance(), None)


# --- by a command inside ----------------------------------------------------------------------------------


def execute(clock: InjectedClock, run: Callable[[float], Completed], within: float = 60.0) -> Event:
    ready = ReadyExec(exec=Exec(command=("true",), interval=0.05))
    return probes.wait(ready, StubInstance(run=run), None, clock, round(within * 1e9))


def test_exec_records_the_end_of_the_command_and_the_gap_before_it() -> None:
    clock = InjectedClock()
    statuses = iter([1, 1, 0])

    def run(timeout: float) -> Completed:
        clock.sleep(0.2)
        return Completed(next(statuses), b"", b"")

    assert execute(clock, run) == Event(600_000_000, 0.2)


def test_exec_keeps_its_interval() -> None:
    clock = InjectedClock()
    statuses = iter([1, 1, 0])

    def run(timeout: float) -> Completed:
        clock.sleep(0.01)
        return Completed(next(statuses), b"", b"")

    assert execute(clock, run) == Event(110_000_000, 0.05)


def test_exec_that_succeeds_at_once_has_no_gap() -> None:
    assert execute(InjectedClock(), lambda timeout: Completed(0, b"", b"")) == Event(0, 0.0)


def test_exec_goes_on_while_the_way_in_is_not_there_yet() -> None:
    clock = InjectedClock()
    outcomes: Iterator[TrialError | Completed] = iter(
        [StepFailed("no agent"), DeadlineExceeded("slow"), Completed(0, b"", b"")]
    )

    def run(timeout: float) -> Completed:
        outcome = next(outcomes)
        clock.sleep(timeout if isinstance(outcome, DeadlineExceeded) else 0.01)
        if isinstance(outcome, TrialError):
            raise outcome
        return outcome

    assert execute(clock, run).resolution == 10.0


@pytest.mark.parametrize("error", [Unavailable("no way in"), GuestDied("gone")])
def test_exec_passes_on_what_cannot_get_better(error: Exception) -> None:
    def run(timeout: float) -> Completed:
        raise error

    with pytest.raises(type(error)):
        execute(InjectedClock(), run)


def test_exec_is_patient_with_a_command_that_takes_long() -> None:
    clock = InjectedClock()

    def run(timeout: float) -> Completed:
        clock.sleep(min(15, timeout))
        if timeout < 15:
            raise DeadlineExceeded("slow")
        return Completed(0, b"", b"")

    assert execute(clock, run) == Event(25 * 10**9, 10.0)


def test_an_interval_of_nothing_is_no_busy_loop() -> None:
    clock, calls = InjectedClock(), []

    def run(timeout: float) -> Completed:
        calls.append(clock.at)
        return Completed(1, b"", b"")

    ready = ReadyExec(exec=Exec(command=("true",), interval=0.0))
    with pytest.raises(DeadlineExceeded):
        probes.wait(ready, StubInstance(run=run), None, clock, 10**8)
    assert len(calls) == 100


def test_exec_never_ready() -> None:
    clock = InjectedClock()
    with pytest.raises(DeadlineExceeded, match=r"exit status 7 \(not yet\)"):
        execute(clock, lambda timeout: Completed(7, b"", b"not yet\n"), within=3.0)
    assert 3.0 <= clock.at / 1e9 < 3.1


def test_exec_never_asks_beyond_the_deadline() -> None:
    clock = InjectedClock()

    def run(timeout: float) -> Completed:
        clock.sleep(timeout)
        raise DeadlineExceeded("slow")

    with pytest.raises(DeadlineExceeded, match="no exit within"):
        execute(clock, run, within=15.0)
    assert clock.at == 15 * 10**9
