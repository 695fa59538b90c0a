"""A victim that serves a page, and a bully beside it -> what the bully does to its rate and tail latency.

Both are instances of the same guest, so with equal limits. The bully runs one load after the other; each is
bounded in time by itself, in CPUs and memory by the instance's limits, in processes and disk by what it does.
Where an instance has no limit nothing is let loose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple, get_args

import psutil
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from vmvc import host
from vmvc.contract import (
    Absent,
    Finding,
    Guest,
    Instance,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Severity,
)
from vmvc.errors import GuestDied, Unavailable
from vmvc.metrics import hogs
from vmvc.metrics.asking import LEAST_FOR_P99, Answers, ask
from vmvc.metrics.hogs import GRACE, MIB, Beside
from vmvc.spec import Http, ReadyHttp
from vmvc.units import Duration, Size, show_bytes

Load = Literal["cpu", "memory", "fork", "disk", "network"]
LOADS: Final[tuple[Load, ...]] = get_args(Load)
ALONE: Final = "alone"
MARGIN: Final = 2
"""Seconds that a load outlives the window."""
LONGEST_LEAD: Final = 20.0
WARM: Final = 1.0
"""Seconds of one look whether the victim has calmed down after its start."""
CALM: Final = 3
"""Looks in a row without a stall that are calm enough."""
STALL: Final = 0.5
"""Seconds; longer answers waited for a lost packet: TCP asks again after 1 s, QEMU's network after 6."""
LONGEST_WARM: Final = 60.0
MOST_AT_ONCE: Final = 64
"""Loops of a load at once, however many CPUs the guest has."""
MOST_TOUCHED: Final = 2**30
"""Bytes that one pass of the memory load touches, at most."""

_WHAT: Final[Mapping[str, str]] = {
    "cpu": "busy loops, one a CPU",
    "memory": "a program that takes and touches half of its memory, again and again",
    "fork": "processes that are forked and end, one a CPU at a time",
    "disk": "a file that is written and flushed to the disk, again and again",
    "network": "requests of its own page over its own loopback, one a CPU at a time",
}


def _listed_once(loads: tuple[Load, ...]) -> tuple[Load, ...]:
    if len(set(loads)) < len(loads):
        raise PydanticCustomError("listed_twice", "expected a list in which each load stands once")
    return loads


class InterferenceOptions(Options):
    """Options of the metric."""

    bullies: Annotated[
        tuple[Load, ...],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_listed_once),
    ] = Field(default=LOADS, description="Loads to run beside the victim, one after the other.")
    window: Duration = Field(
        default=5.0, gt=0, le=60, description="How long the victim is asked alone and beside each load."
    )
    file: Size = Field(
        default=64 * MIB,
        ge=MIB,
        le=2**30,
        description="Size of the file that the disk load writes; never more than a quarter of guest.memory.",
    )
    patience: Duration = Field(
        default=10.0, gt=0, le=60, description="A victim that does not answer for so long did not finish."
    )


class Work(NamedTuple):
    """One load: a line of shell, how often at once, and its arguments."""

    line: str
    loops: int = 1
    arguments: tuple[str, ...] = ()


