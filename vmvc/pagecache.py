"""The host's page cache -> dropped, and what was read from disk since: a cold start that proves itself.

Dropping needs root on Linux. It frees what no process maps, so pages of running programs (the engine's own)
stay; what a hypervisor below this host and the drive itself hold is beyond reach, and said in a finding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmvc.contract import Finding, Severity
from vmvc.errors import EngineError

SWITCH: Final = Path("/proc/sys/vm/drop_caches")
COUNTERS: Final = Path("/proc/vmstat")
_EVERYTHING: Final = "3\n"
"""Page cache, dentries and inodes. Source: Linux Documentation/admin-guide/sysctl/vm.rst, drop_caches."""


def findings(*, virtualised: bool) -> Iterator[Finding]:
    """Say whether a cold start can be had here, and how cold it is."""
    if not os.access(SWITCH, os.W_OK):
        yield Finding(
            "cache.cannot-drop",
            Severity.ERROR,
            f"trials.cache: cold needs to write {SWITCH}, which this user or host cannot",
            "run vmvc as root on Linux, or leave trials.cache: cold out",
        )
    elif virtualised:
        yield Finding(
            "cache.below",
            Severity.WARNING,
            "cold is cold for this host only: it is, or may be, a virtual machine, and the caches of its "
            "hypervisor and of the drive stay as they are",
            "measure cold starts on bare hardware, or say with the numbers what was cold",
        )
    else:
        yield Finding(
            "cache.below",
            Severity.INFO,
            "cold is cold for this host: the drive's own cache stays as it is",
            "say so with the numbers",
        )


def drop() -> None:
    """Write what is dirty to the disk, then forget the page cache, dentries and inodes of the whole host.

    Raises: EngineError.
    """
    os.sync()
    try:
        SWITCH.write_text(_EVERYTHING)
    except OSError as error:
        raise EngineError(
            f"the page cache cannot be dropped: {SWITCH}: {error.strerror}",
            hint="run vmvc as root on Linux, or leave trials.cache: cold out",
        ) from error


def read_bytes() -> int | None:
    """Return the bytes that this host has read from its disks since boot, ``None`` where nobody counts them.

    The counter is in KiB and of the whole host. Source: Linux mm/vmstat.c, ``pgpgin``.
    """
    try:
        found = re.search(r"^pgpgin ([0-9]+)$", COUNTERS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
