"""The models -> JSON Schemas and the dictionary of results, on stdout or in files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmvc import dictionary, schema


@click.command("schema")
@click.argument("name", type=click.Choice(sorted(schema.SCHEMAS)), default="experiment")
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write all of them into this folder, and the dictionary of results, RESULTS.md.",
)
@click.option(
    "--dictionary", "as_words", is_flag=True, help="Print the dictionary of results: every column and key."
)
def command(name: str, folder: Path | None, as_words: bool) -> None:
    """Print the JSON Schema of NAME: experiment, journal, run, summary, claims, compare or explain."""
    if folder is not None:
        for path in (*schema.write_schemas(folder), _write_dictionary(folder)):
            click.echo(path)
        return
    if as_words:
        click.echo(dictionary.dictionary(), nl=False)
        return
    click.echo(json.dumps(schema.SCHEMAS[name](), indent=2))


def _write_dictionary(folder: Path) -> Path:
    path = folder / "RESULTS.md"
    path.write_text(dictionary.dictionary(), encoding="utf-8")
    return path
