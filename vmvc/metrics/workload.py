"""A command that runs in a ready instance, again and again -> what it prints, and how long it took.

The command gets as many threads as the guest has CPUs, on every backend alike. Its time is the host's: from
just before the way into the guest is taken until the answer is back, with the cost of that way beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence

from vmvc.contract import (
    Absent,
    Finding,
    Guest,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Scene,
    Severity,
)
from vmvc.errors import Unavailable
from vmvc.metrics.presets import PACKAGE_OF, PRESETS, Preset
from vmvc.metrics.task import Task
from vmvc.metrics.workload_bout import Bout
from vmvc.metrics.workload_options import WorkloadOptions
from vmvc.spec import RecipeImage
from vmvc.units import unit_named


class Workload(Metric):
    """Any command, and what it says of itself.

    Iterations are nested in their trial: they share an instance, so the trial's one value is made of them by
    ``rule``, and they are not pooled.
    """

    name = "workload"
    quantities: tuple[Quantity, ...] = ()
    observes = Observes.READY
    loads_guest = True
    runs_inside = True
    says = "a command in the guest: what it prints and how long it takes; ready-made with `use`, or your own"
    needs = "the program: a package of the guest's image, or on this host"
    options_model = WorkloadOptions
    options: WorkloadOptions

    def __init__(self, options: Options, name: str = "") -> None:
        super().__init__(options, name)
        self.quantities = tuple(self._declared())

    @classmethod
    def presets(cls) -> Mapping[str, Metric]:
        return {name: cls(WorkloadOptions(use=name)) for name in PRESETS}

    @property
    def _preset(self) -> Preset:
        """What is run; a task of the experiment's own needs no package that vmvc could know by name."""
        if self.options.run is None:
            return PRESETS[str(self.options.use)]
        program = self.options.run.command[0].rpartition("/")[2]
        return Preset(self.options.run, PACKAGE_OF.get(program, ""))

    @property
    def _task(self) -> Task:
        return self._preset.task

    def _declared(self) -> Iterator[Quantity]:
        rule, task = self.options.rule, self._task
        for name, wanted in task.quantities.items():
            unit, _ = unit_named(wanted.unit) or ("1", 1.0)
            says = wanted.says or f"`{name}`, as `{task.command[0]}` gives it"
            ranked = wanted.better != "neutral"
            yield Quantity(name, unit, wanted.better, f"{says.rstrip('.')}.", rule, ranked)
        yield Quantity(
            "wall",
            "s",
            "neutral" if self.options.lasting else "lower",
            "Time of one iteration on the host's clock, the way into the guest and back included.",
            rule,
            not self.options.lasting,
        )
        yield Quantity(
            "exec_cost",
            "s",
            "lower",
            "Time of an empty command on the same way: what `wall` has of it.",
        )
        if len(self.options.accept) > 1:
            yield Quantity("exit_code", "1", "neutral", "The code that every iteration ended with.")

    def seconds(self) -> float:
        runs = self.options.iterations + self.options.warmup
        return runs * self.options.seconds if self.options.lasting else 0.0

    def ports(self) -> tuple[int, ...]:
        return () if self._task.port is None else (self._task.port,)

    # --- before the first trial

    def check(self, guest: Guest) -> Sequence[Finding]:
        """Say which package, program, port or server is not there."""
        return tuple(self._lacking(guest))

    def _lacking(self, guest: Guest) -> Iterator[Finding]:
        preset, task = self._preset, self._task
        program = task.command[0]
        text = " ".join(task.command)
        if guest.cpus is None and self.options.threads is None and "{threads}" in text:
            cure = "say with how many threads: set `threads` of the workload"
            yield _lack("threads", f"nobody says how many CPUs the machine {guest.machine} has", cure)
        if guest.memory is None and "{memory}" in text:
            cure = "write a size into the command in place of {memory}"
            yield _lack("memory", f"nobody says how much memory the machine {guest.machine} has", cure)
        if task.on == "host":
            if shutil.which(program) is None:
                cure = f"apt-get install {preset.package}" if preset.package else "install it on the host"
                yield _lack("program", f"this host has no program {program}", cure)
            if not guest.ports:
                cure = "give guest.ready an http or tcp probe, or the task a port"
                yield _lack("port", "the host reaches no port of the guest", cure)
        if preset.server and tuple(guest.command or ())[: len(preset.server)] != preset.server:
            yield _lack(
                "server",
                f"the guest's command is no server for it ({' '.join(preset.server)})",
                f"set guest.command to [{', '.join(preset.server)}, --forceflush] and guest.ready to "
                "{console: {pattern: Server listening}}",
            )
        needed = preset.package if task.on == "guest" or preset.server else ""
        if needed and isinstance(guest.image, RecipeImage) and needed not in guest.image.packages:
            base = guest.image.base
            how = f"packages: [{', '.join((*guest.image.packages, needed))}]"
            yield _lack(
                "package",
                f"the image of base {base} lacks the package {needed}",
                f"give the image {'base: debian:bookworm and ' if base == 'tiny' else ''}{how}",
            )

    # --- in a trial

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Run it, and read every number.

        Raises: TrialError where an iteration failed, did not end, or printed no number where one is wanted.
        """
        try:
            bout = Bout(self.name, self.options, self._preset, self.quantities, scene, self.seconds())
            yield from bout.observations()
        except Unavailable as reason:
            yield from (Absent(quantity.name, reason.what) for quantity in self.quantities)


def _lack(code: str, what: str, remedy: str) -> Finding:
    return Finding(f"workload.{code}", Severity.ERROR, what, remedy)
