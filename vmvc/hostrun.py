"""A command on this host -> how it ended and what it printed; it never outlives its deadline."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from vmvc.contract import Completed
from vmvc.errors import DeadlineExceeded

NOT_FOUND: Final = 127
_LOOK: Final = 0.05
"""Seconds between two looks at how much was printed."""


def _ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for the end; where the kernel tells of it, it is known at once."""
    if not hasattr(os, "pidfd_open"):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        return process.returncode is not None
    told = os.pidfd_open(process.pid)
    try:
        return bool(select.select([told], [], [], timeout)[0])
    finally:
        os.close(told)


def run(
    argv: Sequence[str], *, env: Mapping[str, str], timeout: float, stdin: bytes = b"", most: int = 2**20
) -> Completed:
    """Run a command without a shell, as an instance runs one inside.

    It and all of its process group are killed after ``timeout`` seconds, and when it has printed more than
    ``most`` bytes: then these and a little more are returned.

    Raises: DeadlineExceeded.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=given,
                stdout=out,
                stderr=err,
                env={**os.environ, **env},
                start_new_session=True,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            return Completed(NOT_FOUND, b"", f"{argv[0]}: {error.strerror}\n".encode())
        except OSError as error:
            return Completed(126, b"", f"{argv[0]}: {error.strerror}\n".encode())
        deadline = time.monotonic() + timeout
        try:
            while True:
                left = deadline - time.monotonic()
                if _ended(process, max(0.0, min(_LOOK, left))):
                    break
                if left <= 0:
                    raise DeadlineExceeded(f"'{argv[0]}' did not end within {timeout:g} s")
                if max(os.fstat(one.fileno()).st_size for one in (out, err)) > most:
                    break
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        printed = []
        for one in (out, err):
            one.seek(0)
            printed.append(one.read(most + 1))
        code = process.returncode
        return Completed(code if code >= 0 else 128 - code, *printed)
