"""A ready guest with a kernel of its own -> how long the stages of its boot took by the guest's own clock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import Field

from vmvc.contract import Absent, Instance, Metric, Observes, Options, Quantity, Reading, Scene
from vmvc.errors import Unavailable
from vmvc.metrics.inside import ask, run
from vmvc.units import Duration

_FIRST_PROCESS: Final = re.compile(r"^\[ *([0-9]+\.[0-9]+)\] Run /\S+ as init process", re.MULTILINE)
_STAMPS: Final = ("UserspaceTimestampMonotonic", "FinishTimestampMonotonic")
_OWN: Final = "by the guest's own clock, so for one backend only."


class BootOptions(Options):
    """Options of the metric."""

    wait: Duration = Field(
        default=30.0,
        description="How long systemd may take from ready until it has started all of its units.",
    )


class Boot(Metric):
    """What the guest says of its own boot: durations inside it, never set against another backend's.

    An emulated guest's clock may run slow on a busy host. What the host sees of the same stages is in
    `startup`.
    """

    name = "boot"
    says = "stages of a machine's boot by the guest's own clock: its kernel, until systemd, and systemd"
    needs = "a machine with a way in and `dmesg`; of systemd also `systemd-analyze`"
    observes = Observes.READY
    runs_inside = True
    options_model = BootOptions
    options: BootOptions
    quantities = (
        Quantity(
            "kernel",
            "s",
            "lower",
            f"From the start of the kernel's log until the kernel runs its first process, {_OWN}",
            own_clock=True,
        ),
        Quantity(
            "initrd", "s", "lower", f"From that first process until systemd begins, {_OWN}", own_clock=True
        ),
        Quantity(
            "userspace",
            "s",
            "lower",
            f"From systemd's begin until it has started all of its units, {_OWN}",
            own_clock=True,
        ),
    )

    def seconds(self) -> float:
        return self.options.wait

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        """Ask the guest.

        Raises: GuestDied.
        """
        found = self._stages(scene.instance, scene.timeout)
        for quantity in self.quantities:
            stage = found[quantity.name]
            if isinstance(stage, Unavailable):
                yield Absent(quantity.name, stage.what)
            else:
                yield Reading(quantity.name, stage)

    def _stages(self, instance: Instance, timeout: float) -> Mapping[str, float | Unavailable]:
        if none := instance.marks().absent.get("kernel"):
            return dict.fromkeys(("kernel", "initrd", "userspace"), Unavailable(none))
        kernel = _kernel(ask(instance, ["dmesg"], timeout))
        systemd = self._systemd(instance, timeout)
        if isinstance(systemd, Unavailable):
            return {"kernel": kernel, "initrd": systemd, "userspace": systemd}
        begun, finished = systemd
        return {
            "kernel": kernel,
            "initrd": kernel if isinstance(kernel, Unavailable) else begun - kernel,
            "userspace": finished - begun,
        }

    def _systemd(self, instance: Instance, timeout: float) -> tuple[float, float] | Unavailable:
        """Return when systemd began and had finished, in seconds of the guest's clock."""
        waited = run(instance, ["systemctl", "is-system-running", "--wait"], self.options.wait)
        if isinstance(waited, Unavailable):
            return waited
        said = ask(instance, ["systemctl", "show", *(f"--property={name}" for name in _STAMPS)], timeout)
        if isinstance(said, Unavailable):
            return said
        told = dict(line.partition("=")[::2] for line in said.split())
        begun, finished = (int(text) if (text := told.get(name, "")).isdecimal() else 0 for name in _STAMPS)
        if not begun or finished <= begun:
            return Unavailable("systemd does not say that it has started all of its units")
        return begun / 1e6, finished / 1e6


def _kernel(log: str | Unavailable) -> float | Unavailable:
    if isinstance(log, Unavailable):
        return log
    found = _FIRST_PROCESS.search(log)
    return float(found[1]) if found else Unavailable("the guest's kernel log does not name its first process")
