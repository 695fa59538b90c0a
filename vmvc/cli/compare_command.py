"""Runs' folders -> each beside the first: verdicts, what differs around them, and an exit code for CI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from vmvc import comparing, report
from vmvc.cli.options import force_option, refuse_existing
from vmvc.cli.text import plain, write
from vmvc.errors import ExitCode
from vmvc.records_compare import ComparedRun, ComparedRuns
from vmvc.report import compared_words as words
from vmvc.runs import newest
from vmvc.units import parse_percent
from vmvc.wording import listed


def _page(compared: ComparedRuns) -> str:
    from vmvc.report.compared import page

    return page(compared)


FORMS: Final[Mapping[str, Callable[[ComparedRuns], str]]] = {
    ".html": _page,
    ".md": words.markdown,
    ".json": words.as_json,
}
"""Suffix of a file -> what writes the comparison into it."""


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
    "--output", "outputs", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", multiple=True,
    help="Write it into a file, too: .html, .md or .json; may be repeated.",
)  # fmt: skip
@force_option
def command(
    reference: Path,
    others: Sequence[Path],
    tolerance: float,
    fail_on: str | None,
    as_json: bool,
    outputs: Sequence[Path],
    force: bool,
) -> int:
    """Compare runs with REFERENCE, condition by condition and quantity by quantity.

    Each is a run's folder; an experiment's folder stands for its newest run.
    """
    for output in outputs:
        if output.suffix not in FORMS:
            raise click.UsageError(f"--output {output}: expected a file that ends in {listed(list(FORMS))}")
    refuse_existing(outputs, force)
    compared = comparing.compare([newest(folder) for folder in (reference, *others)], tolerance)
    for output in outputs:
        report.write_file(output, FORMS[output.suffix](compared))
    if as_json:
        click.echo(words.as_json(compared), nl=False)
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
    click.echo(plain("\n" + "\n".join(words.about(compared, run))))
    for note in run.notes:
        click.echo(plain(f"note: {note}"))
    write(words.COLUMNS, [words.cells(row) for row in run.rows], right=words.NUMBERS)
    if run.unmatched:
        click.echo("\nnot compared:")
        for one in run.unmatched:
            click.echo(plain(f"  {' '.join(filter(None, (one.condition, one.quantity)))}: {one.reason}"))
    if run.differences:
        click.echo("\ndiffers:")
        write(
            ["what", "reference", "other"],
            [[one.what, words.shown(one.reference), words.shown(one.other)] for one in run.differences],
        )
