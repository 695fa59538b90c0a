"""Runs' folders -> each beside the first: verdicts, what differs around them, and an exit code for CI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from vmvc import comparing
from vmvc.cli.compare_text import COLUMNS, NUMBERS, about, cells, markdown, shown
from vmvc.cli.options import force_option, refuse_existing
from vmvc.cli.text import plain, write
from vmvc.errors import ExitCode
from vmvc.records_compare import ComparedRun, ComparedRuns
from vmvc.runs import newest
from vmvc.units import parse_percent


def _tolerance(context: click.Context, option: click.Parameter, given: str) -> float:
    try:
        return parse_percent(given)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {given!r}") from error


@click.command("compare")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("others", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--tolerance", default="5%", show_default=True, metavar="SHARE", callback=_tolerance,
    help="By how much a median may differ and still be the same.",
)  # fmt: skip
@click.option("--fail-on", type=click.Choice(["worse"]), help="Exit with 1 where a quantity is worse.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--markdown", "output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write it as Markdown, too.",
)  # fmt: skip
@force_option
def command(
    reference: Path,
    others: Sequence[Path],
    tolerance: float,
    fail_on: str | None,
    as_json: bool,
    output: Path | None,
    force: bool,
) -> int:
    """Compare runs with REFERENCE, condition by condition and quantity by quantity.

    Each is a run's folder; an experiment's folder stands for its newest run.
    """
    if output is not None:
        refuse_existing([output], force)
    compared = comparing.compare([newest(folder) for folder in (reference, *others)], tolerance)
    if output is not None:
        from vmvc import report

        report.write_file(output, markdown(compared))
    if as_json:
        click.echo(compared.model_dump_json(exclude_none=True, indent=1))
    else:
        for run in compared.runs:
            print_run(compared, run)
    count = comparing.worse(compared)
    if fail_on is not None and count:
        click.echo(f"{count} {'quantity is' if count == 1 else 'quantities are'} worse", err=True)
        return ExitCode.WORSE
    return ExitCode.MEASURED


def print_run(compared: ComparedRuns, run: ComparedRun) -> None:
    """Print what was compared of one run: its rows, what only one side has, and what differs."""
    click.echo(plain("\n" + "\n".join(about(compared, run))))
    for note in run.notes:
        click.echo(plain(f"note: {note}"))
    write(COLUMNS, [cells(row) for row in run.rows], right=NUMBERS)
    if run.unmatched:
        click.echo("\nnot compared:")
        for one in run.unmatched:
            click.echo(plain(f"  {' '.join(filter(None, (one.condition, one.quantity)))}: {one.reason}"))
    if run.differences:
        click.echo("\ndiffers:")
        write(
            ["what", "reference", "other"],
            [[one.what, shown(one.reference), shown(one.other)] for one in run.differences],
        )
