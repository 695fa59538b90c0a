"""A bundle that was run again -> how the new run stands beside the one in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from vmvc.cli import progress
from vmvc.errors import ExitCode, ResultsError
from vmvc.execution import Finished
from vmvc.unpacking import Unpacked


@dataclass(frozen=True, slots=True)
class Again:
    """A bundle's file, and what was unpacked of it."""

    file: Path
    bundle: Unpacked


def compare(again: Again, finished: Finished, style: progress.Style, fail_on: str | None) -> int:
    """Print the comparison with the bundle's run, and return the exit code that it calls for.

    A run that has nothing in common with it (all trials failed, say) is told, and is no error of its own.
    """
    from vmvc import comparing
    from vmvc.cli.compare_command import print_run

    try:
        compared = comparing.compare([again.bundle.run, finished.folder])
    except ResultsError as error:
        click.echo(f"warning: not compared with {again.file}: {error}", err=True)
        return ExitCode.MEASURED
    if style is progress.Style.JSON:
        click.echo(compared.model_dump_json(exclude_none=True))
    elif style is not progress.Style.QUIET:
        click.echo(f"\ncompared with the run in {again.file}:")
        for run in compared.runs:
            print_run(compared, run)
    count = comparing.worse(compared)
    if fail_on is None or not count:
        return ExitCode.MEASURED
    click.echo(f"{count} {'quantity is' if count == 1 else 'quantities are'} worse", err=True)
    return ExitCode.WORSE
