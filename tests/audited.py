"""The command, run with an audit hook in it and in every Python that it starts -> what it did to the host.

A line of the log is an event and a path or name: each file opened for writing, made, moved or removed, each
program started, each socket connected or bound.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOOK = """
import os, sys
log = os.open(os.environ["VMVC_TEST_AUDIT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
paths = {"os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2,
         "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1}
programs = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
sockets = {"socket.connect", "socket.bind", "socket.sendto"}

def tell(event, what):
    line = str(what).replace("\\n", " ").replace("\\t", " ")
    os.write(log, f"{event}\\t{line}\\n".encode("utf-8", "replace"))

def full(path, folders):
    path = os.fsdecode(path)
    for folder in folders:
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(path):
            try:
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
            except OSError:
                pass
    return os.path.abspath(path)

def hook(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, (str, bytes)) and (flags or 0) & writes:
            tell("write", full(path, ()))
    elif event in paths:
        for path in arguments[: paths[event]]:
            if isinstance(path, (str, bytes)):
                tell(event, full(path, arguments[paths[event]:]))
    elif event in programs:
        tell(event, arguments[0] if arguments else "")
    elif event in sockets:
        tell(event, arguments[1])

sys.addaudithook(hook)
"""
_CHANGES = (
    *("write", "os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil.rmtree"),
)


@dataclass(frozen=True)
class Did:
    """How it ended, what it printed and what it did."""

    code: int
    out: str
    err: str
    events: Sequence[tuple[str, str]]

    def written(self) -> list[Path]:
        """Return every path that was written, made, moved, changed or removed."""
        return [Path(what) for event, what in self.events if event in _CHANGES]


def vmvc(
    *arguments: str | Path, cwd: Path, scratch: Path, env: Mapping[str, str] | None = None, stdin: str = ""
) -> Did:
    """Run the command with the hook; ``scratch`` holds hook and log."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "sitecustomize.py").write_text(HOOK)
    log = scratch / "log"
    log.touch()
    more = {"PYTHONPATH": str(scratch), "VMVC_TEST_AUDIT": str(log), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from vmvc.cli import main; main()", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {}), **more},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    events = [(line.partition("\t")[0], line.partition("\t")[2]) for line in lines]
    return Did(done.returncode, done.stdout, done.stderr, events)
