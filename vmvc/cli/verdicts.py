"""Verdicts -> lines for people, and the exit code of `--strict`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vmvc.cli.text import plain
from vmvc.errors import ExitCode
from vmvc.records_claims import VerdictRecord


def print_verdicts(verdicts: Sequence[VerdictRecord], *, spoilers: bool) -> None:
    """Print each claim with its sentence; with ``spoilers`` also all that may spoil it, else the
    warnings' codes.
    """
    if not verdicts:
        click.echo("no claims")
        return
    for one in verdicts:
        click.echo(_line(f"{one.id}: {one.says}"))
        click.echo(_line(f"  {one.sentence}{'' if spoilers else doubts(one)}"))
        for finding in one.spoilers if spoilers else ():
            click.echo(_line(f"  {finding.severity}: {finding.what} ({finding.code})"))
            if finding.remedy:
                click.echo(_line(f"    hint: {finding.remedy}"))


def code_of(verdicts: Sequence[VerdictRecord], strict: bool) -> int:
    """Return the exit code that the verdicts call for."""
    refuted = any(one.verdict == "refuted" for one in verdicts)
    return ExitCode.CLAIM_REFUTED if strict and refuted else ExitCode.MEASURED


def doubts(verdict: VerdictRecord) -> str:
    """Name in brackets the warnings that may spoil a verdict; empty where there is none."""
    codes = ", ".join(dict.fromkeys(one.code for one in verdict.spoilers if one.severity != "info"))
    return f" [{codes}]" if codes else ""


def _line(text: str) -> str:
    """Keep what an experiment says on one line."""
    return plain(text).replace("\n", " ")
