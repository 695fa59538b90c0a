"""An exception -> words on stderr and an exit code; never a traceback, unless it is asked for."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import click

from vmvc.errors import ExitCode, InputError, VmvcError


def explain(error: Exception) -> int | None:
    """Print what happened and return the exit code; ``None`` where VMVC_DEBUG asks for the traceback."""
    if os.environ.get("VMVC_DEBUG"):
        return None
    if isinstance(error, InputError):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, VmvcError):
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    place = traceback.extract_tb(error.__traceback__)[-1]
    click.echo(
        f"bug: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})\n"
        "  hint: run it again with VMVC_DEBUG=1 and report what it prints",
        err=True,
    )
    return ExitCode.BUG
