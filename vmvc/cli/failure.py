"""An exception -> words on stderr and an exit code; never a traceback, unless it is asked for."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path
from typing import Final

import click

from vmvc.errors import ExitCode, InputError, VmvcError

_HOST: Final = {
    errno.EMFILE: ("this process may open no more files", "raise the limit: ulimit -n 256"),
    errno.ENFILE: (
        "this host may open no more files",
        "raise fs.file-max, or end what holds them open (lsof)",
    ),
    errno.ENOMEM: ("this host has no memory left", "end what takes it (top shows it)"),
    errno.ENOSPC: (
        "a disk is full",
        "make room; a run that was under way goes on with: vmvc run --resume RUN",
    ),
    errno.EROFS: ("a file system is read-only", "choose another folder with --results, VMVC_CACHE or TMPDIR"),
}
"""What the host, and no fault of vmvc's, can refuse at any place; and what to do about it."""


def is_unheard(error: BaseException | None) -> bool:
    """Say whether an error, or what it came from, is that nobody reads what is printed any more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EIO and error.filename is None:
            return True
        error = error.__cause__ or error.__context__
    return False


def explain(error: Exception) -> int | None:
    """Print what happened, without what could draw on the terminal, and return the exit code.

    ``None``: VMVC_DEBUG asks for the traceback instead.
    """
    if os.environ.get("VMVC_DEBUG"):
        return None
    from vmvc.cli.text import plain

    if isinstance(error, InputError):
        click.echo(plain(str(error)), err=True)
        return error.exit_code
    if isinstance(error, VmvcError):
        click.echo(plain(f"error: {error}"), err=True)
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _HOST:
        what, hint = _HOST[error.errno]
        click.echo(f"error: {what}: {error}\n  hint: {hint}", err=True)
        return ExitCode.ENGINE
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"bug: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    hint = "run it again with VMVC_DEBUG=1 and report what it prints"
    click.echo(plain(f"{said}\n  hint: {hint}"), err=True)
    return ExitCode.BUG
