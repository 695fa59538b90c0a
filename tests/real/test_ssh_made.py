"""Commands by SSH in machines that vmvc makes, with the keys of its cache, and in disks of a user's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tests.command import vmvc
from tests.real.test_ssh import clients
from vmvc import images, owner, probes
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.backends.process import ProcessBackend
from vmvc.console import ConsoleTap
from vmvc.contract import Backend, Guest, Instance, MonotonicClock, Options, Preparation, Tag
from vmvc.errors import DeadlineExceeded, ImageError, InputError, StepFailed, VmvcError
from vmvc.spec import (
    BUILT_IN_IMAGES,
    Console,
    DiskImage,
    Http,
    ReadyConsole,
    ReadyHttp,
    ReadyTcp,
    RecipeImage,
    Tcp,
)
from vmvc.spec_machine import Ssh
from vmvc.testing.backend_inside import InsideTests

pytestmark = [
    pytest.mark.real("libvirt", "mmdebstrap", "ssh"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("own libvirtd"),  # as of the other tests by SSH, whose clients are counted, too
]

CLOCK = MonotonicClock()
WEB = ReadyHttp(http=Http(port=80))
TINY = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=WEB, ssh=Ssh())
DEBIAN = replace(
    TINY,
    image=RecipeImage(base="debian:bookworm", packages=("nginx-light",), services=("nginx",)),
    memory=2**29,
)
SYSTEMD = replace(DEBIAN, boot="systemd", env={"GREETING": "a  b; $HOME"})


def libvirt() -> LibvirtBackend:
    return LibvirtBackend("kvm", LibvirtOptions(uri="qemu:///embed"))


@contextmanager
def started(guest: Guest, after: Callable[[Preparation], object] = bool) -> Iterator[Instance]:
    """Have a machine run, ready or not; ``after`` is called between its preparation and its start."""
    backend = libvirt()
    after(backend.prepare(guest))
    instance = backend.instance(Tag(f"ssh-{uuid.uuid4().hex[:8]}", 1, owner.current()), guest)
    try:
        instance.create()
        instance.start()
        yield instance
    finally:
        instance.destroy()
        backend.close()
        assert clients() == []


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a cache that may be spoilt, with what would have to be downloaded, at a short path."""
    cache = Path(tempfile.mkdtemp(prefix="vmvc-"))
    for name in ("programs", "kernels"):
        if (images.cache_dir() / name).is_dir():
            shutil.copytree(images.cache_dir() / name, cache / name)
    monkeypatch.setenv("VMVC_CACHE", str(cache))
    yield cache
    shutil.rmtree(cache)


class TestTiny(InsideTests):
    """What every backend promises of commands, kept by SSH in an image without an SSH server of its own."""

    timeout: ClassVar[float] = 180.0

    def backend(self) -> Backend:
        return libvirt()

    def guest(self) -> Guest:
        return TINY

    def test_commands_come_by_ssh(self) -> None:
        """The server's process is above the command's: the tests above were not kept by another way in."""
        said = self._ready().run(("sh", "-c", 'cat "/proc/$PPID/cmdline"'), timeout=self.timeout).stdout
        assert said.startswith(b"/vmvc/ssh/dropbear")


def test_it_is_the_same_where_systemd_boots() -> None:
    with started(SYSTEMD) as instance:
        odd = ("a  b; $HOME", "", "'\"\\", "*", "ünï\n2\n", "-n")
        # The first command waits until the server answers, as one by another way in waits for the guest.
        said = instance.run(("printf", "%s|", *odd), timeout=180).stdout.decode()
        assert said == "".join(f"{one}|" for one in odd)
        given = bytes(range(256)) * 64
        assert instance.run(("cat",), timeout=60, stdin=given).stdout == given
        ended = instance.run(("sh", "-c", "echo bad >&2; exit 255"), timeout=60)
        assert (ended.returncode, ended.stdout, ended.stderr) == (255, b"", b"bad\n")
        assert instance.run(("no-such-command",), timeout=60).returncode == 127
        # More than a request of SSH carries.
        assert instance.run(("sh", "-c", f": {'x' * 100_000}; echo done"), timeout=60).stdout == b"done\n"
        for name, value in SYSTEMD.env.items():
            assert instance.run(("printenv", name), timeout=60).stdout.decode() == f"{value}\n"
        _ends_with_its_children(instance)
        instance.stop(timeout=60)


