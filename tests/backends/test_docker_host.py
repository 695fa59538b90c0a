"""What the kernel and the engine write about a container, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmvc.backends.docker_host import _daemons, _memory_cgroup, _overlay, _serves

V1 = "31 24 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"
OTHER = "32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
UNIFIED = "33 24 0:29 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw"
V2 = "34 24 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"
NESTED = "35 24 0:27 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.mark.parametrize(
    ("membership", "mounts", "folder"),
    [
        ("0::/system.slice/docker-abc.scope", [V2], "/sys/fs/cgroup/system.slice/docker-abc.scope"),
        (
            "9:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/y",
            [OTHER, V1, UNIFIED],
            "/sys/fs/cgroup/memory/docker/abc",
        ),
        ("9:cpu,cpuacct:/x\n0::/y", [OTHER, UNIFIED], "/sys/fs/cgroup/unified/y"),
        ("4:memory:/outer/docker/abc", [NESTED], "/sys/fs/cgroup/memory/docker/abc"),
        ("4:memory:/elsewhere/abc", [NESTED], None),
        ("4:memory:/docker/abc", [OTHER], None),
        ("0::/a:b", [V2], "/sys/fs/cgroup/a:b"),
        ("", [V2], None),
    ],
)
def test_the_cgroup_that_accounts_for_memory(membership: str, mounts: list[str], folder: str | None) -> None:
    found = _memory_cgroup(membership, "\n".join(mounts))
    assert found == (None if folder is None else Path(folder))


def test_layers_are_read_from_the_root_mount_only() -> None:
    lines = [
        "70 48 0:39 / /data rw - overlay overlay rw,lowerdir=/x,upperdir=/y,workdir=/z",
        "72 48 0:39 / / rw master:2 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/d/up,workdir=/d/w",
    ]
    assert _overlay("\n".join(lines)) == {"UpperDir": "/d/up", "LowerDir": "/l/A:/l/B"}
    assert _overlay(lines[0]) == {}
    assert _overlay("72 48 0:39 / / rw - ext4 /dev/vda rw") == {}


def _process(*command: str, parent: int = 1) -> dict[str, Any]:
    return {"cmdline": list(command), "ppid": parent}


@pytest.mark.parametrize(
    ("command", "serves"),
    [
        (("/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "abc"), True),
        (("/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "abcd"), False),
        (("/usr/bin/conmon", "--api-version", "1", "-c", "abc"), True),
        (("/usr/sbin/docker-proxy", "-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", "8080"), True),
        (("/usr/sbin/docker-proxy", "-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", "80"), False),
        (("grep", "abc", "containerd-shim"), False),
    ],
)
def test_who_serves_a_container(command: tuple[str, ...], serves: bool) -> None:
    assert _serves(_process(*command), "abc", [8080]) is serves


def test_the_engine_that_listens_is_the_one_that_counts() -> None:
    table = {
        10: _process("/usr/bin/dockerd"),
        11: _process("containerd", parent=10),
        20: _process("dockerd", "-H", "unix:///other.sock"),
        21: _process("containerd", parent=20),
        30: _process("python3"),
    }
    assert _daemons(table, 20) == {20, 21}
    assert _daemons(table, 1) == {10, 11, 20, 21}, "systemd listens: all that there are"
    table = {10: _process("/usr/bin/dockerd"), 40: _process("/usr/bin/containerd")}
    assert _daemons(table, None) == {10, 40}, "a containerd of its own"
    table = {50: _process("/usr/bin/podman", "system", "service"), **table}
    assert _daemons(table, 50) == {50}, "Podman has no containerd"
