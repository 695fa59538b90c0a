"""A run's folder -> the lesson's tables, filled from its records."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import explain
from vmvc.cli.text import plain
from vmvc.report import explained
from vmvc.runs import newest


@click.command("explain")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the tables as JSON.")
def command(run: Path, as_json: bool) -> None:
    """Print the lesson's tables for the host of RUN as Markdown: layers, costs and mechanisms.

    Each cell is what the run has recorded, with its source, or why it is absent. An experiment's folder
    stands for its newest run.
    """
    found = explain.explained(newest(run))
    if as_json:
        click.echo(found.model_dump_json(exclude_none=True, indent=1))
    else:
        click.echo(plain(explained.markdown(found)), nl=False)
