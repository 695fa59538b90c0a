"""The registry and the image cache -> what an experiment may name."""

from __future__ import annotations

import json

import click

from vmvc import registry
from vmvc.cli.image_command import print_images
from vmvc.cli.text import write
from vmvc.errors import EngineError


@click.command("list")
@click.argument("what", type=click.Choice(["backends", "metrics", "images"]))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(what: str, as_json: bool) -> None:
    """List backends with their options, metrics with their quantities, or images in the cache."""
    if what == "images":
        print_images(as_json)
        return
    columns, rows = _backends() if what == "backends" else _metrics()
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
    else:
        write(columns, rows)


def _backends() -> tuple[list[str], list[list[str]]]:
    rows = []
    for kind in registry.backend_kinds():
        try:
            found = registry.backend_class(kind)
        except EngineError as error:
            rows.append([kind, "-", "-", f"{error.what}; {error.hint}"])
            continue
        rows.append(
            [kind, found.isolation.value, ", ".join(found.options_model.model_fields) or "-", found.says]
        )
    return ["backend", "isolation", "options", "says"], rows


def _metrics() -> tuple[list[str], list[list[str]]]:
    rows = []
    for name in registry.metric_names():
        try:
            found = registry.metric_class(name)
        except EngineError as error:
            rows.append([name, "-", "-", f"{error.what}; {error.hint}"])
            continue
        rows += [[f"{name}.{one.name}", one.unit, one.better, one.says] for one in found.quantities]
    return ["quantity", "unit", "better", "says"], rows
