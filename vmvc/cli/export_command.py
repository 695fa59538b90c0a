"""A run's folder -> its tables as Parquet or CSV, for other programs."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from vmvc import durable
from vmvc.api import KINDS, Kind, Run, load
from vmvc.cli.options import force_option, refuse_existing
from vmvc.errors import StorageError
from vmvc.sheet import number


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True,
    help="Form of the files; Parquet needs polars.",
)  # fmt: skip
@click.option(
    "--table",
    "tables",
    type=click.Choice(KINDS),
    multiple=True,
    help="What to write; by default all of them.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR",
    help="Where to write TABLE.FORMAT; by default here.",
)  # fmt: skip
@force_option
def command(run: Path, form: str, tables: tuple[Kind, ...], output: Path, force: bool) -> None:
    """Write the tables of RUN, a run's folder; an experiment's folder stands for its newest run."""
    found = load(run)
    paths = {kind: output / f"{kind}.{form}" for kind in tables or KINDS}
    refuse_existing(list(paths.values()), force)
    try:
        output.mkdir(parents=True, exist_ok=True)
        for kind, path in paths.items():
            (_parquet if form == "parquet" else _csv)(found, kind, path)
            click.echo(path)
    except OSError as error:
        raise StorageError(
            f"{output}: cannot be written: {error.strerror}", hint="name another --output"
        ) from error


def _parquet(run: Run, kind: Kind, path: Path) -> None:
    frame = run.frame(kind, "polars")
    with durable.writing(path) as file:
        frame.write_parquet(file.buffer)


def _csv(run: Run, kind: Kind, path: Path) -> None:
    table = run.table(kind)
    with durable.writing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.types)
        writer.writerows([_cell(cell) for cell in row] for row in table.rows)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return number(value) if isinstance(value, float) else value
