"""Experiment files, runs' folders and bundles -> every fault, or one line each that says they are good."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import loading, unpacking
from vmvc.cli.text import plain
from vmvc.errors import Fault, InputError


@click.command("validate")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
def command(paths: tuple[Path, ...]) -> None:
    """Check experiment files, and the folders or bundles of runs, and list every fault.

    Runs nothing.

    Exit code 0 where all are good, else 2.
    """
    faults: list[Fault] = []
    for path in paths:
        found = _faults(path)
        if not found:
            click.echo(plain(f"{path}: good"))
        faults += found
    if faults:
        raise InputError(faults)


def _faults(path: Path) -> list[Fault]:
    try:
        if unpacking.is_bundle(path):
            path = unpacking.temporary(path)
        if (path / "journal.jsonl").exists():
            from vmvc.audit import audit

            return list(audit(path))
        loading.read(path)
    except InputError as error:
        return list(error.faults)
    return []
