"""A run's folder -> one file to hand on."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc.cli.options import force_option, refuse_bundle, refuse_existing
from vmvc.cli.text import plain
from vmvc.runs import newest
from vmvc.units import parse_size


def _size(context: click.Context, option: click.Parameter, given: str) -> int:
    try:
        return parse_size(given)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {given!r}") from error


@click.command("bundle")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", required=True,
    help="The file to write, a ZIP file.",
)  # fmt: skip
@click.option("--author", "authors", multiple=True, metavar="NAME", help="Who made the run; may be repeated.")
@click.option("--licence", default="", metavar="SPDX", help="Licence of the run, such as CC-BY-4.0.")
@click.option(
    "--largest", default="64MiB", show_default=True, metavar="SIZE", callback=_size,
    help="Up to which size a file that the experiment names comes along; else its digest.",
)  # fmt: skip
@click.option(
    "--as-it-is",
    is_flag=True,
    help="Also a run that is unfinished, edited or without a success; the bundle says so.",
)
@force_option
def command(
    run: Path, output: Path, authors: tuple[str, ...], licence: str, largest: int, as_it_is: bool, force: bool
) -> None:
    """Pack RUN, a run's folder, into one file: a Process Run Crate that can be checked and run again.

    An experiment's folder stands for its newest run. `vmvc run FILE` runs it again and compares.
    """
    from vmvc import bundle

    refuse_existing([output], force)
    refuse_bundle(run, "is a bundle already", "give the folder of a run")
    made = bundle.make(
        newest(run), output, authors=authors, licence=licence, as_it_is=as_it_is, largest=largest
    )
    for one in made.doubts:
        click.echo(plain(f"warning: {one.where}: {one.what}"), err=True)
    for left in made.left:
        click.echo(plain(f"warning: {left.where}: {left.path} is not in the bundle: {left.reason}"), err=True)
    if not licence:
        click.echo("note: the bundle states no licence; add --licence, such as CC-BY-4.0", err=True)
    click.echo(made.path)
