"""A root file system in plain QEMU (emulated), in a container and in a chroot, without any backend."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker

from vmvc.contract import Guest
from vmvc.images import (
    Bootable,
    emulated_clock,
    root_filesystem,
    unpacked,
)
from vmvc.spec import GuestSpec, Image, RecipeImage

TINY = RecipeImage(base="tiny")
PATIENCE = 90.0
"""Seconds for what takes three on an idle machine: the tests share theirs with others."""
HERE = Path()


def guest_of(image: Image, **changes: Any) -> Guest:
    guest = Guest(image=image, cpus=1, memory=2**28, ready=GuestSpec().ready)
    return replace(guest, **changes)


Boots = Callable[..., "Machine"]
"""Boots a guest; the machine is gone after the test."""


class Machine:
    """A virtual machine of plain QEMU, emulated: what a backend makes of a bootable, without the backend."""

    def __init__(self, boot: Bootable, folder: Path, *, machine: str = "q35", memory: int = 512) -> None:
        bus = "device" if machine == "microvm" else "pci"
        self.port = free_port()
        self.folder = folder
        arguments = [
            *("qemu-system-x86_64", "-machine", machine, "-accel", "tcg", "-m", str(memory), "-no-reboot"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
            *(
                "-netdev",
                f"user,id=n,hostfwd=tcp:127.0.0.1:{self.port}-:80",
                "-device",
                f"virtio-net-{bus},netdev=n",
            ),
            *(
                "-device",
                f"virtio-serial-{bus}",
                "-chardev",
                f"socket,id=c,path={folder}/channel,server=on,wait=off",
            ),
            *("-device", f"virtserialport,chardev=c,name={_PORTS[boot.channel]}"),
            *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
        ]
        if boot.kernel is not None:
            append = f"{boot.append} {emulated_clock()}"
            arguments += ["-kernel", str(boot.kernel), "-initrd", str(boot.initrd), "-append", append]
        if boot.disk is not None:
            overlay = f"{folder}/overlay.qcow2"
            subprocess.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-b", boot.disk, "-F", boot.disk_format, overlay],
                check=True,
            )
            arguments += ["-drive", f"file={overlay},if=none,id=d,cache=unsafe"]
            arguments += ["-device", f"virtio-blk-{bus},drive=d"]
        self.begun = time.monotonic()
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._printed: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._printed.extend(self._process.stdout)

    @property
    def console(self) -> str:
        return b"".join(self._printed).decode(errors="replace")

    def page(self) -> bytes:
        """Return the first page that is served."""
        while time.monotonic() < self.begun + PATIENCE and self._process.poll() is None:
            if page := fetch(self.port):
                return page
            time.sleep(0.01)
        raise AssertionError(f"no page was served; the console says:\n{self.console}")

    def ended(self) -> int:
        return self._process.wait(PATIENCE)

    def power_button(self) -> None:
        with connected(self.folder / "qmp") as control, control.makefile("rw") as file:
            file.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                file.write(json.dumps({"execute": command}) + "\n")
                file.flush()
                file.readline()

    def shut_down(self) -> int:
        """Press the power button until the machine heeds it: a guest that still boots misses it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError):
                self.power_button()
            try:
                return self._process.wait(1)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"still running; the console says:\n{self.console}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


_PORTS = {"init": "vmvc.init.0", "agent": "org.qemu.guest_agent.0", "none": "none"}


class Channel:
    """The minimal init's channel, as a backend on the host's side sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        connection.sendall(b"\n")

    def word(self, word: bytes) -> None:
        self._connection.sendall(word + b"\n")

    def ask(
        self, number: int, argv: Sequence[str | bytes], *, timeout: float = 30, stdin: bytes = b""
    ) -> None:
        words = [argument.encode() if isinstance(argument, str) else argument for argument in argv]
        fields = [b"%d" % number, b"%g" % timeout, base64.b64encode(stdin) or b"-"]
        self.word(b" ".join([*fields, *(base64.b64encode(word) or b"=" for word in words)]))

    def answer(self) -> tuple[int, int, bytes, bytes]:
        while b"\n" not in self._rest:
            chunk = self._connection.recv(65536)
            assert chunk, "the machine ended the channel"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        number, code, *output = line.split(b" ")
        out, err = (b"" if field == b"-" else base64.b64decode(field, validate=True) for field in output)
        return int(number), int(code), out, err

    def run(self, *argv: str | bytes, timeout: float = 30, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        self.ask(7, argv, timeout=timeout, stdin=stdin)
        number, code, out, err = self.answer()
        assert number == 7
        return code, out, err


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connection.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < deadline, f"nobody listens at {path}"
                time.sleep(0.02)
        yield connection


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def fetch(port: int) -> bytes:
    """Return the page at ``/``, nothing where it is not served (yet)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
    except OSError:
        return b""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if b" 200 " in head.partition(b"\r\n")[0] else b""


@contextmanager
def container(api: docker.APIClient, image: str, **settings: Any) -> Iterator[tuple[str, int]]:
    """Yield a running container and the port where its port 80 is."""
    port = free_port()
    host = api.create_host_config(port_bindings={80: ("127.0.0.1", port)})
    made = api.create_container(
        image, ports=[80], host_config=host, labels={"vmvc-test": "images"}, **settings
    )["Id"]
    try:
        api.start(made)
        yield made, port
    finally:
        api.remove_container(made, force=True, v=True)


@contextmanager
def in_chroot(image: Image, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield the image's command in a chroot and a network of its own, and the process that leads to them."""
    root = root_filesystem(image, HERE)
    copy = folder / "root"
    subprocess.run(["cp", "-a", unpacked(root), copy], check=True)
    mounts = 'ip link set lo up; mount -t proc proc "$0/proc"; mount -t devtmpfs dev "$0/dev"'
    script = f'{mounts}; exec chroot "$0" "$@"'
    argv = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        script,
        str(copy),
        *root.command,
    ]
    process = subprocess.Popen(argv, env=dict(root.env), stdin=subprocess.DEVNULL)
    try:
        yield process, process.pid
    finally:
        process.kill()
        process.wait()


def fetch_inside(pid: int) -> bytes:
    """Return the page that is served in the network of the first child of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not children:
        return b""
    net = f"--net=/proc/{children[0]}/ns/net"
    argv = ["nsenter", net, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/"]
    return subprocess.run(argv, capture_output=True, check=False).stdout


def eventually(look: Callable[[], bytes]) -> bytes:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("nothing was served")
