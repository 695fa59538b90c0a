"""Fifty containers and some machines of others, with names and labels like ours: none of it is touched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import libvirt
import pytest

from tests.command import vmvc
from tests.real.left import left_behind
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Guest
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec

EXPERIMENT = """\
name: beside
guest: {memory: 192MiB}
backends: [docker, libvirt]
metrics: [startup]
trials: {count: 1, warmup: 0, timeout: 90s}
"""
COUNT = 50
LABELS: tuple[dict[str, str], ...] = (
    {},
    {"vmvc": "image"},
    {"vmvc": "instance"},
    {"vmvc": "instance", "vmvc.run": "r", "vmvc.trial": "x", "vmvc.owner": "h:1:1"},
    {"vmvc.run": "r", "vmvc.trial": "1", "vmvc.owner": "h:1:1"},
    {"vmvc": "instance", "vmvc.run": "r", "vmvc.trial": "1", "vmvc.owner": "elsewhere:1:1"},
)
"""The last is vmvc's own, but of a run on another host, which may be alive."""
DOMAIN = """<domain type='qemu'><name>vmvc-r-{}</name><memory>65536</memory>
<os><type arch='x86_64'>hvm</type></os>
<metadata><x:other xmlns:x='urn:vmvc:not'>vmvc.run</x:other></metadata></domain>"""

pytestmark = [
    pytest.mark.real("docker", "libvirt", "libvirtd", "root"),
    pytest.mark.timeout(300),
    pytest.mark.quiet,  # With those that open no embedded driver, which would take its URI in their process.
]


@pytest.fixture
def foreign() -> Iterator[list[str]]:
    """Give the ids of the containers of others."""
    prepared = DockerBackend("docker", DockerOptions()).prepare(
        Guest(BUILT_IN_IMAGES["tiny"], 1, 2**26, ReadyExec(exec=Exec(command=("true",))))
    )
    image = str(prepared.facts["image"])
    client = docker.from_env()
    made = [
        client.containers.create(
            image, ["true"], name=f"vmvc-r{number}-1", labels=LABELS[number % len(LABELS)]
        )
        for number in range(COUNT)
    ]
    yield [one.id or "" for one in made]
    for one in made:
        one.remove(force=True)
    client.close()


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Give the names of machines of others that are defined and do not run."""
    connection = libvirt.open("qemu:///system")
    made = [connection.defineXML(DOMAIN.format(number)) for number in range(3)]
    yield [one.name() for one in made]
    for one in made:
        one.undefine()
    connection.close()


def state_of(containers: list[str]) -> str:
    command = [
        "docker",
        "inspect",
        "--format",
        "{{.Id}} {{.Name}} {{.State.Status}} {{.Config.Labels}}",
        *containers,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_run_and_a_clean_leave_all_of_it_as_it_was(
    tmp_path: Path, foreign: list[str], machines: list[str]
) -> None:
    before = state_of(foreign)
    (tmp_path / "beside.yaml").write_text(EXPERIMENT)
    said = vmvc("run", "beside.yaml", cwd=tmp_path)
    assert said.code == 0, said.err
    said = vmvc("clean", cwd=tmp_path)
    assert said.code == 0, said.err
    assert said.out.count("left alone, its run still lives (elsewhere:1:1)") == len(
        range(5, COUNT, len(LABELS))
    )
    assert "removed" not in said.out
    assert state_of(foreign) == before
    connection = libvirt.open("qemu:///system")
    assert set(machines) <= {one.name() for one in connection.listAllDomains()}
    connection.close()
    (run,) = tmp_path.glob("results/beside/*")
    assert left_behind(run.name) == []
