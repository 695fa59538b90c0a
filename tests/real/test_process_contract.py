"""The bare host keeps every promise of the contract."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from vmvc.backends.process import ProcessBackend
from vmvc.contract import Backend, Guest, Options
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import BackendContract

pytestmark = pytest.mark.xdist_group("bare host")


_GIVEN: set[int] = set()


def free_port() -> int:
    """Return a port that nobody has and that was not given before: its guest may not be there yet."""
    while True:
        with socket.socket(socket.AF_INET6) as trial:
            trial.bind(("", 0))
            port = int(trial.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


@pytest.mark.real("root")
class TestProcess(BackendContract):
    has_forget = True

    def backend(self) -> Backend:
        return ProcessBackend("process", Options())

    def guest(self) -> Guest:
        """Return a guest with a port of its own: on the bare host two cannot share one."""
        port = free_port()
        return Guest(
            BUILT_IN_IMAGES["tiny"],
            cpus=1,
            memory=64 * 2**20,
            ready=ReadyHttp(http=Http(port=port)),
            command=("sh", "-c", 'exec httpd -f -p "$PORT" -h /www'),
            env={"PORT": str(port)},
        )

    def shows(self, variable: str) -> Sequence[str]:
        return ("sh", "-c", f'echo "${variable}"')

    @contextmanager
    def stranger(self) -> Iterator[Callable[[], bool]]:
        """Run processes whose environments could be taken for ours."""
        environments = [
            {"VMVC": "instance"},
            {"VMVC": "image", "VMVC_RUN": "r", "VMVC_TRIAL": "1", "VMVC_OWNER": "a:1:1"},
            {"VMVC": "instance", "VMVC_RUN": "r", "VMVC_TRIAL": "x", "VMVC_OWNER": "a:1:1"},
        ]
        made = [subprocess.Popen(["sleep", "60"], env={**os.environ, **extra}) for extra in environments]
        try:
            yield lambda: all(one.poll() is None for one in made)
        finally:
            for one in made:
                one.kill()
                one.wait()
