"""A run's folder -> the verdicts on its claims, read from the journal."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import results
from vmvc.cli.options import strict_option
from vmvc.cli.verdicts import code_of, print_verdicts
from vmvc.runs import newest


@click.command("claims")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON, as in claims.json.")
@strict_option
def command(run: Path, as_json: bool, strict: bool) -> int:
    """Print what the numbers of RUN say of each claim; an experiment's folder stands for its newest run."""
    found = results.verdicts_of(newest(run))
    if as_json:
        click.echo(results.claims_json(found), nl=False)
    else:
        print_verdicts(found, spoilers=True)
    return code_of(found, strict)
