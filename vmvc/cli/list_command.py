"""The registry, the image cache and the results -> what an experiment may name, and the runs there are."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmvc import registry
from vmvc.cli.image_command import print_images
from vmvc.cli.text import write
from vmvc.errors import EngineError


@click.command("list")
@click.argument("what", type=click.Choice(["backends", "metrics", "images", "runs"]))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, metavar="DIR",
    help="Where the runs lie.",
)  # fmt: skip
def command(what: str, as_json: bool, results: Path) -> None:
    """List backends with their options, metrics with their quantities, images in the cache, or runs."""
    if what == "images":
        print_images(as_json)
        return
    if what == "runs":
        _print_runs(results, as_json)
        return
    columns, rows = _backends() if what == "backends" else _metrics()
    found: list[dict[str, object]] = [dict(zip(columns, row, strict=True)) for row in rows]
    quantities, named = _quantities() if what == "metrics" else ([], [])
    if as_json:
        for one in found if named else ():
            mine = (row for row in named if row[0].partition(".")[0].split(" ")[0] == one["metric"])
            one["quantities"] = [dict(zip(quantities, row, strict=True)) for row in mine]
        click.echo(json.dumps(found, indent=1))
        return
    write(columns, rows)
    if named:
        click.echo()
        write(quantities, named)


def _print_runs(folder: Path, as_json: bool) -> None:
    from vmvc.runs import overviews

    found = list(overviews(folder))
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json", exclude_none=True) for one in found], indent=1))
        return
    if not found:
        click.echo(f"{folder}: no runs", err=True)
        return
    columns = ["experiment", "run", "begun", "measured", "failed", "planned", "state", "verdicts"]
    rows = [
        [
            one.experiment,
            one.run,
            one.wall or "-",
            *("-" if count is None else str(count) for count in (one.measured, one.failed, one.planned)),
            f"{one.state}: {one.reason}" if one.reason else one.state,
            ", ".join(f"{count} {verdict}" for verdict, count in one.verdicts.items()) or "-",
        ]
        for one in found
    ]
    write(columns, rows, right=columns[3:6])


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
        fields = found.options_model.model_fields
        options = ", ".join(field.alias or key for key, field in fields.items()) or "-"
        rows.append([name, options, found.says, found.needs])
    return ["metric", "options", "says", "needs"], rows


def _quantities() -> tuple[list[str], list[list[str]]]:
    rows = []
    for name in registry.metric_names():
        try:
            found = registry.metric_class(name)
        except EngineError:
            continue  # Told beside its name already.
        told = {name: found.quantities}
        told |= {f"{name} {use}": one.quantities for use, one in found.presets().items()}
        for called, quantities in told.items():
            rows += [[f"{called}.{one.name}", one.unit, one.better, one.says] for one in quantities]
    return ["quantity", "unit", "better", "says"], rows