def _ends_with_its_children(instance: Instance) -> None:
    word = f"1{uuid.uuid4().int % 10**8:08}"
    with pytest.raises(DeadlineExceeded, match="'sh' did not end within 2 s"):
        instance.run(("sh", "-c", f"sleep {word} & setsid sleep {word} & wait"), timeout=2)
    look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    assert f"sleep {word}".encode() not in instance.run(("sh", "-c", look), timeout=60).stdout


def test_what_boots_has_one_digest_whatever_the_keys(own_cache: Path) -> None:
    first = images.bootable(TINY)
    assert first.initrd is not None
    assert first.initrd.stat().st_mode & 0o077 == 0, "the guests' private key is in it"
    shutil.rmtree(own_cache / "ssh")
    other = images.bootable(TINY)
    assert (other.digest, other.facts) == (first.digest, first.facts)
    assert other.initrd != first.initrd
    plain = images.bootable(replace(TINY, ssh=None))
    assert plain.digest not in (first.digest, images.bootable(replace(TINY, ssh=Ssh(port=23))).digest)
    assert plain.facts["root_digest"] == first.facts["root_digest"], "the root is the same for all backends"


# --- who else there may be --------------------------------------------------------------------------------


def _changed(name: str) -> Callable[[object], None]:
    """Return what replaces one of the cache's keys by that of another cache."""

    def change(_: object) -> None:
        folder = images.ssh_keys().folder
        kept = {path.name: path.read_bytes() for path in folder.iterdir()}
        shutil.rmtree(folder)
        images.ssh_keys()
        for other, content in kept.items():
            if not other.startswith(name):
                (folder / other).write_bytes(content)

    return change


@pytest.mark.parametrize(
    ("name", "what", "cure"),
    [
        ("known_hosts", "its SSH host key is not the known one", "let nothing else in the guest use port"),
        ("key", "it lets nobody in by SSH with the keys there are", "authorized_keys"),
    ],
)
def test_who_has_another_key_is_refused(own_cache: Path, name: str, what: str, cure: str) -> None:
    with started(TINY, _changed(name)) as instance:
        with pytest.raises(StepFailed, match=what) as refused:
            instance.run(("true",), timeout=120)
        assert cure in refused.value.hint


def test_an_ssh_server_of_the_image_has_port_22_for_itself() -> None:
    sshd = ("sh", "-c", "mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e")
    image = RecipeImage(base="debian:bookworm", packages=("openssh-server",))
    greeted = ReadyTcp(tcp=Tcp(port=22, expect="SSH-2.0-OpenSSH", interval=2.0))
    with started(replace(DEBIAN, image=image, command=sshd, ready=greeted)) as instance:
        tap = ConsoleTap(instance.console(), CLOCK)
        probes.wait(greeted, instance, tap, CLOCK, CLOCK.now() + 180 * 10**9)
        assert instance.run(("true",), timeout=60).returncode == 0
        tap.close()


def test_a_server_that_ends_says_so_on_the_console() -> None:
    with started(replace(TINY, ssh=Ssh(port=2222))) as instance:
        tap = ConsoleTap(instance.console(), CLOCK)
        parent = "$(awk '/^PPid/ { print $2 }' \"/proc/$PPID/status\")"
        assert instance.run(("sh", "-c", f"kill {parent}"), timeout=120).returncode == 0
        ended = ReadyConsole(console=Console(pattern="vmvc: the SSH server at port 2222 ended: .*signal"))
        probes.wait(ended, instance, tap, CLOCK, CLOCK.now() + 30 * 10**9)
        tap.close()


# --- a disk of the user's ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def disk() -> Path:
    """Give a disk that boots by itself, with an SSH server that lets in whoever has the cache's key."""
    made = images.vdi_boot(replace(TINY, ssh=Ssh(port=22)))
    assert made.medium is not None
    return made.medium.path


def of_disk(disk: Path, ssh: Ssh) -> Guest:
    return replace(TINY, image=DiskImage(disk=str(disk)), memory=256 * 2**20, ssh=ssh)


def test_a_disk_of_ones_own_is_entered_with_ones_own_key(disk: Path) -> None:
    with started(of_disk(disk, Ssh(user="root", key=str(images.ssh_keys().private)))) as instance:
        done = instance.run(("sh", "-c", "echo out; echo err >&2; exit 3"), timeout=180)
        assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
        _ends_with_its_children(instance)


def test_a_disk_without_an_ssh_server_says_what_is_missing(disk: Path) -> None:
    ssh = Ssh(user="root", key=str(images.ssh_keys().private), port=2222)
    with started(of_disk(disk, ssh)) as instance:
        with pytest.raises(DeadlineExceeded, match="did not let 'true' in by SSH within 8 s") as late:
            instance.run(("true",), timeout=8)
        assert "have an SSH server answer at port 2222 of the disk" in late.value.hint


