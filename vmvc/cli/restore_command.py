"""What a killed run left tuned -> the values that it had found."""

from __future__ import annotations

import click

from vmvc import tuning
from vmvc.cli.text import plain
from vmvc.errors import EngineError, ExitCode
from vmvc.tuning import End, Restored


@click.command("restore")
def command() -> int:
    """Put back the host's settings that a killed run had tuned, exactly as they were found.

    Never while that run lives. Every run does the same when it starts. What somebody changed since is left
    alone and named.
    """
    ends = tuning.restore()
    if ends is None:
        click.echo("nothing to put back: no run has left this host tuned")
    elif not ends:
        click.echo("nothing to put back: the host was started anew since, and has its own settings")
    for end in ends or ():
        click.echo(plain(_line(end)))
    if any(end.end is End.FAILED for end in ends or ()):
        raise EngineError("some settings could not be put back", hint="vmvc restore, as root")
    return ExitCode.MEASURED


def _line(end: Restored) -> str:
    path, found, now = end.change.path, _show(end.change.found), _show(end.now)
    match end.end:
        case End.RESTORED:
            return f"{path}: put back to {found}"
        case End.SAME:
            return f"{path}: is {found}, as it was found"
        case End.LEFT:
            wanted = _show(end.change.wanted)
            return f"{path}: left alone: it is {now}, vmvc had set {wanted} and found {found}"
        case End.GONE:
            return f"{path}: is no longer there"
        case End.FAILED:
            return f"{path}: could not be put back to {found}: {end.why}"


def _show(value: bytes) -> str:
    return value.decode(errors="replace").strip() or "empty"
