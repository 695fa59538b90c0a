"""A run's folder -> where the run is, without asking the process that runs it."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import status
from vmvc.attempts import troubles
from vmvc.cli.text import plain
from vmvc.status import Status
from vmvc.units import show_seconds

_FINDINGS = 5
"""Findings that are listed; the rest are counted."""


@click.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(run: Path, as_json: bool) -> None:
    """Say where RUN is: a run's folder, also of a run that goes on in another terminal.

    An experiment's folder stands for its newest run. The run itself says the same on SIGUSR1.
    """
    found = status.read(status.place(run))
    if as_json:
        click.echo(found.model_dump_json(exclude_none=True, indent=1))
        return
    for line in _lines(found):
        click.echo(plain(line).replace("\n", " "))


def _lines(found: Status) -> list[str]:
    lines = [f"{found.experiment} {found.run}: {_state(found)}"]
    if found.planned is not None:
        bad = troubles(found.failed, found.cleanup_failed)
        lines.append(f"trials: {found.done} of {found.planned} done{bad}")
    if found.step:
        trial = f"trial {found.trial} {found.condition}: " if found.trial is not None else ""
        lasted = f" for {show_seconds(found.seconds)}" if found.seconds is not None else ""
        word = "now" if found.state == "running" else "last"
        lines.append(f"{word}: {trial}{found.step}{lasted}, since {found.since}")
    if found.left is not None:
        lines.append(f"left: about {show_seconds(found.left)}")
    if found.findings:
        lines.append("findings:")
        lines += [f"  {one.severity}: {one.what}" for one in found.findings[:_FINDINGS]]
        if len(found.findings) > _FINDINGS:
            lines.append(f"  ... and {len(found.findings) - _FINDINGS} more: vmvc status --json")
    if found.state in ("dead", "interrupted") and found.planned is not None:
        lines.append(f"hint: vmvc run --resume {found.folder}")
    return lines


def _state(found: Status) -> str:
    host, _, rest = found.owner.partition(":")
    pid = rest.partition(":")[0]
    match found.state:
        case "running":
            return f"running, process {pid}"
        case "dead":
            return f"its owner, process {pid}, is dead: it was killed"
        case "elsewhere":
            return f"run by process {pid} on {host}; from here nobody can see whether that lives"
        case "interrupted":
            return (
                "not running, not finished" if found.planned is not None else "not begun, and nobody runs it"
            )
        case _:
            return "finished"
