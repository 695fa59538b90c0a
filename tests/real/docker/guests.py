"""Guests for the tests of the docker backend, and ways to look at them from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from vmvc.backends.docker_instance import DockerInstance
from vmvc.contract import Guest
from vmvc.spec import (
    BUILT_IN_IMAGES,
    Exec,
    Http,
    ReadyExec,
    ReadyHttp,
)

TIME = 30.0
MEMORY = 64 * 2**20
SERVES = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=MEMORY, ready=ReadyHttp(http=Http(port=80)))
WAITS = replace(SERVES, command=("sleep", "600"), ready=ReadyExec(exec=Exec(command=("true",))))

Make = Callable[..., DockerInstance]


def says(script: str) -> Guest:
    return replace(WAITS, command=("sh", "-c", script))


def cli(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def until(condition: Callable[[], bool], seconds: float = TIME) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
