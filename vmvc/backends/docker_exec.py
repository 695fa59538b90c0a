"""A command -> what it printed and how it ended in a container, by ``docker exec``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import docker

from vmvc.backends import docker_streams
from vmvc.backends.docker_client import ask, translated
from vmvc.backends.streams import too_much
from vmvc.contract import MOST_OUTPUT, Completed
from vmvc.errors import DeadlineExceeded

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
_MISSING: Final = ("executable file not found", "no such file or directory")


def run(
    api: docker.APIClient,
    container: str,
    argv: Sequence[str],
    timeout: float,
    stdin: bytes,
    kill: Callable[[int], None],
) -> Completed:
    """Run a command in a container; ``kill`` ends the process of that host pid, and its children.

    Raises: DeadlineExceeded after ``timeout`` seconds; StepFailed where it prints more than MOST_OUTPUT.
    """
    deadline = time.monotonic() + timeout
    with translated(f"run '{argv[0]}' in the container"):
        command = api.exec_create(container, list(argv), stdin=bool(stdin))["Id"]
        answer = ask(
            api,
            "POST",
            f"/exec/{command}/start",
            json={"Detach": False, "Tty": False},
            stream=True,
            timeout=(10, None),
        )
        if stdin:
            docker_streams.feed(answer, stdin)
        output = {docker_streams.STDOUT: bytearray(), docker_streams.STDERR: bytearray()}
        frames = docker_streams.Frames()
        pump = docker_streams.pump(answer, f"output of {argv[0]}", holds=True)
        try:
            while data := pump.read(max(0.0, deadline - time.monotonic())):
                for channel, payload in frames.feed(data):
                    output[channel] += payload
                if max(map(len, output.values())) > MOST_OUTPUT:
                    kill(int(api.exec_inspect(command)["Pid"]))
                    raise too_much(argv)
            state = api.exec_inspect(command)
            while data is not None and state["Running"] and time.monotonic() < deadline:
                time.sleep(0.002)
                state = api.exec_inspect(command)
        finally:
            pump.close()
    if data is None or state["Running"]:
        kill(int(state["Pid"]))
        raise DeadlineExceeded(
            f"'{argv[0]}' did not end within {timeout:g} s", hint="give it more time, or see why it hangs"
        )
    stdout, stderr = (bytes(output[one]) for one in (docker_streams.STDOUT, docker_streams.STDERR))
    if state["Pid"] == 0 and stdout.startswith(b"OCI runtime exec failed"):
        missing = any(text in stdout.decode(errors="replace") for text in _MISSING)
        return Completed(NOT_FOUND if missing else NOT_EXECUTABLE, b"", stdout)
    return Completed(int(state["ExitCode"]), stdout, stderr)
