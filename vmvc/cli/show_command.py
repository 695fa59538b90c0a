"""A run's folder -> its table on the terminal, read from the journal."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import results
from vmvc.cli.options import refuse_bundle
from vmvc.cli.summary import print_summary
from vmvc.cli.verdicts import print_verdicts
from vmvc.runs import newest


@click.command("show")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--rebuild", is_flag=True, help="Write every derived file anew, the reports too.")
def command(run: Path, as_json: bool, rebuild: bool) -> None:
    """Print the results of RUN, a run's folder; an experiment's folder stands for its newest run."""
    if rebuild:
        refuse_bundle(run, "is a bundle, which is not written to", "leave --rebuild out")
    folder = newest(run)
    summary = results.rebuild(folder) if rebuild else results.summary_of(folder)
    if rebuild:
        from vmvc import report

        report.write(folder, summary)
    if as_json:
        click.echo(summary.model_dump_json(exclude_none=True, indent=1))
        return
    print_summary(summary, folder)
    found = results.verdicts_of(folder)
    if found:
        click.echo("\nclaims:")
        print_verdicts(found, spoilers=False)