class Interference(Metric):
    """What a neighbour with equal limits takes away: the price of sharing a host."""

    name = "interference"
    says = "a victim's rate and tail latency, alone and beside a bully: cpu, memory, fork, disk, network"
    needs = "two instances with limits on CPU and memory, `guest.ready: {http: ...}`, and `sh` in the guest"
    observes = Observes.FLEET
    options_model = InterferenceOptions
    options: InterferenceOptions
    quantities = tuple(
        quantity
        for name in (ALONE, *LOADS)
        for beside in ["alone" if name == ALONE else f"beside {_WHAT[name]}"]
        for quantity in (
            Quantity(f"{name}_rate", "1/s", "higher", f"Answers per second of the victim, {beside}."),
            Quantity(f"{name}_p50", "s", "lower", f"Median time of the victim's answers, {beside}."),
            Quantity(f"{name}_p99", "s", "lower", f"99th percentile of these times, {beside}."),
            Quantity(
                f"{name}_finished",
                "1",
                "higher",
                f"1 where the victim answered to the end, {beside}; 0 where not.",
            ),
            *(
                [
                    Quantity(
                        f"{name}_share", "1", "higher", f"Rate {beside}, over that alone in the same trial."
                    )
                ]
                if name != ALONE
                else []
            ),
        )
    )

    def check(self, guest: Guest) -> Sequence[Finding]:
        """Say where such a guest cannot be a victim; its figures will be absent."""
        unfit = _unfit(guest)
        if isinstance(unfit, Unavailable):
            return (Finding("interference.unfit", Severity.WARNING, unfit.what, unfit.hint),)
        return ()

    def seconds(self) -> float:
        loads = len(self.options.bullies)
        return LONGEST_WARM / 2 + self.options.window * (1 + loads) + (MARGIN + LONGEST_LEAD / 2) * loads

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Ask the victim alone, start the bully, and ask again beside each of its loads.

        Raises: TrialError where the bully's instance does not become ready.
        """
        page = self._page(scene)
        if isinstance(page, Unavailable):
            yield from _absent((ALONE, *LOADS), page.what)
            return
        assert scene.fleet is not None
        victim = scene.instance
        yield from self._calm(victim, page, scene)
        alone = self._ask(victim, page, scene)
        yield from _told(ALONE, alone)
        unasked = [load for load in LOADS if load not in self.options.bullies]
        yield from _absent(unasked, "metrics.interference.bullies leaves it out")
        if alone.failed:
            yield from _absent(self.options.bullies, f"the victim did not finish alone: {alone.failed}")
            return
        scene.fleet.grow(1)
        bully = scene.fleet.members[-1].instance
        for load in self.options.bullies:
            beside = self._beside(victim, bully, load, page, scene)
            if isinstance(beside, Unavailable):
                yield from _absent([load], beside.what)
            else:
                yield from _told(load, beside)
                yield _share(load, beside, alone)

    def _page(self, scene: Scene) -> Http | Unavailable:
        """Return what the victim is asked for, or why nobody may be bullied here."""
        if scene.fleet is None:
            return Unavailable("there is no fleet to bully in")
        page = _unfit(scene.guest)
        if isinstance(page, Unavailable):
            return page
        try:
            held = scene.instance.limits()
        except Unavailable as reason:
            return reason
        for name, limit in (("cpus", held.cpus), ("memory", held.memory)):
            if limit is None:
                why = held.absent.get(name, "the backend does not say")
                return Unavailable(f"a bully without a limit on {name} is not let loose: {why}")
        floor, memory = host.memory_floor(psutil.virtual_memory().total), scene.guest.made.memory
        if host.mem_available() - memory < floor:
            return Unavailable(
                f"a bully of {show_bytes(memory)} would leave less than "
                f"{show_bytes(floor)} of the host's free"
            )
        return page

    def _calm(self, victim: Instance, page: Http, scene: Scene) -> Iterator[Finding]:
        """Ask until the victim is calm.

        It may still be starting, and what the readiness probe asked comes back for seconds to a machine that
        does not announce its network.
        """
        end = scene.clock.now() + round(LONGEST_WARM * 1e9)
        calm = 0
        while calm < CALM and scene.clock.now() < end:
            answers = ask(victim, page, WARM, self.options.patience, scene.clock)
            stalled = answers.failed or not answers.took or max(answers.took) > STALL
            calm = 0 if stalled else calm + 1
            if not victim.alive():
                return
        if calm < CALM:
            yield Finding(
                "interference.restless",
                Severity.WARNING,
                f"the victim had not calmed down after {LONGEST_WARM:g} s: answers over {STALL:g} s go on",
                "compare its figures alone between trials before you trust a share",
            )

    def _ask(self, victim: Instance, page: Http, scene: Scene) -> Answers:
        answers = ask(victim, page, self.options.window, self.options.patience, scene.clock)
        if not answers.failed and not victim.alive():
            return Answers(answers.took, answers.seconds, victim.epitaph() or "it ended")
        return answers

    def _beside(
        self, victim: Instance, bully: Instance, load: Load, page: Http, scene: Scene
    ) -> Answers | Unavailable:
        """Return the victim's answers while the bully runs one load, or why it does not run."""
        work = self._work(load, page, scene)
        try:
            began = scene.clock.now()
            tried = hogs.run(bully, ["sh", "-c", work.line, "sh", "", "", *work.arguments], GRACE)
            if isinstance(tried, Unavailable):
                return tried
            if tried.returncode:
                said = " ".join(tried.stderr.decode(errors="replace").split())[-200:]
                return Unavailable(f"the load cannot run: status {tried.returncode} {said}".rstrip())
            # A command needs about as long again to begin.
            lead = min(LONGEST_LEAD, max(0.5, 2 * (scene.clock.now() - began) / 1e9))
            seconds = math.ceil(lead + self.options.window) + MARGIN
            argv = hogs.loops(work.line, seconds, work.loops, *work.arguments)
            with Beside(bully, argv, seconds + GRACE, scene.clock.now) as hog:
                scene.clock.sleep(lead)
                end = scene.clock.now() + round(self.options.window * 1e9)
                answers = self._ask(victim, page, scene)
                # The last answer may well be later: what it waited for was there in the window.
                early = hog.over is not None and hog.over < end
                ended = hog.ended()
        except GuestDied as error:
            return Unavailable(f"the bully itself ended: {error.what}")
        if isinstance(ended, Unavailable):
            return ended
        return Unavailable("the load ended before the window did") if early else answers

    def _work(self, load: Load, page: Http, scene: Scene) -> Work:
        cpus, memory = min(scene.guest.made.cpus, MOST_AT_ONCE), scene.guest.made.memory
        match load:
            case "cpu":
                return Work(":", cpus)
            case "memory":
                size = min(memory // 2, MOST_TOUCHED)
                return Work("dd if=/dev/zero of=/dev/null bs=$3 count=1", 1, (str(size),))
            case "fork":
                return Work("(:)", cpus)
            case "disk":
                count = max(1, min(self.options.file, memory // 4) // MIB)
                line = "dd if=/dev/zero of=/tmp/vmvc-bully bs=1048576 count=$3 conv=fsync"
                return Work(line, 1, (str(count),))
            case "network":
                url = f"http://127.0.0.1:{page.port}{page.path}"
                return Work('wget -q -O /dev/null "$3"', cpus, (url,))


def _unfit(guest: Guest) -> Http | Unavailable:
    """Return what such a guest is asked for as a victim, or why it cannot be one."""
    if guest.machine is not None:
        return Unavailable(
            "a machine that exists already is one, and a bully would be a second",
            hint="leave interference out, or compare guests that vmvc makes",
        )
    if not isinstance(guest.ready, ReadyHttp):
        return Unavailable(
            "the victim is asked over HTTP, and guest.ready is no http probe",
            hint="let the guest serve a page: guest.ready: {http: {port: 80}}",
        )
    return guest.ready.http


def _told(name: str, answers: Answers) -> Iterator[Observation]:
    """Give what the victim did; one that did not finish has that as its value, and no others."""
    if answers.failed or not answers.took:
        why = answers.failed or "no answer in the whole window"
        yield Reading(f"{name}_finished", 0)
        for part in ("rate", "p50", "p99"):
            yield Absent(
                f"{name}_{part}", f"the victim did not finish, after {len(answers.took)} answers: {why}"
            )
        return
    yield Reading(f"{name}_finished", 1)
    yield Reading(f"{name}_rate", answers.rate)
    yield Reading(f"{name}_p50", answers.quantile(0.5))
    if len(answers.took) < LEAST_FOR_P99:
        what = f"a 99th percentile needs {LEAST_FOR_P99} answers, and there were {len(answers.took)}"
        yield Absent(f"{name}_p99", what)
    else:
        yield Reading(f"{name}_p99", answers.quantile(0.99))


def _share(load: str, beside: Answers, alone: Answers) -> Observation:
    if beside.failed or not beside.took or not alone.took:
        return Absent(f"{load}_share", "the victim did not finish")
    return Reading(f"{load}_share", beside.rate / alone.rate)


def _absent(names: Sequence[str], reason: str) -> Iterator[Absent]:
    for name in names:
        for part in ("rate", "p50", "p99", "finished", *(["share"] if name != ALONE else [])):
            yield Absent(f"{name}_{part}", reason)
