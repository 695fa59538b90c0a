"""Requests on a socket -> commands in their own root file system, each under a keeper of all its descendants.

Run as a script in a small interpreter of its own (standard library only): making a guest then costs a fork
and a few mounts, not an interpreter's start, and starting it costs one write and one ``execve``.

A request is one byte with seven files: the plan (JSON); standard input, output and error; ``go``, on which
the command waits for one byte; ``executed``, which closes at ``execve`` or carries an errno; ``report``, to
which the keeper writes JSON lines: ``{"keeper": pid, "pid": pid}`` or ``{"error": text}``, then
``{"status": N}``.

The keeper is a child subreaper: whatever the command starts stays below it, even what forks twice and leaves
its session, and the keeper ends when the last of them has ended. Its mounts are private and vanish with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER = 36
FILES = 7
GLIBC_SIGNALS = (32, 33)
RT_SIGACTION = {"x86_64": 13, "aarch64": 134, "riscv64": 134, "loongarch64": 134}
"""Machine -> number of the system call; the action's layout is that of these machines."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serve requests until the other end of the socket is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.get_exec_path()  # Python loads here what execvpe needs, which a root of its own would hide.
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    while True:
        message, files, _, _ = socket.recv_fds(control, 1, FILES)
        if not message:
            return
        for file in files:
            os.set_inheritable(file, False)
        if os.fork() == 0:
            control.close()
            _keep(*files)
        for file in files:
            os.close(file)


def _keep(
    plan_file: int, stdin: int, stdout: int, stderr: int, go: int, executed: int, report: int
) -> NoReturn:
    """Make the root, fork the command, wait for all descendants."""
    try:
        os.setsid()
        os.chdir("/")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with open(plan_file, encoding="utf-8", errors="surrogateescape") as text:
            plan = json.load(text)
        _enter(plan)
        command = os.fork()
        if command == 0:
            _become(plan, (stdin, stdout, stderr), go, executed)
    except OSError as error:
        _say(report, error=str(error))
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    for file in (stdin, stdout, stderr, go, executed, nothing):
        os.close(file)
    _say(report, keeper=os.getpid(), pid=command)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            os._exit(0)
        if pid == command:
            _say(report, status=os.waitstatus_to_exitcode(status))


def _enter(plan: dict[str, Any]) -> None:
    """Join a keeper's mounts, or make new ones over the plan's root; neither for a command of the host."""
    if plan["join"]:
        namespace = os.open(f"/proc/{plan['join']}/ns/mnt", os.O_RDONLY)
        _call("setns", namespace, CLONE_NEWNS)
        os.close(namespace)
    elif plan["root"]:
        _call("unshare", CLONE_NEWNS)
        _mount(None, "/", None, MS_REC | MS_PRIVATE, None)
        if plan["overlay"]:
            _mount("overlay", plan["root"], "overlay", 0, plan["overlay"])
        root = Path(plan["root"])
        for folder in ("proc", "sys", "dev"):
            target = root / folder
            target.mkdir(exist_ok=True)
            if not target.is_symlink():
                _mount(f"/{folder}", target, None, MS_BIND | MS_REC, None)
        for name in ("etc/hosts", "etc/resolv.conf"):
            host, target = Path("/", name), root / name
            if host.is_file() and target.is_file() and not target.is_symlink():
                _mount(host.resolve(), target, None, MS_BIND, None)


def _become(plan: dict[str, Any], standard: tuple[int, int, int], go: int, executed: int) -> NoReturn:
    """Get ready, wait for the word, and become the command."""
    try:
        if plan["cpus"]:
            os.sched_setaffinity(0, plan["cpus"])
        if plan["root"]:
            os.chroot(plan["root"])
        os.chdir(plan["workdir"])
        os.umask(0o022)
        if plan["user"]:
            user, group, groups = plan["user"]
            os.setgroups(groups)
            os.setgid(group)
            os.setuid(user)
        for number, file in enumerate(standard):
            os.dup2(file, number)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        _default_reserved_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if not os.read(go, 1):
            os._exit(0)
        os.execvpe(plan["argv"][0], plan["argv"], plan["env"])
    except OSError as error:
        os.write(executed, str(error.errno).encode())
    os._exit(127)


def _default_reserved_signals() -> None:
    """Give the signals that glibc keeps for itself their default action.

    A program started by glibc's ``posix_spawn`` out of one that cancels threads inherits them as ignored
    (sysdeps/unix/sysv/linux/spawni.c), and no function of glibc's changes them.
    """
    number = RT_SIGACTION.get(os.uname().machine)
    if number is not None:
        default = bytes(32)  # struct sigaction as the kernel has it: handler SIG_DFL, no flags, an empty mask
        for reserved in GLIBC_SIGNALS:
            _call("syscall", ctypes.c_long(number), ctypes.c_long(reserved), default, None, ctypes.c_long(8))


def _say(report: int, **words: object) -> None:
    # Whoever asked may have died; the guest is then swept by its label.
    with contextlib.suppress(BrokenPipeError):
        os.write(report, json.dumps(words).encode() + b"\n")


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, options: str | None
) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3], doing=f"mount {target}")


def _call(name: str, *arguments: Any, doing: str = "") -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{doing or name}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
