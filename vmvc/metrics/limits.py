"""A ready instance and its limits -> what it was given when it asked for more: CPU time, memory, processes.

Hogs run in the guest and ask for a little more than the limit; the host's own counters say what they got.
Where the platform sets no limit none is tried: the host would be what is harmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import Field

from vmvc.contract import Absent, Metric, Observation, Observes, Options, Quantity, Scene
from vmvc.contract import Limits as Held
from vmvc.errors import Unavailable
from vmvc.metrics.limits_cpu import try_cpu
from vmvc.metrics.limits_memory import try_memory
from vmvc.metrics.limits_pids import try_pids
from vmvc.units import Duration

_NO_KEY: Final = "no limit is set: vmvc's language has no key for one"
_YOURS: Final = "a machine that exists already may hold what matters: no hog is let loose in it"


class LimitsOptions(Options):
    """Options of the metric."""

    hog: Duration = Field(
        default=3.0, gt=0, le=60, description="How long CPU hogs run while their CPU time is counted."
    )


class Limits(Metric):
    """Does the isolation keep its promise? What was asked for, and what a hog in the guest received."""

    name = "limits"
    says = "limits on CPU, memory and processes: what was asked for, and what a hog in the guest received"
    needs = "an instance with limits, and a way into it with `sh`"
    observes = Observes.READY
    loads_guest = True
    runs_inside = True
    options_model = LimitsOptions
    options: LimitsOptions
    quantities = (
        Quantity("cpu_asked", "1", "neutral", "CPUs that the guest is held to."),
        Quantity(
            "cpu_received",
            "1",
            "neutral",
            "CPU seconds per second of the instance's processes, by the host's count, while one hog more ran "
            "than the guest has CPUs.",
        ),
        Quantity("cpu_kept", "1", "higher", "1 where that was at most 5% over the limit; else 0."),
        Quantity("memory_asked", "B", "neutral", "Bytes of memory that the guest is held to."),
        Quantity(
            "memory_reached",
            "B",
            "neutral",
            "Bytes that one program in the guest held when it could go no further.",
        ),
        Quantity(
            "memory_kept",
            "1",
            "higher",
            "1 where the program was stopped before it held more than the limit; else 0.",
        ),
        Quantity(
            "memory_killed",
            "1",
            "neutral",
            "1 where the program was killed at the limit; 0 where it was refused more.",
        ),
        Quantity(
            "memory_swapped", "B", "lower", "Most bytes of the instance that the host had in swap meanwhile."
        ),
        Quantity(
            "oom_host",
            "1",
            "neutral",
            "Processes that the host's kernel killed for the limit of the instance's cgroup.",
        ),
        Quantity(
            "oom_guest", "1", "neutral", "Processes that the guest's own kernel killed for want of memory."
        ),
        Quantity("pids_asked", "1", "neutral", "Processes and threads that the guest is held to."),
        Quantity(
            "pids_reached",
            "1",
            "neutral",
            "Processes and threads there were when no further one could be started.",
        ),
        Quantity("pids_kept", "1", "higher", "1 where these were at most the limit; else 0."),
        Quantity("disk_rate_asked", "B/s", "neutral", "Bytes per second to disk that the guest is held to."),
        Quantity(
            "network_rate_asked", "B/s", "neutral", "Bytes per second of network that the guest is held to."
        ),
    )

    def seconds(self) -> float:
        return self.options.hog + 2.0

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Try one limit after the other, that on processes last: those that it starts live on for a while.

        Raises: GuestDied.
        """
        instance = scene.instance
        try:
            held = instance.limits() if scene.guest.machine is None else _nothing(_YOURS)
        except Unavailable as reason:
            held = _nothing(reason.what)
        yield from try_cpu(scene, held, self.options.hog)
        yield from try_memory(scene, held)
        yield from try_pids(instance, held)
        yield Absent("disk_rate_asked", _NO_KEY)
        yield Absent("network_rate_asked", _NO_KEY)


def _nothing(reason: str) -> Held:
    return Held(absent=dict.fromkeys(("cpus", "memory", "pids"), reason))
