"""A run's folder -> its results on the terminal, read from the journal."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import checksums, results
from vmvc.cli.options import refuse_bundle
from vmvc.cli.results import print_results, tell_changed
from vmvc.runs import newest


@click.command("show")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--rebuild", is_flag=True, help="Write every derived file anew, the reports too.")
@click.option("--all", "everything", is_flag=True, help="Print all, where a terminal shows one screen.")
def command(run: Path, as_json: bool, rebuild: bool, everything: bool) -> None:
    """Print the results of RUN, a run's folder; an experiment's folder stands for its newest run.

    Numbers come from the journal; a file that was changed since it was written is named.
    """
    if rebuild:
        refuse_bundle(run, "is a bundle, which is not written to", "leave --rebuild out")
    folder = newest(run)
    tell_changed(checksums.changed(folder))
    summary = results.rebuild(folder) if rebuild else results.summary_of(folder)
    if rebuild:
        from vmvc import report

        report.write(folder, summary)
    if as_json:
        click.echo(summary.model_dump_json(exclude_none=True, indent=1))
        return
    print_results(summary, folder, results.verdicts_of(folder), everything=everything)
