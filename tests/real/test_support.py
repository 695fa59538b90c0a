"""The README's table of engines names the versions that the tests run on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
VERSIONS = {
    "Docker Engine": ["docker", "version", "--format", "{{.Server.Version}}"],
    "runc": ["runc", "--version"],
    "runsc": ["runsc", "--version"],
    "crun": ["crun", "--version"],
    "Podman": ["podman", "--version"],
    "libvirt": ["virsh", "-c", "qemu:///system", "version"],
    "QEMU": ["qemu-system-x86_64", "--version"],
}


@pytest.mark.real("docker", "libvirtd", "podman", "runsc")
@pytest.mark.skipif(not os.environ.get("CI"), reason="only where versions are the project's own")
@pytest.mark.parametrize("engine", VERSIONS)
def test_the_version_that_runs_here_is_in_the_table(engine: str) -> None:
    table = README.read_text().partition("<!-- support -->")[2].partition("<!-- /support -->")[0]
    rows = "\n".join(row for row in table.splitlines() if engine in row)
    done = subprocess.run(VERSIONS[engine], capture_output=True, text=True, check=True, timeout=60)
    version = re.search(r"\d+\.\d+(\.\d+|~\d+\.\d+)", done.stdout)
    assert version is not None
    assert version[0] in rows, f"{engine} {version[0]} has run here: name it in README.md"
