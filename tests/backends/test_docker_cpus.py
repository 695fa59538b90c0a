"""A container on CPUs of its own: what the engine is asked for, and which engines are not asked."""

from __future__ import annotations

import platform
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions, Engine
from vmvc.contract import Guest
from vmvc.errors import InputError
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp

GUEST = Guest(
    BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**26, ready=ReadyHttp(http=Http(port=80)), cpuset=(1, 3)
)
HERE = {"KernelVersion": platform.uname().release, "Name": platform.uname().node, "CPUSet": True}


def backend(**info: object) -> DockerBackend:
    made = DockerBackend("web", DockerOptions())
    api: Any = SimpleNamespace(info=lambda: {**HERE, **info})
    made._connected = Engine(api, "unix:///run/docker.sock")
    return made


def test_the_engine_is_asked_for_the_cpus() -> None:
    body = backend()._body(GUEST, "image", {})
    assert body["HostConfig"]["CpusetCpus"] == "1,3"
    assert "CpusetCpus" not in backend()._body(replace(GUEST, cpuset=None), "image", {})["HostConfig"]


@pytest.mark.parametrize(
    ("info", "why"),
    [
        ({"Name": "another"}, "its engine is not on this host"),
        ({"CPUSet": False}, "has no cpuset controller"),
    ],
)
def test_an_engine_that_cannot_do_it_is_refused(info: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=rf"'web' cannot keep a guest on CPU 1,3: .*{why}"):
        backend(**info).prepare(GUEST)


def test_a_guest_that_is_free_runs_anywhere() -> None:
    backend(Name="another", CPUSet=False)._may_pin(replace(GUEST, cpuset=None))
