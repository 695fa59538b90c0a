"""libvirt's Python binding -> the same without output of its own, its events running, its errors put plainly.

It is imported here only, and is untyped; ``libvirt_connection``, ``libvirt_running``, ``libvirt_existing``
and ``libvirt_standstill`` alone use it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vmvc.errors import StepFailed, VmvcError

# The embedded driver logs to this process's standard error unless told before it is loaded.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")

import libvirt
import libvirt_qemu

__all__ = [
    "AGENT_IS_SILENT",
    "NOTHING_THERE",
    "NOT_THERE",
    "libvirt",
    "libvirt_qemu",
    "start_events",
    "translated",
]

NOTHING_THERE: Final = (
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_DOMAIN_METADATA,
    libvirt.VIR_ERR_OPERATION_INVALID,
)
NOT_THERE: Final = (
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
)
"""Errors of a call that a driver lacks."""
AGENT_IS_SILENT: Final = (
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", None),  # since libvirt 10
)
_HINTS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"(Password|Username) request failed|([Mm]issing|invalid) (authentication|auth)\b",
        "put user and password into libvirt's own file: ~/.config/libvirt/auth.conf, or LIBVIRT_AUTH_FILE",
    ),
    (r"without the '.*' driver", "use a libvirt that was built with this driver, or another options.uri"),
    (r"virtlogd", "start virtlogd: sudo systemctl start virtlogd.socket"),
    (
        r"(connect socket to|socket).*(libvirt|virtqemud).*(No such file|refused)",
        "start libvirt's daemon (sudo systemctl start libvirtd), or choose options.uri: qemu:///embed",
    ),
    (
        r"socket.*Permission denied|authentication (unavailable|failed)|polkit|system bus",
        "sudo usermod -aG libvirt $USER, then log in again; or choose options.uri: qemu:///embed",
    ),
    (
        r"no connection driver available for (?!qemu)",
        "install libvirt's driver for it (Debian: libvirt-daemon-driver-lxc, -vbox, -xen) and restart it",
    ),
    (r"URI", "write options.uri as libvirt wants it, such as qemu:///system, lxc:/// or esx://HOST/"),
    (r"not supported by the connection driver", "use a probe and metrics that this driver has calls for"),
    (r"resolve host|No route|timed out|refused|CA certificate", "see whether virsh -c URI list answers"),
    (r"[Cc]annot (allocate|set up guest) memory|Cannot allocate", "lower guest.memory"),
    (r"[Mm]ax(imum)? (CPU|vcpu|cpu)|max_cpus|number of (SMP )?CPUs", "lower guest.cpus"),
    (r"machine type", "choose another options.machine, or install a QEMU that has it"),
    (
        r"failed to set MSR",
        "hide what KVM does not offer here: options.hide_cpu_features: [arch-capabilities]",
    ),
    (
        r"/dev/kvm|KVM (kernel|is not|not)|kvm.*(No such|denied)|domain type 'kvm'|virt type 'kvm'",
        "choose options.accelerator: tcg, or give this user /dev/kvm: sudo usermod -aG kvm $USER",
    ),
    (
        r"binary|emulator|capabilities for|no connection driver|os type hvm|OS type|unsupported driver",
        "install QEMU and libvirt's driver for it (Debian: qemu-system-x86 libvirt-daemon)",
    ),
    (r"already (exists|active|being)", "another machine has that name: virsh list --all"),
    (r"lock.*image|using the image|\"write\" lock", "close the program that uses the disk"),
    (r"closed|end of file|recv data|reset by peer", "see whether libvirt still answers: vmvc doctor"),
    (r"too long", "set VMVC_CACHE to a folder with a shorter path"),
    (r"Permission denied", "let this user read the files: QEMU runs as whoever runs vmvc"),
)


@contextmanager
def translated(doing: str, failure: type[VmvcError] = StepFailed) -> Iterator[None]:
    """Turn an error of libvirt into ``failure`` with a hint."""
    try:
        yield
    except libvirt.libvirtError as error:
        text = " ".join((error.get_error_message() or str(error)).split())
        hint = next((hint for pattern, hint in _HINTS if re.search(pattern, text)), "")
        raise failure(
            f"libvirt cannot {doing}: {text}", hint=hint or "see what works here: vmvc doctor"
        ) from error


_starting = threading.Lock()
_started = False


def start_events() -> None:
    """Run libvirt's event loop in a thread of this process, once and for good."""
    global _started
    with _starting:
        if not _started:
            libvirt.registerErrorHandler(lambda *_: None, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_events, name="libvirt events", daemon=True).start()
            _started = True


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
