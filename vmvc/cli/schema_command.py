"""The models -> JSON Schemas, on stdout or in files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmvc import schema


@click.command("schema")
@click.argument("name", type=click.Choice(sorted(schema.SCHEMAS)), default="experiment")
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write all of them into this folder.",
)
def command(name: str, folder: Path | None) -> None:
    """Print the JSON Schema of NAME: experiment, journal, summary, claims or compare."""
    if folder is not None:
        for path in schema.write_schemas(folder):
            click.echo(path)
        return
    click.echo(json.dumps(schema.SCHEMAS[name](), indent=2))
