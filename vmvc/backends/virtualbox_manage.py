"""Arguments for VBoxManage -> what it printed, or an error that says what to do.

Machines are named to it by their UUIDs, since a name may look like an option.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.errors import EngineError, StepFailed, VmvcError

PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "linux": ("/usr/bin/VBoxManage", "/usr/local/bin/VBoxManage", "/opt/VirtualBox/VBoxManage"),
    "darwin": (
        "/usr/local/bin/VBoxManage",
        "/Applications/VirtualBox.app/Contents/MacOS/VBoxManage",
    ),
    "win32": (r"C:\Program Files\Oracle\VirtualBox\VBoxManage.exe",),
}
"""Where VirtualBox is usually installed, by platform."""
PATIENCE: Final = 25.0
"""Seconds for VBoxManage to do one thing; else its daemon hangs. A destroy has room for two."""
STARTS_WITHIN: Final = 120.0
"""Seconds for it to have a machine running."""
SMALLEST: Final = 7
"""The first major version whose arguments these are."""

TRIES: Final = 3
_NOBODY: Final = "Failed to create the VirtualBox object"
_NOT_FOUND: Final = "VBOX_E_OBJECT_NOT_FOUND"
_MACHINE: Final = re.compile(
    r'^"(.*?)" \{([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}$',
    re.MULTILINE | re.DOTALL,
)
_FIELD: Final = re.compile(r'^"?([^"=\n]+)"?=(?:"((?:[^"\\]|\\[\s\S])*)"|([^"\n]*))$', re.MULTILINE)
_ELSE: Final = "see what works here: vmvc doctor"
_DRIVER: Final = (
    "build VirtualBox's kernel driver for the running kernel: sudo apt-get install virtualbox-dkms "
    "linux-headers-$(uname -r) (Debian, Ubuntu), or sudo /sbin/vboxconfig (Oracle's packages)"
)
TAKEN: Final = "end the machines of the other hypervisor and unload it: sudo modprobe -r kvm_intel kvm_amd"
"""The hint where VT-x or AMD-V is not to be had."""
_HINTS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"VERR_VM_DRIVER_VERSION_MISMATCH|VERR_VERSION_MISMATCH|driver version",
        f"the driver is of another version; {_DRIVER}",
    ),
    (r"VERR_VM_DRIVER_(NOT_INSTALLED|LOAD_ERROR|NOT_ACCESSIBLE)|kernel driver not|vboxdrv", _DRIVER),
    (
        r"VERR_(SVM|VMX)_IN_USE|VERR_VMX_IN_VMX_ROOT_MODE|another hypervisor|VERR_VMX_UNABLE_TO_START_VM",
        TAKEN,
    ),
    (
        "VERR_UNRESOLVED_ERROR",  # so says 7.2 where Linux, which it asks for VT-x or AMD-V, cannot have them
        TAKEN,
    ),
    (
        r"VERR_(SVM_NO_SVM|SVM_DISABLED|VMX_NO_VMX|VMX_MSR_\w+|VMX_DISABLED|NEM_\w+)",
        "switch on VT-x or AMD-V in the firmware of this host (in a virtual machine: nested virtualisation)",
    ),
    (r"VERR_(NO_MEMORY|EM_NO_MEMORY|OUT_OF_\w*MEMORY|PGM_\w+MEMORY\w*|NO_LOW_MEMORY)", "lower guest.memory"),
    (r"VERR_ALREADY_EXISTS|VBOX_E_FILE_ERROR.*exists|already exists", "remove it: vmvc clean"),
    (
        r"locked|VBOX_E_INVALID_OBJECT_STATE|VBOX_E_INVALID_VM_STATE|already locked|session",
        "another program has the machine open: close its window in VirtualBox's manager, or wait",
    ),
    (r"inaccessible|VERR_FILE_NOT_FOUND|VERR_PATH_NOT_FOUND", "see what is missing: VBoxManage list -l vms"),
    (r"VERR_ACCESS_DENIED|E_ACCESSDENIED|[Pp]ermission denied", "let this user read and write the file"),
    (
        r"VERR_VMM_SMAP|extension pack|ExtPack|VERR_VERSION",
        "install VirtualBox and its extension pack in the same version",
    ),
    (
        r"Failed to (create|initialize).*(VirtualBox|COM)|NS_ERROR_(FAILURE|ABORT|CALL_FAILED)|VBoxSVC",
        "end VBoxSVC where it hangs, then see whether VBoxManage list vms answers",
    ),
)


class NotFound(StepFailed):
    """VirtualBox knows nothing of that name."""


class Hangs(StepFailed):
    """VirtualBox does not answer."""


@dataclass
class Manage:
    """One VBoxManage; ``wanted``: its path, ``None``: it is looked for when it is first needed.

    ``patience``: the most seconds for it to do one thing that names no time of its own.
    """

    wanted: str | None = None
    patience: float = PATIENCE

    def path(self) -> str:
        """Return its path.

        Raises: EngineError.
        """
        if self.wanted is not None:
            found = shutil.which(str(Path(self.wanted).expanduser()))
            if found is None:
                raise EngineError(
                    f"options.vboxmanage is not a program, got {self.wanted!r}",
                    hint="name VirtualBox's VBoxManage, or leave the option out",
                )
            return found
        names = ("VBoxManage", *PLACES.get(sys.platform, ()))
        found = next((path for name in names if (path := shutil.which(name)) is not None), None)
        if found is None:
            raise EngineError(
                "this host has no VBoxManage",
                hint="install VirtualBox 7 (Debian, Ubuntu: sudo apt-get install virtualbox), or name its "
                "place: options.vboxmanage",
            )
        return found

    def run(
        self,
        *arguments: str | Path,
        doing: str,
        failure: type[VmvcError] = StepFailed,
        patience: float | None = None,
    ) -> str:
        """Return what it prints; ``patience``: the most seconds that it may take, by default its own.

        Raises: NotFound where a machine or medium is not there; Hangs where it does not answer in time;
        ``failure`` with VirtualBox's complaint.
        """
        command = [self.path(), *map(str, arguments)]
        patience = self.patience if patience is None else patience
        for tries in range(TRIES, 0, -1):
            done = _executed(command, doing, failure, patience)
            said = f"{done.stderr.decode(errors='replace')}\n{done.stdout.decode(errors='replace')}"
            # Its daemon ends some seconds after the last call: one that comes just then finds nobody.
            if done.returncode == 0 or _NOBODY not in said or tries == 1:
                break
        if done.returncode != 0:
            text, hint = explained(said)
            kind = NotFound if _NOT_FOUND in said and issubclass(NotFound, failure) else failure
            raise kind(f"VirtualBox cannot {doing}: {text}", hint=hint)
        return done.stdout.decode(errors="replace").replace("\r\n", "\n")

    def version(self) -> str:
        """Return its version, as ``7.2.4r170995``.

        Raises: EngineError, also where it is too old.
        """
        said = self.run("--version", doing="tell its version", failure=EngineError).strip().splitlines()
        version = said[-1] if said else ""
        major = version.partition(".")[0]
        if not major.isdigit():
            raise EngineError(
                f"{self.path()} is no VBoxManage: it says {version!r}",
                hint="name VirtualBox's own: options.vboxmanage",
            )
        if int(major) < SMALLEST:
            raise EngineError(
                f"VirtualBox is too old: {version}", hint=f"install VirtualBox {SMALLEST} or newer"
            )
        return version

    def machines(self) -> list[tuple[str, str]]:
        """Return name and UUID of every machine of this user; an inaccessible one is ``<inaccessible>``.

        Raises: EngineError.
        """
        said = self.run("list", "vms", doing="list its machines", failure=EngineError)
        return [(name, identity) for name, identity in _MACHINE.findall(said)]

    def show(self, identity: str) -> Mapping[str, str]:
        """Return what VirtualBox tells of a machine, by its machine-readable names.

        Raises: NotFound, StepFailed.
        """
        said = self.run("showvminfo", identity, "--machinereadable", doing="show the machine")
        return dict(fields(said))


def _executed(
    command: list[str], doing: str, failure: type[VmvcError], patience: float
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
            # It reads its arguments and prints in the encoding of the locale.
            env={**os.environ, "LC_ALL": "C.UTF-8"} if os.name == "posix" else None,
        )
    except subprocess.TimeoutExpired as error:
        kind = Hangs if issubclass(Hangs, failure) else failure
        raise kind(
            f"VBoxManage did not {doing} within {patience:.3g} s",
            hint="see whether VBoxManage list vms answers; where it does not, end the VBoxSVC that hangs",
        ) from error
    except (OSError, ValueError) as error:
        raise failure(f"VBoxManage cannot {doing}: {error}", hint=_ELSE) from error


def fields(said: str) -> Iterator[tuple[str, str]]:
    """Read lines ``name="value"``, where name or value may lack quotes; a value may have several lines."""
    for name, quoted, bare in _FIELD.findall(said):
        yield name, re.sub(r'\\(["\\])', r"\1", quoted) or bare


def explained(said: str) -> tuple[str, str]:
    """Return what VirtualBox complains of, in one line, and what to do about it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    told = [line for line in errors if not line.startswith(("Details:", "Context:"))] or lines[-1:]
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "")
    return " ".join(told) or "it does not say why", hint or _ELSE
