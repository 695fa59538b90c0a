"""A command -> what it did inside a machine, by the QEMU guest agent."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vmvc.backends.init_channel import late
from vmvc.backends.libvirt_running import Domain
from vmvc.contract import Completed
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed

NOT_FOUND: Final = 127
KILLED: Final = 128
"""A command ended by signal N returns this plus N, as shells say it."""
ALIVE_EVERY: Final = 0.25
"""Seconds after which a machine whose agent is awaited is looked at."""
PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Agent:
    """Commands by the QEMU guest agent, which libvirt holds the channel to."""

    def __init__(self, domain: Domain, env: Mapping[str, str], alive: Callable[[], bool]) -> None:
        self._domain = domain
        self._alive = alive
        self._env = [PATH, *(f"{name}={value}" for name, value in env.items())] if env else []

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed:
        """Run a command; the agent is asked for its end again and again.

        Raises: DeadlineExceeded (the command is then killed); StepFailed.
        """
        deadline = time.monotonic() + timeout
        while not self._domain.agent.wait(min(ALIVE_EVERY, max(0.0, deadline - time.monotonic()))):
            if not self._alive():
                raise GuestDied(f"the machine ended before '{argv[0]}' ran", hint="read the guest's console")
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"the guest agent did not appear within {timeout:g} s",
                    hint="install and enable qemu-guest-agent in the image",
                )
        wanted: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        if stdin:
            wanted["input-data"] = base64.b64encode(stdin).decode()
        if self._env:
            wanted["env"] = self._env
        try:
            pid = int(self._ask("guest-exec", wanted, deadline)["pid"])
        except StepFailed as error:
            if "No such file" in error.what:
                return Completed(NOT_FOUND, b"", error.what.encode())
            raise
        pause = 0.002
        while not (state := self._ask("guest-exec-status", {"pid": pid}, deadline))["exited"]:
            if time.monotonic() > deadline:
                # Not every image has a program `kill`, but every shell has the command.
                self._ask("guest-exec", {"path": "sh", "arg": ["-c", f"kill -KILL {pid}"]}, deadline)
                raise late(argv, timeout)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        for channel in ("out", "err"):
            if state.get(f"{channel}-truncated"):
                raise StepFailed(
                    f"'{argv[0]}' printed more than the guest agent keeps", hint="have it print less"
                )
        status = KILLED + state["signal"] if "signal" in state else state["exitcode"]
        return Completed(
            int(status), *(base64.b64decode(state.get(name, "")) for name in ("out-data", "err-data"))
        )

    def close(self) -> None:
        """Release nothing: the channel is libvirt's."""

    def _ask(self, command: str, arguments: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
        request = json.dumps({"execute": command, "arguments": arguments})
        answer = self._domain.ask_agent(request, max(1.0, deadline - time.monotonic()))
        found: Mapping[str, Any] = json.loads(answer)["return"]
        return found
