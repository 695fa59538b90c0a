"""Instances and images that are gone after the test."""

from __future__ import annotations

import gc
import io
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress

import docker
import pytest
from docker.errors import NotFound

from tests.real.docker.guests import SERVES, Make
from vmvc import owner
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.docker_instance import DockerInstance
from vmvc.contract import Guest, Tag
from vmvc.spec import (
    OciImage,
)


@pytest.fixture(autouse=True)
def _garbage_is_collected() -> Iterator[None]:
    """Let what a test leaves open complain beside that test, and not beside a later one."""
    yield
    gc.collect()


@pytest.fixture
def api() -> Iterator[docker.APIClient]:
    with docker.APIClient(version="auto", timeout=60) as api:
        yield api


@pytest.fixture
def backend() -> Iterator[DockerBackend]:
    backend = DockerBackend("docker", DockerOptions())
    yield backend
    backend.close()


@pytest.fixture
def make(backend: DockerBackend, derived: object) -> Iterator[Make]:
    """Make instances that are gone after the test, and before the images that they use."""
    made: list[DockerInstance] = []
    run = f"test-{secrets.token_hex(4)}"

    def one(guest: Guest, *, on: DockerBackend = backend, start: bool = True) -> DockerInstance:
        on.prepare(guest)
        instance = on.instance(Tag(run, len(made) + 1, owner.current()), guest)
        made.append(instance)
        instance.create()
        if start:
            instance.start()
        return instance

    yield one
    for instance in made:
        backend.instance(instance.tag, instance.guest).destroy()


@pytest.fixture
def derived(api: docker.APIClient, backend: DockerBackend) -> Iterator[Callable[..., OciImage]]:
    """Make images from tiny by instructions of a Dockerfile."""
    made: list[str] = []

    def one(*changes: str) -> OciImage:
        name = f"vmvc-test-{secrets.token_hex(4)}:x"
        base = backend.prepare(SERVES).facts["image"]
        recipe = "\n".join((f"FROM {base}", *changes)).encode()
        list(api.build(fileobj=io.BytesIO(recipe), tag=name, rm=True))
        made.append(name)
        return OciImage(oci=name)

    yield one
    for name in made:
        with suppress(NotFound):
            api.remove_image(name, force=True)
