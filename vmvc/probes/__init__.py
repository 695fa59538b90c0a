"""A guest that is starting -> the instant at which it was ready, and how late that instant may be.

One probe for every backend. ``console`` is told; ``http``, ``tcp`` and ``exec`` ask again and again.

Attempts over the network overlap: one begins every ``interval``, whatever became of those before it. A
forwarded port accepts long before the guest does (QEMU's user network then holds the connection for seconds,
Docker's proxy closes it at once), so an attempt that began too early says nothing about now, and waiting for
it would cost seconds. Lives of attempts follow the ruler sequence (16 intervals; every second attempt 32,
every fourth 64 ... up to 10 s), which keeps a few dozen in flight and still sees a guest that needs seconds
for its answer.

Where the guest announces its network on the console, attempts begin in earnest with that line. A hypervisor's
network keeps every connection that came before, and offers it to the guest seconds later, also one that was
given up here; hundreds of them then fill the guest's queue when it is ready. Until then one attempt a second
is made, for a line that was torn; after it four at most are in flight.

The resolution of a polled instant is an upper bound of its lateness, under one assumption: a guest that is
ready answers every attempt equally fast. Let the attempt that began at ``s`` be answered after ``L``; ``L``
is what asking costs and is no error. An earlier attempt proves that the guest was not ready when it began if
it failed of itself or stayed unanswered for at least ``L``; one that was given up sooner proves nothing. So
does the announcement of its network: it could not answer before. From the latest proof to ``s`` the guest may
have been ready unnoticed: that gap, as it really was (a pause of this process widens it), plus the time for
which nobody listened just before the answer was seen, is the resolution. Where no attempt came before, it
counts from the call of ``wait``.
"""

from __future__ import annotations

import re
from typing import Final

from vmvc.console import ConsoleTap, Search
from vmvc.contract import Clock, Event, Instance
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed, TrialError, Unavailable
from vmvc.probes.network import ask, http, tcp
from vmvc.probes.watch import ALIVE_EVERY, SECOND, Watch, nanoseconds
from vmvc.spec import Exec, Ready, ReadyConsole, ReadyExec, ReadyHttp, ReadyTcp
from vmvc.units import show_seconds

__all__ = ["ConsoleTap", "wait"]

PATIENCE: Final = 10 * SECOND
"""Nanoseconds that the first command which does not end may take; the next may take twice as long."""


def wait(ready: Ready, instance: Instance, console: ConsoleTap | None, clock: Clock, deadline: int) -> Event:
    """Return the instant at which the guest was ready; ``deadline`` is an instant on ``clock``.

    ``console`` is ``None`` where the platform has none.

    Raises: DeadlineExceeded (with what was seen last); GuestDied (with the end of the console); StepFailed
    where the console broke; Unavailable where the probe cannot work on this backend.
    """
    watch = Watch(instance, console, clock, deadline)
    match ready:
        case ReadyHttp(http=probe):
            network = _network(instance, console)
            return ask(http(probe), instance.endpoint(probe.port), probe.interval, watch, network)
        case ReadyTcp(tcp=probe):
            network = _network(instance, console)
            return ask(tcp(probe), instance.endpoint(probe.port), probe.interval, watch, network)
        case ReadyExec(exec=probe):
            return _execute(probe, instance, watch)
        case ReadyConsole(console=probe):
            return _listen(probe.pattern, console, watch)


def _network(instance: Instance, console: ConsoleTap | None) -> Search | None:
    """Return the search for the line by which the guest announces its network, where it does."""
    line = instance.marks().lines.get("network")
    return None if console is None or line is None else console.search(re.compile(line))


# --- inside the guest -------------------------------------------------------------------------------------


def _execute(probe: Exec, instance: Instance, watch: Watch) -> Event:
    clock = watch.clock
    interval = nanoseconds(probe.interval)
    before = watch.called
    patience = PATIENCE
    while True:
        began = watch.check()
        try:
            ended = instance.run(probe.command, timeout=min(patience, watch.deadline - began) / SECOND)
        except GuestDied:
            raise
        except DeadlineExceeded:
            watch.seen = f"no exit within {show_seconds(patience / SECOND)}"
            patience *= 2
        except TrialError as error:
            watch.seen = error.what
        else:
            if ended.returncode == 0:
                return Event(clock.now(), (began - before) / SECOND)
            said = ended.stderr.decode(errors="replace").strip()[-200:]
            watch.seen = f"exit status {ended.returncode}" + (f" ({said})" if said else "")
        before = began
        while clock.now() < began + interval:
            clock.sleep(watch.pause(began + interval))
            watch.check()


# --- on the console ---------------------------------------------------------------------------------------


def _listen(pattern: str, console: ConsoleTap | None, watch: Watch) -> Event:
    if console is None:
        raise Unavailable("this backend shows no console to search", hint="use another probe in guest.ready")
    line = console.search(re.compile(pattern))
    watch.seen = f"no line that matches {pattern!r}"
    while True:
        ended = console.ended
        if found := line.wait(watch.pause(watch.deadline)):
            return found
        watch.check()
        if ended:
            watch.clock.sleep(ALIVE_EVERY / SECOND)
            watch.check()
            raise StepFailed(
                f"the console ended without a line that matches {pattern!r}, and the guest still runs",
                hint="check guest.ready.console.pattern, or use another probe",
            )
