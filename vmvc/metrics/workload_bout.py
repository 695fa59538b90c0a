"""A command and the number of its iterations -> the numbers that they give in one trial."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from vmvc import hostrun
from vmvc.contract import Absent, Completed, Finding, Observation, Quantity, Reading, Scene, Severity
from vmvc.errors import DeadlineExceeded, StepFailed, TrialError, Unavailable
from vmvc.metrics.presets import Preset
from vmvc.metrics.workload_options import WorkloadOptions
from vmvc.parsing import LONGEST, Output
from vmvc.units import show_seconds, unit_named
from vmvc.wording import listed

NOT_FOUND: Final = 127
EMPTY: Final = 5
"""Empty commands that tell what the way into the guest costs."""
CLEAR: Final = 20
"""A time counts as clear of the instrument where it is so many times its cost."""
LITTLE: Final = 0.10
"""How far rate times latency may be from the requests in flight."""
SPARE: Final = 5.0
"""Seconds that are kept of the observation's own limit, to say what came to an end."""
_SLOT: Final = re.compile(r"\{(threads|seconds|size|memory|host|port)\}")


class Bout:
    """The iterations of one trial."""

    def __init__(
        self,
        name: str,
        options: WorkloadOptions,
        preset: Preset,
        quantities: Sequence[Quantity],
        scene: Scene,
        seconds: float,
    ) -> None:
        """``name``: the metric's in the experiment; ``seconds``: what it takes by design."""
        self._name = name
        self._options = options
        self._preset = preset
        self._task = preset.task
        self._quantities = quantities
        self._scene = scene
        limit = scene.timeout + seconds
        self._end = scene.clock.now() + round((limit - min(SPARE, limit / 10)) * 1e9)
        self._slots = self._values()
        self._codes: list[int] = []

    def _values(self) -> dict[str, str]:
        options, guest = self._options, self._scene.guest
        values = {
            "threads": str(options.threads or guest.cpus or ""),
            "seconds": str(round(options.seconds)),
            "size": str(options.size),
            "memory": str(guest.memory or ""),
        }
        text = " ".join(self._task.command)
        if "{host}" in text or "{port}" in text:
            port = self._task.port or next(iter(guest.ports), None)
            if port is None:
                raise Unavailable("the host reaches no port of the guest")
            if self._task.on == "host":
                host, at = self._scene.instance.endpoint(port)
            else:
                host, at = "127.0.0.1", port
            values |= {"host": host, "port": str(at)}
        return values

    def observations(self) -> Iterator[Observation]:
        options, task = self._options, self._task
        columns: dict[str, list[float]] = {name: [] for name in (*task.quantities, "wall")}
        cost = median(self._timed("an empty command", ("true",), 30.0)[0] for _ in range(EMPTY))
        if task.setup is not None:
            self._once("setup", task.setup)
        for turn in range(options.warmup + options.iterations):
            called = (
                f"iteration {turn + 1 - options.warmup}" if turn >= options.warmup else f"warm-up {turn + 1}"
            )
            for name, value in self._iterate(called).items():
                columns[name].append(value)
        if task.teardown is not None:
            self._once("teardown", task.teardown)
        for quantity in self._quantities:
            if quantity.name in columns:
                values = columns[quantity.name]
                early, counted = values[: options.warmup], values[options.warmup :]
                yield Reading.over(quantity, counted, warmups=early)
        yield Reading("exec_cost", cost)
        if len(options.accept) > 1:
            yield self._exit_code()
        yield from self._judge({name: values[options.warmup :] for name, values in columns.items()}, cost)

    def _exit_code(self) -> Observation:
        counted = sorted(set(self._codes[self._options.warmup :]))
        if len(counted) > 1:
            return Absent(
                "exit_code", f"iterations ended with {listed([str(one) for one in counted], 'and')}"
            )
        return Reading("exit_code", counted[0])

    def _iterate(self, called: str) -> dict[str, float]:
        task = self._task
        stdin = task.stdin.encode()
        wall, done = self._timed(called, task.command, self._options.deadline, stdin)
        self._codes.append(done.returncode)
        if done.returncode not in self._options.accept:
            raise self._failed(called, task.command, done)
        files = {"stdout": done.stdout, "stderr": done.stderr}
        found = {"wall": wall}
        for name, wanted in task.quantities.items():
            if wanted.file not in files:
                files[wanted.file] = self._read(wanted.file)
            output = Output(f"{called}: {name}: {wanted.file}", files[wanted.file])
            _, size = unit_named(wanted.unit) or ("1", 1.0)
            found[name] = wanted.parser()(output) * size
        return found

    def _timed(
        self, called: str, argv: Sequence[str], deadline: float, stdin: bytes = b""
    ) -> tuple[float, Completed]:
        """Run a command, and return its seconds on the host's clock."""
        clock, left = self._scene.clock, (self._end - self._scene.clock.now()) / 1e9
        if left <= 0:
            raise DeadlineExceeded(
                f"{called}: there is no time left for it in this trial",
                hint="raise trials.timeout, or ask for fewer iterations",
            )
        limit = min(deadline, left)
        filled = self._filled(argv)
        begin = clock.now()
        try:
            if self._task.on == "host":
                done = hostrun.run(filled, env=self._task.env, timeout=limit, stdin=stdin, most=LONGEST)
            else:
                done = self._scene.instance.run(filled, timeout=limit, stdin=stdin)
        except DeadlineExceeded as error:
            name = "metrics." + self._name + ".deadline" if limit == deadline else "trials.timeout"
            raise DeadlineExceeded(
                f"{called}: '{argv[0]}' did not end within {show_seconds(limit)}",
                hint=f"see why it hangs, or raise {name}",
            ) from error
        wall = (clock.now() - begin) / 1e9
        for name, data in (("stdout", done.stdout), ("stderr", done.stderr)):
            if len(data) > LONGEST:
                raise StepFailed(
                    f"{called}: '{argv[0]}' printed {len(data)} bytes to {name}, and at most {LONGEST} "
                    "are read",
                    hint="have it print less, or write its result to a file of its own",
                )
        return wall, done

    def _filled(self, argv: Sequence[str]) -> tuple[str, ...]:
        filled = tuple(
            _SLOT.sub(lambda slot: self._slots.get(slot[1], slot[0]), argument) for argument in argv
        )
        if self._task.env and self._task.on == "guest":
            return ("env", *(f"{name}={value}" for name, value in self._task.env.items()), *filled)
        return filled

    def _once(self, called: str, argv: Sequence[str]) -> None:
        limit = min(self._options.deadline, max(1.0, (self._end - self._scene.clock.now()) / 1e9))
        done = self._scene.instance.run(self._filled(argv), timeout=limit)
        if done.returncode != 0:
            raise self._failed(called, argv, done)

    def _read(self, path: str) -> bytes:
        """Return a file of the guest."""
        limit = str(LONGEST + 1)
        done = self._scene.instance.run(
            ("head", "-c", limit, path), timeout=min(30.0, self._options.deadline)
        )
        if done.returncode != 0:
            raise StepFailed(
                f"{path}: the guest has no such file to read: {_last(done)}",
                hint="have the command write it, or mend the path",
            )
        return done.stdout

    def _failed(self, called: str, argv: Sequence[str], done: Completed) -> TrialError:
        where = "guest" if self._task.on == "guest" else "host"
        if done.returncode == NOT_FOUND:
            package = self._preset.package
            return StepFailed(
                f"{called}: '{argv[0]}' was not found in the {where}: {_last(done)}",
                hint=f"add the package {package} to the image" if package else f"put it into the {where}",
            )
        return StepFailed(
            f"{called}: '{argv[0]}' ended with {done.returncode}: {_last(done)}",
            hint="cure that, or accept the code: metrics." + self._name + ".accept",
        )

    def _judge(self, found: Mapping[str, Sequence[float]], cost: float) -> Iterator[Finding]:
        """Find what spoils the numbers: a time close to its instrument's, a law that does not hold."""
        name = self._name
        wall = median(found["wall"])
        if wall < CLEAR * cost and not self._options.lasting:
            yield Finding(
                "workload.short",
                Severity.WARNING,
                f"{name}: an iteration took {show_seconds(wall)}, and an empty command takes "
                f"{show_seconds(cost)} on the same way",
                "give the command more to do, or take what it prints rather than wall",
            )
        if self._preset.little is None:
            return
        rate, latency, depth = self._preset.little
        wanted = depth * int(self._slots["threads"])
        flight = median(one * other for one, other in zip(found[rate], found[latency], strict=True))
        if not math.isclose(flight, wanted, rel_tol=LITTLE):
            yield Finding(
                "workload.little",
                Severity.WARNING,
                f"{name}: rate times mean latency is {flight:.3g} requests in flight (Little's law), but "
                f"{wanted} were asked for",
                "see whether it could keep so many in flight: too few CPUs, or a queue that is shorter",
            )


def _last(done: Completed) -> str:
    """Return the last line that a command printed, of its complaints first."""
    for data in (done.stderr, done.stdout):
        lines = data[-4096:].decode(errors="replace").strip().splitlines()
        if lines:
            return "".join(one if one.isprintable() else "?" for one in lines[-1])[:200]
    return "it printed nothing"