# --- refused before anything starts -----------------------------------------------------------------------


def refusal(guest: Guest) -> VmvcError:
    backend = libvirt()
    with pytest.raises(VmvcError) as refused:
        backend.prepare(guest)
    backend.close()
    return refused.value


def test_a_host_without_the_client_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = refusal(TINY)
    assert isinstance(found, InputError)
    assert "guest.ssh needs the OpenSSH client" in str(found)


def test_a_users_key_is_for_users_machines() -> None:
    found = refusal(replace(TINY, ssh=Ssh(user="me")))
    assert isinstance(found, InputError)
    assert "remove user and key" in str(found)


@pytest.mark.parametrize("name", ["key", "host", "."])
def test_keys_that_others_may_read_are_not_used(own_cache: Path, name: str) -> None:
    path = images.ssh_keys().folder / name
    path.chmod(path.stat().st_mode | 0o040)
    found = refusal(TINY)
    assert isinstance(found, ImageError)
    assert f"can be read by others: {path} has the mode 0{path.stat().st_mode & 0o777:o}" in found.what
    assert f"remove {path.parent if name != '.' else path}" in found.hint


@pytest.mark.parametrize("name", ["key", "known_hosts"])
def test_keys_that_are_not_whole_are_not_used(own_cache: Path, name: str) -> None:
    folder = images.ssh_keys().folder
    (folder / name).unlink()
    found = refusal(TINY)
    assert f"{folder / name} is missing" in found.what
    shutil.rmtree(folder)
    images.ssh_keys()


def test_a_cache_that_cannot_be_written_is_told(own_cache: Path) -> None:
    (own_cache / "ssh").write_text("a file in the way, as root may write anywhere")
    found = refusal(TINY)
    assert isinstance(found, ImageError)
    assert "cannot be written" in found.what
    assert "VMVC_CACHE" in found.hint


ASK = "from vmvc import images; print(images.ssh_keys().public.strip())"


def test_keys_are_made_once_however_many_ask(own_cache: Path) -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    told = {one.communicate()[0] for one in asking}
    assert told == {images.ssh_keys().public}
    assert {one.returncode for one in asking} == {0}


# --- in a run ---------------------------------------------------------------------------------------------

RUN = """\
name: by-ssh
guest: {image: tiny, memory: 192MiB, ssh: {}}
backends: {kvm: {kind: libvirt, options: {uri: "qemu:///embed"}}}
metrics:
  startup: {}
  work:
    kind: workload
    run:
      command: [sh, -c, "echo 42 points"]
      quantities: {points: {regex: '(\\\\d+) points', better: higher, says: Points.}}
trials: {count: 1, warmup: 0, timeout: 180s}
"""


def test_no_private_key_is_in_what_a_run_leaves(tmp_path: Path) -> None:
    (tmp_path / "by-ssh.yaml").write_text(RUN.replace("\\\\d", "\\d"))
    environment = {**os.environ, "VMVC_LOCK": str(tmp_path / "lock")}
    said = vmvc("run", tmp_path / "by-ssh.yaml", cwd=tmp_path, env=environment)
    assert said.code == 0, said.err
    (run,) = (tmp_path / "results" / "by-ssh").iterdir()
    assert "42" in vmvc("show", run, cwd=tmp_path).out
    recorded = json.loads((run / "run.json").read_text())
    assert '"commands": "ssh"' in json.dumps(recorded)
    bundled = vmvc("bundle", run, "--output", "run.zip", cwd=tmp_path, env=environment)
    assert bundled.code == 0, bundled.err
    shutil.unpack_archive(tmp_path / "run.zip", tmp_path / "bundle")
    secrets = _secrets()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path


def _secrets() -> Sequence[bytes]:
    """Return what is private in both keys, as text and as bytes."""
    own = images.ssh_keys()
    lines = own.private.read_bytes().splitlines()
    return [*lines[1:-1], own.host[-64:-32], own.host[-64:-32].hex().encode()]


# --- where there is no machine ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["docker", "process"])
def test_what_is_no_machine_says_that_it_needs_none(kind: str) -> None:
    backend: Backend = ProcessBackend("bare", Options())
    if kind == "docker":
        backend = DockerBackend("docker", DockerOptions())
    guest = replace(TINY, ready=ReadyConsole(console=Console(pattern="x")))
    codes = [one.code for one in backend.prepare(guest).findings]
    plain = [one.code for one in backend.prepare(replace(guest, ssh=None)).findings]
    backend.close()
    assert f"{kind}.ssh" in codes
    assert f"{kind}.ssh" not in plain
