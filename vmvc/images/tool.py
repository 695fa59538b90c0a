"""A host program and its arguments -> its output, or an ImageError that names what to install."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from vmvc.contract import Finding, Severity
from vmvc.errors import ImageError

log = logging.getLogger(__name__)

PACKAGES: Final[Mapping[str, str]] = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "busybox": "busybox-static",
    "debugfs": "e2fsprogs",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "dumpe2fs": "e2fsprogs",
    "fakeroot": "fakeroot",
    "lz4": "lz4",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "ssh-keygen": "openssh-client",
    "tar": "tar",
    "xorriso": "xorriso",
    "xz": "xz-utils",
    "zstd": "zstd",
}
"""Program -> the Debian package that has it."""

_PATH: Final = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])


def findings() -> Iterator[Finding]:
    """Say which programs this host lacks, so that some images cannot be built here."""
    for program, package in PACKAGES.items():
        if program == "fakeroot" and os.geteuid() == 0:
            continue
        if _which(program) is None:
            yield Finding(
                "images.program",
                Severity.WARNING,
                f"this host has no program '{program}', which some images are built with",
                f"sudo apt-get install {package}",
            )


def find(program: str) -> str:
    """Return the path of a program.

    Raises: ImageError where this host does not have it.
    """
    path = _which(program)
    if path is None:
        raise ImageError(
            f"this host has no program '{program}'", hint=f"sudo apt-get install {PACKAGES[program]}"
        )
    return path


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=_PATH)


def run(
    argv: Sequence[str | Path],
    *,
    doing: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    hint: Callable[[str], str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> bytes:
    """Run a program to its end and return what it printed.

    ``doing`` completes "could not ..."; ``hint`` turns what it complained about into one action; ``progress``
    is told every line of its standard error.

    Raises: ImageError where it is missing or fails, with the last lines that it printed.
    """
    command = [find(str(argv[0])), *(str(argument) for argument in argv[1:])]
    log.debug("running %s", command)
    complaints = []
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={
                **os.environ,
                "LC_ALL": "C.UTF-8",
                "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), _PATH]),
                **(env or {}),
            },
            text=True,
            errors="replace",
        ) as process:
            assert process.stderr is not None
            try:
                for line in process.stderr:
                    complaints.append(line)
                    if progress is not None:
                        progress(line.rstrip())
            except BaseException:
                process.terminate()  # It cleans up after itself; leaving the block waits for that.
                raise
        output.seek(0)
        printed = output.read()
    if process.returncode != 0:
        said = "".join(complaints).strip() or printed.decode(errors="replace").strip()
        raise ImageError(
            f"could not {doing}: {argv[0]} ended with {process.returncode}: {last_lines(said)}",
            hint=(hint(said) if hint else "")
            or space_hint(said)
            or f"run it by hand to see more: {command[0]}",
        )
    return printed


def space_hint(said: str) -> str:
    """Return what to do where a program complains about a full disk, else nothing."""
    return "free some space, or set VMVC_CACHE to a folder that has it" if "No space left" in said else ""


def last_lines(text: str, count: int = 3) -> str:
    """Return the last complaints, or the last lines where none is marked as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("E: ", "vmvc: ", "error: "))]
    return " | ".join((marked or lines)[-count:])
