"""Probes against what guests and port forwards really do on the loopback; exec in injected time."""

from __future__ import annotations

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
LATE = 0.3
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
    """A listener whose behaviour changes ``ready_after`` seconds from its start."""

    def __init__(self, behaviour: Behaviour, ready_after: float = 0.0) -> None:
        self.connections = 0
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self.ready_at = time.monotonic_ns() + round(ready_after * 1e9)
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def hang(self) -> None:
        self._ended.wait(30)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._ended.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        ready = time.monotonic_ns() >= self.ready_at
        with connection, suppress(OSError):
            self._behaviour(connection, ready)

    def close(self) -> None:
        self._ended.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def serving(behaviour: Behaviour, ready_after: float = 0.0) -> Iterator[Server]:
    server = Server(behaviour, ready_after)
    try:
        yield server
    finally:
        server.close()


def http(**changes: object) -> ReadyHttp:
    return ReadyHttp(http=Http.model_validate({"port": 80, "interval": INTERVAL, **changes}))


def wait(ready: Ready, instance: Instance, console: ConsoleTap | None = None, within: float = 5.0) -> Event:
    clock = MonotonicClock()
    return probes.wait(ready, instance, console, clock, clock.now() + round(within * 1e9))


def answer(connection: socket.socket, data: bytes) -> None:
    connection.recv(4096)
    connection.sendall(data)


# --- what port forwards and guests do ---------------------------------------------------------------------


def holds(connection: socket.socket, ready: bool) -> None:
    """QEMU's user network: accepts at once; what came before the guest is held and never answered."""
    if not ready:
        connection.settimeout(10)
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
def test_readiness_is_seen_at_once_and_its_bound_holds(behaviour: Behaviour) -> None:
    with serving(behaviour, ready_after=0.25) as server:
        instance = StubInstance(server.port)
        event = wait(http(), instance)
        late = (event.at - server.ready_at) / 1e9
        assert 0 <= late < LATE
        assert INTERVAL / 2 < event.resolution < LATE
        assert instance.asked_endpoint == 1
    assert server.connections > 5


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
    """An emulated guest may need many intervals for its answer: an eighth of that bounds the lateness."""

    def slow(connection: socket.socket, ready: bool) -> None:
        connection.recv(4096)
        if ready:
            time.sleep(needs)
            connection.sendall(OK)

    with serving(slow, ready_after=0.2) as server:
        event = wait(http(), StubInstance(server.port))
    late = (event.at - server.ready_at) / 1e9 - needs
    assert 0 <= late < event.resolution + LATE
    assert INTERVAL / 2 < event.resolution < max(needs / 8, 2 * INTERVAL) + LATE


def test_an_answer_that_comes_first_to_an_early_attempt() -> None:
    """A guest that accepts, and answers all that wait when it is ready: then the host is told."""
    ready = threading.Event()

    def queues(connection: socket.socket, _: bool) -> None:
        connection.recv(4096)
        ready.wait(10)
        connection.sendall(OK)

    with serving(queues) as server:
        timer = threading.Timer(0.2, ready.set)
        timer.start()
        before = time.monotonic_ns()
        event = wait(http(), StubInstance(server.port))
        timer.join()
        assert 0.2 <= (event.at - before) / 1e9 < 0.2 + LATE


def test_a_huge_answer_is_not_read() -> None:
    sent = []

    def floods(connection: socket.socket, ready: bool) -> None:
        connection.recv(4096)
        connection.sendall(OK)
        for _ in range(10_000):
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with serving(floods) as server:
        wait(http(), StubInstance(server.port))
    assert sum(sent) < 100 * 2**20


