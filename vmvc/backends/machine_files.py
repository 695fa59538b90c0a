"""Files and sockets by which this host and a hypervisor's machine meet, the same for every hypervisor."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from vmvc.errors import StepFailed, VmvcError


@contextmanager
def translated(doing: str, failure: type[VmvcError] = StepFailed) -> Iterator[None]:
    """Turn an error of the operating system into ``failure``."""
    try:
        yield
    except OSError as error:
        exists = isinstance(error, FileExistsError)
        raise failure(
            f"cannot {doing}: {error.strerror or error} ({error.filename or tempfile.gettempdir()})",
            hint="remove it: vmvc clean" if exists else "check the disk and its rights",
        ) from error


def listening(path: str) -> socket.socket:
    """Return a socket that a hypervisor can connect to.

    Raises: OSError.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def connected(listener: socket.socket, within: float) -> socket.socket:
    """Return the one connection to a socket, and close that; ``within``: seconds.

    Raises: OSError where nobody has connected.
    """
    with listener:
        listener.settimeout(within)
        found, _ = listener.accept()
        found.setblocking(True)
        return found
