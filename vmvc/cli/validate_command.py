"""Experiment files -> every fault, or one line each that says they are good."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import load
from vmvc.errors import Fault, InputError


@click.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
def command(files: tuple[Path, ...]) -> None:
    """Check experiment FILES and list every fault; runs nothing.

    Exit code 0 where all are good, else 2.
    """
    faults: list[Fault] = []
    for file in files:
        try:
            experiment = load.read(file).experiment
        except InputError as error:
            faults += error.faults
        else:
            click.echo(f"{file}: good: {experiment.name}")
    if faults:
        raise InputError(faults)