def test_endless_garbage_is_not_an_answer() -> None:
    def floods(connection: socket.socket, _: bool) -> None:
        answer(connection, b"HTTP/1.1 200" + b"x" * 10**6)

    with serving(floods) as server, pytest.raises(DeadlineExceeded, match="not HTTP"):
        wait(http(), StubInstance(server.port), within=0.2)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404"),
        (b"HTTP/1.1 200", "connection closed after an unfinished answer"),
        (b"SSH-2.0-x\r\n", "not HTTP: b'SSH-2.0-x"),
        (b"", "connection closed, no answer"),
        (b"HTTP/1.1 2000 OK\r\n", "not HTTP"),
        (b"HTTP/2 200 OK\r\n", "not HTTP"),
    ],
)
def test_what_was_seen_last_is_told(data: bytes, seen: str) -> None:
    with (
        serving(lambda connection, _: answer(connection, data)) as server,
        pytest.raises(DeadlineExceeded) as caught,
    ):
        wait(http(), StubInstance(server.port), within=0.2)
    assert seen in caught.value.what
    assert caught.value.hint


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
    question = probes._tcp(Tcp(port=1, send="x", expect="x"))
    attempt = probes._Attempt(question, socket.AF_INET, 0, 1)
    with attempt.socket:
        attempt.socket.bind(("127.0.0.1", 0))
        attempt.connect(attempt.socket.getsockname())
        assert attempt.go_on() is False
        assert attempt.seen == "connection refused"


def test_every_connection_is_closed() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with serving(holds, ready_after=60) as server:
        before = descriptors()
        with pytest.raises(DeadlineExceeded):
            wait(http(), StubInstance(server.port), within=0.4)
        deadline = time.monotonic() + 5
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert descriptors() <= before


def test_polling_costs_little() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        before = time.process_time()
        with pytest.raises(DeadlineExceeded):
            wait(http(), StubInstance(unused.getsockname()[1]), within=0.5)
        assert time.process_time() - before < 0.15


def test_an_interval_of_nothing_is_no_busy_loop() -> None:
    with serving(closes, ready_after=60) as server:
        with pytest.raises(DeadlineExceeded):
            wait(http(interval=0.0), StubInstance(server.port), within=0.2)
        assert server.connections <= 201


def test_a_pause_of_this_process_widens_the_resolution() -> None:
    class PausedClock(MonotonicClock):
        def __init__(self, server: Server) -> None:
            self.server = server

        def now(self) -> int:
            now = super().now()
            if now >= self.server.ready_at - 50_000_000 and not paused:
                paused.append(now)
                time.sleep(0.2)
            return now

    paused: list[int] = []
    with serving(refuses, ready_after=0.2) as server:
        clock = PausedClock(server)
        event = probes.wait(http(), StubInstance(server.port), None, clock, clock.now() + 5 * 10**9)
        assert event.resolution >= (event.at - server.ready_at) / 1e9 - 0.01
        assert event.resolution >= 0.18


def test_tcp_wants_bytes_and_not_only_a_connection() -> None:
    def banner(connection: socket.socket, ready: bool) -> None:
        connection.sendall(b"noise SS")
        if ready:
            connection.sendall(b"H-2.0\r\n")

    with serving(banner, ready_after=0.2) as server:
        probe = ReadyTcp(tcp=Tcp(port=22, expect="SSH-", interval=INTERVAL))
        event = wait(probe, StubInstance(server.port))
        assert 0 <= (event.at - server.ready_at) / 1e9 < LATE


def test_tcp_can_ask_first() -> None:
    def echo(connection: socket.socket, _: bool) -> None:
        if connection.recv(4096) == b"PING\r\n":
            connection.sendall(b"+PONG\r\n")

    with serving(echo) as server:
        wait(ReadyTcp(tcp=Tcp(port=1, send="PING\r\n", expect="PONG")), StubInstance(server.port))
        with pytest.raises(DeadlineExceeded, match="connection closed, no answer"):
            wait(ReadyTcp(tcp=Tcp(port=1, send="x", expect="PONG")), StubInstance(server.port), within=0.1)


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


def test_the_end_of_the_console_is_looked_into_at_once() -> None:
    started = time.monotonic()
    died = threading.Event()

    class Ending(Printed):
        def read(self, timeout: float) -> bytes | None:
            died.wait(timeout)
            return b""

    tap = ConsoleTap(Ending(), MonotonicClock())
    threading.Timer(0.02, died.set).start()
    with pytest.raises(GuestDied, match="its console stayed silent"):
        wait(http(), StubInstance(alive=lambda: not died.is_set()), tap)
    tap.close()
    assert time.monotonic() - started < 0.2


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
