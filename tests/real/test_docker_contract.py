"""Docker keeps every promise of the contract, on the real engine."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import docker
import pytest

from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Backend, Guest
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import BackendContract


@pytest.mark.real("docker")
class TestDocker(BackendContract):
    has_forget = True

    def backend(self) -> Backend:
        return DockerBackend("docker", DockerOptions())

    def guest(self) -> Guest:
        # As process 1 the web server would ignore the stop signal: a shell that heeds it stands before it.
        script = "trap 'kill $!; exit 0' TERM; httpd -f -p 80 -h /www & wait $!"
        ready = ReadyHttp(http=Http(port=80))
        return Guest(
            BUILT_IN_IMAGES["tiny"], cpus=1, memory=64 * 2**20, ready=ready, command=("sh", "-c", script)
        )

    def shows(self, variable: str) -> Sequence[str]:
        return ("sh", "-c", f'echo "${variable}"')

    @contextmanager
    def stranger(self) -> Iterator[Callable[[], bool]]:
        """Make containers whose names and labels could be taken for ours."""
        image = self._image()
        api = docker.from_env().api
        run = secrets.token_hex(4)
        bodies = [
            (f"vmvc-{run}-1", {}),
            (f"vmvc-{run}-2", {"vmvc": "instance"}),
            (
                f"vmvc-{run}-3",
                {"vmvc": "image", "vmvc.run": run, "vmvc.trial": "1", "vmvc.owner": "a:1:1"},
            ),
            (
                f"vmvc-{run}-4",
                {"vmvc": "instance", "vmvc.run": run, "vmvc.trial": "x", "vmvc.owner": "a:1:1"},
            ),
        ]
        made = [
            api.create_container_from_config({"Image": image, "Labels": labels}, name)["Id"]  # type: ignore[no-untyped-call]
            for name, labels in bodies
        ]
        try:
            yield lambda: all(api.inspect_container(one) for one in made)
        finally:
            for one in made:
                api.remove_container(one, force=True)
            api.close()

    def _image(self) -> str:
        backend = self.backend()
        image = backend.prepare(self.guest()).facts["image"]
        backend.close()
        return str(image)
