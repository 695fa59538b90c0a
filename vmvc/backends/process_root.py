"""An unpacked image -> the root file system of one instance, and nothing again."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from vmvc.backends.process_launch import Plan
from vmvc.backends.storage import Footprint, footprint
from vmvc.errors import CleanupError


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make instances of a guest.

    ``lower``: the unpacked image, ``None`` for a command on the host's own file system. ``copy``: the image
    is copied, because this host refuses an overlay.
    """

    plan: Plan
    stop_signal: int
    lower: Path | None = None
    copy: bool = False

    def lay(self, folder: Path) -> Plan:
        """Make the root in ``folder``, as far as it needs no mounts, and return the plan that uses it.

        Raises: OSError.
        """
        if self.lower is None:
            return replace(self.plan, workdir=str(folder))
        root = folder / "root"
        if self.copy:
            _copy(self.lower, root)
            return replace(self.plan, root=str(root))
        for name in ("root", "upper", "work"):
            (folder / name).mkdir()
        (folder / "upper").chmod(self.lower.stat().st_mode & 0o7777)
        options = {"lowerdir": self.lower, "upperdir": folder / "upper", "workdir": folder / "work"}
        overlay = ",".join(f"{name}={_escaped(path)}" for name, path in options.items())
        return replace(self.plan, root=str(root), overlay=overlay)


def remove(folder: Path) -> None:
    """Remove an instance's folder; nothing there is success.

    Raises: CleanupError, also where something is mounted below: nothing is removed then.
    """
    mounted = [path for path in _mounts() if path == folder or folder in path.parents]
    if mounted:
        raise CleanupError(
            f"{mounted[0]} is mounted, so {folder} is not removed", hint=f"umount {mounted[0]}"
        )
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CleanupError(f"{folder} cannot be removed: {error}", hint=f"rm -r {folder}") from error


@lru_cache(maxsize=64)
def image_footprint(folder: Path) -> Footprint:
    """Count an unpacked image; it never changes."""
    return footprint([folder])


def _copy(source: Path, target: Path) -> None:
    """Copy a root file system with owners, modes, times, links and device nodes.

    Raises: OSError.
    """
    command = ["cp", "-a", "--reflink=auto", "--", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())


def _escaped(path: Path) -> str:
    r"""Write a path as an overlay option: ``\``, ``:`` and ``,`` would end it."""
    return "".join(f"\\{char}" if char in "\\:," else char for char in str(path))


def _mounts() -> list[Path]:
    """Return every mount point that this process sees."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    # The kernel writes blanks and backslashes as octal numbers.
    return [
        Path(os.fsdecode(line.split(b" ")[4].decode("unicode_escape").encode("latin-1"))) for line in lines
    ]
