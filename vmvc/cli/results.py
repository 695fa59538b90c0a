"""What a run gave -> one screen on a terminal, everything elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from vmvc.cli.screen import print_screen
from vmvc.cli.summary import print_summary
from vmvc.cli.text import plain
from vmvc.cli.verdicts import print_verdicts
from vmvc.errors import Fault
from vmvc.records_claims import VerdictRecord
from vmvc.records_summary import Summary


def print_results(
    summary: Summary, folder: Path, verdicts: Sequence[VerdictRecord], *, everything: bool = False
) -> None:
    """Print summary, verdicts and findings: what fits a terminal, unless ``everything`` is asked for."""
    if sys.stdout.isatty() and not everything:
        size = shutil.get_terminal_size()
        print_screen(summary, folder, verdicts, size.columns, size.lines)
        return
    print_summary(summary, folder)
    if verdicts:
        click.echo("\nclaims:")
        print_verdicts(verdicts, spoilers=False)


def tell_changed(faults: Iterable[Fault]) -> None:
    """Say on stderr which files are not as they were written."""
    for fault in faults:
        click.echo(plain(f"warning: {fault}"), err=True)
