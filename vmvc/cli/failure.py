"""An exception -> words on stderr and an exit code; never a traceback, unless it is asked for."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import click

from vmvc.errors import ExitCode, InputError, VmvcError


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
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"bug: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    hint = "run it again with VMVC_DEBUG=1 and report what it prints"
    click.echo(plain(f"{said}\n  hint: {hint}"), err=True)
    return ExitCode.BUG
