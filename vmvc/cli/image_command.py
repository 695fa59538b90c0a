"""Images: build what an experiment needs ahead of its run, list the cache, remove from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from vmvc import images, loading
from vmvc.cli import progress
from vmvc.cli.options import only_option
from vmvc.cli.text import plain, write
from vmvc.execution import prepare_only
from vmvc.planning import plan_of
from vmvc.units import show_bytes


@click.group("image")
def command() -> None:
    """Build, list or remove images; they are cached by content and built once."""


@command.command("build")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@only_option
def build(file: Path, only: tuple[str, ...]) -> None:
    """Build every image of the experiment FILE for each of its backends, so that a run starts at once."""
    loaded = loading.read(file)
    plan = plan_of(loaded, only=only)
    with progress.watcher(progress.Style.LINES) as watcher:
        prepared = prepare_only(loaded, plan, watcher)
    for condition, one in prepared.items():
        digest = next(
            (str(value) for name, value in one.facts.items() if name.endswith("digest") and value), ""
        )
        click.echo(f"{condition}: ready {digest}".rstrip())


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_images(as_json: bool) -> None:
    """List the images in the cache, the most recently used first."""
    print_images(as_json)


@command.command("remove")
@click.argument("which", metavar="DIGEST|all")
def remove(which: str) -> None:
    """Remove the image whose digest begins with DIGEST, or all; a run that needs one builds it again."""
    removed = images.remove(which)
    for digest in removed.digests:
        click.echo(f"removed {digest[:12]}")
    click.echo(f"{len(removed.digests)} removed, {show_bytes(removed.bytes)} freed")
    for reason in removed.left:
        click.echo(f"left: {plain(reason)}", err=True)


def print_images(as_json: bool) -> None:
    """Print what the cache holds."""
    entries = images.cached()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=1))
        return
    rows = [
        [
            entry.digest[:12],
            entry.recipe,
            show_bytes(entry.bytes),
            datetime.fromtimestamp(entry.last_used, UTC).strftime("%Y-%m-%d %H:%M"),
            ", ".join(entry.renderings),
        ]
        for entry in entries
    ]
    write(["digest", "recipe", "size", "last used (UTC)", "renderings"], rows, right=["size"])
