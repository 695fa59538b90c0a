"""Which engines are here: a test marked ``real(engine)`` skips where it is missing, and fails under CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


def _docker() -> str:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=10)
        client.ping()
        client.close()
    except DockerException as error:
        return f"no Docker Engine answers: {error}"
    return ""


def _libvirt() -> str:
    try:
        import libvirt
    except ImportError:
        return "libvirt-python is not installed"
    if shutil.which("qemu-system-x86_64") is None:
        return "qemu-system-x86_64 is not installed"
    return "" if hasattr(libvirt, "open") else "libvirt-python is broken"


def _libvirtd() -> str:
    if missing := _libvirt():
        return missing
    done = subprocess.run(
        ["virsh", "-c", "qemu:///system", "version"], capture_output=True, text=True, timeout=30, check=False
    )
    return "" if done.returncode == 0 else f"no libvirt daemon answers: {done.stderr.strip()}"


def _lxc() -> str:
    if missing := _libvirt() or _root():
        return missing
    if shutil.which("libvirtd") is None:
        return "libvirtd is not installed"
    found = any(Path("/usr").glob("lib*/**/libvirt/connection-driver/libvirt_driver_lxc.so"))
    return "" if found else "libvirt's driver for containers is not installed"


def _kvm() -> str:
    return _libvirt() or ("" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "/dev/kvm cannot be used")


def _root() -> str:
    return "" if os.geteuid() == 0 else "root is needed"


def _tool(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"{name} is not installed"


ENGINES: dict[str, Callable[[], str]] = {
    "docker": cache(_docker),
    "libvirt": cache(_libvirt),
    "libvirtd": cache(_libvirtd),
    "lxc": cache(_lxc),
    "kvm": cache(_kvm),
    "root": cache(_root),
    "mmdebstrap": _tool("mmdebstrap"),
    "sshd": lambda: "" if Path("/usr/sbin/sshd").exists() else "there is no sshd",
    **{name: _tool(name) for name in ("ssh", "socat", "ab", "iperf3", "wrk")},
    "podman": _tool("podman"),
    "rootless": _tool("newuidmap"),
    "runsc": _tool("runsc"),
    "qemu": _tool("qemu-system-x86_64"),
    "gcc": _tool("gcc"),
    "chromium": _tool("chromium"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("real"):
        for engine in mark.args:
            missing = ENGINES[engine]()
            if missing and os.environ.get("CI"):
                pytest.fail(f"CI must have every engine: {missing}", pytrace=False)
            if missing:
                pytest.skip(f"{missing}; make engines brings it up")


@pytest.fixture(autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the host's lock and the values of tuned settings of tests apart from those of real runs."""
    monkeypatch.setenv("VMVC_LOCK", str(tmp_path_factory.mktemp("lock") / "vmvc.lock"))
    monkeypatch.setenv("VMVC_STATE", str(tmp_path_factory.mktemp("state") / "vmvc"))


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[[str], Path]:
    """Write an experiment file and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(text)
        return path

    return write
