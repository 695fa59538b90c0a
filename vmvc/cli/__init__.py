"""The ``vmvc`` command: the only place that prints or exits.

Commands are imported when they are called, so ``vmvc --help`` costs little more than click itself.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

COMMANDS: Final = {
    "validate": "Check experiment files or runs and list every fault.",
    "plan": "Print what would run, in which order, and about how long it takes.",
    "run": "Run experiments, or take up an interrupted run.",
    "status": "Say where a run is, also one in another terminal.",
    "show": "Print the results of a run.",
    "claims": "Print what a run's numbers say of each claim.",
    "explain": "Print the lesson's tables, filled from what a run has recorded.",
    "compare": "Compare runs with a reference.",
    "report": "Draw a run's report: a page, Markdown or tables.",
    "plot": "Draw one quantity of a run for a paper.",
    "export": "Write a run's tables as Parquet or CSV.",
    "bundle": "Pack a run into one file to hand on.",
    "doctor": "Say what works on this machine, what does not, and what cures it.",
    "schema": "Print or write the JSON Schemas.",
    "list": "List backends, metrics, images or runs.",
    "image": "Build, list or remove images.",
    "clean": "Remove what dead runs left behind.",
    "restore": "Put back the host's settings that a killed run had tuned.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports each one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"vmvc.cli.{cmd_name}_command").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(f"no command '{args[0]}'" + (f"; did you mean '{close[0]}'?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all measured, 1 some trials failed (or, with --strict, a claim is refuted; with "
    "--fail-on, a quantity is worse), 2 the input is wrong, 3 an engine is missing or unusable, 4 a bug, "
    "130 interrupted and resumable.",
)
@click.version_option(package_name="vmvc", message="vmvc %(version)s")
def cli() -> None:
    """Virtual machine versus container: declarative experiments on real engines."""


def main() -> None:
    """Run the command line and exit with the code that the README lists."""
    sys.exit(_code())


def _code() -> int:
    try:
        result = cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _interrupted()
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        from vmvc.cli.failure import explain, is_unheard

        if is_unheard(error):
            return _unheard()
        code = explain(error)
        if code is None:
            raise
        return code
    return int(result) if isinstance(result, int) else 0


def _unheard() -> int:
    """End without another word: the terminal is gone, and a flush at the exit would fail as well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return 130


def _interrupted() -> int:
    click.echo("interrupted", err=True)
    return 130
