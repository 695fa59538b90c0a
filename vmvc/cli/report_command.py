"""A run's folder -> its report: a page, Markdown or tables; a folder of results -> the index of its runs."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import checksums, report
from vmvc.cli.options import force_option, refuse_bundle, refuse_existing
from vmvc.cli.results import tell_changed
from vmvc.runs import holds_experiments, newest
from vmvc.wording import listed


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one file elsewhere: .html, .md, .tex or .csv; by default report.html and report.md in RUN.",
)
@force_option
def command(run: Path, output: Path | None, force: bool) -> None:
    """Draw the report of RUN, a run's folder; an experiment's folder stands for its newest run.

    A folder of results, with experiments in it, gets one page over all runs: index.html.
    """
    if holds_experiments(run):
        _index(run, output, force)
        return
    if output is not None:
        if output.suffix not in report.FORMS:
            raise click.UsageError(
                f"--output {output}: expected a file that ends in {listed(list(report.FORMS))}"
            )
        refuse_existing([output], force)
    else:
        refuse_bundle(run, "is a bundle, which is not written to", "add --output FILE")
    folder = newest(run)
    tell_changed(checksums.changed(folder))
    if output is None:
        for path in report.write(folder):
            click.echo(path)
        return
    report.write_file(output, report.FORMS[output.suffix](report.view_of(folder)))
    click.echo(output)


def _index(folder: Path, output: Path | None, force: bool) -> None:
    from vmvc.report import index

    if output is not None and output.suffix != ".html":
        raise click.UsageError(f"--output {output}: an index is a page; expected a file that ends in .html")
    path = output or folder / index.NAME
    if output is not None or index.is_foreign(path):
        refuse_existing([path], force)
    report.write_file(path, index.page_of(folder))
    click.echo(path)
