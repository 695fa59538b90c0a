"""A summary -> a table for people: quantities down, conditions across where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from vmvc.attempts import troubles
from vmvc.cli.text import plain, write
from vmvc.records_summary import Comparison, Summary, SummaryRow
from vmvc.stopping import says
from vmvc.trial import IMAGE_THERE
from vmvc.units import show

WIDE: Final = 5
"""Up to so many conditions stand side by side; more are listed one under the other."""


def print_summary(summary: Summary, folder: Path) -> None:
    """Print medians, their intervals where n allows one, and what is missing and why."""
    click.echo(f"\n{headline(summary)}")
    rows = rows_of(summary)
    conditions = list(dict.fromkeys(row.condition for row in rows))
    if len(conditions) <= WIDE:
        cells = {(row.metric, row.quantity, row.condition): cell(row) for row in rows}
        quantities = list(dict.fromkeys((row.metric, row.quantity) for row in rows))
        table = [
            [f"{metric}.{quantity}", *(cells.get((metric, quantity, one), "-") for one in conditions)]
            for metric, quantity in quantities
        ]
        write(["median [95% interval]", *conditions], table, right=conditions)
    else:
        listed = [[row.condition, f"{row.metric}.{row.quantity}", cell(row)] for row in rows]
        write(["condition", "quantity", "median [95% interval]"], listed, right=["median [95% interval]"])
    _print_lines("stopped", stops(summary))
    _print_comparisons(summary)
    _print_lines("missing", missing(rows))
    _print_lines("findings", findings(summary))
    click.echo(f"\nresults: {folder}")


def headline(summary: Summary) -> str:
    """Say in a line how the run went."""
    bad = troubles(summary.failed, summary.cleanup_failed)
    return f"{summary.name}: {summary.measured} of {summary.trials} trials measured{bad}"


def rows_of(summary: Summary) -> list[SummaryRow]:
    """Return the rows that say something: not those of an image that was there anyway."""
    return [row for row in summary.rows if row.n or not row.reason.endswith(IMAGE_THERE)]


def cell(row: SummaryRow) -> str:
    """Write a median with its interval, or with n where that allows none."""
    if row.median is None:
        return "-"
    if row.low is None or row.high is None:
        return f"{show(row.median, row.unit)} (n={row.n})"
    return f"{show(row.median, row.unit)} [{show(row.low, row.unit)}, {show(row.high, row.unit)}]"


def ratios(summary: Summary) -> list[list[str]]:
    """Return quantity, condition, ratio to the baseline and p of what can be better or worse.

    The rest stays in summary.json.
    """
    return [
        [f"{one.metric}.{one.quantity}", one.condition, _ratio(one), _chance(one.p_adjusted)]
        for one in summary.comparisons
        if one.better != "neutral" and (one.ratio is not None or one.p is not None)
    ]


def _print_comparisons(summary: Summary) -> None:
    lines = ratios(summary)
    if lines:
        click.echo(plain(f"\ncompared with {summary.baseline}:"))
        columns = ["quantity", "condition", "ratio of medians [95% interval]", "p (Holm)"]
        write(columns, lines, right=columns[2:])


def _ratio(one: Comparison) -> str:
    if one.ratio is None:
        return "-"
    if one.ratio_low is None or one.ratio_high is None:
        return f"{one.ratio:.3g} (n={min(one.n, one.baseline_n)})"
    return f"{one.ratio:.3g} [{one.ratio_low:.3g}, {one.ratio_high:.3g}]"


def _chance(p: float | None) -> str:
    if p is None:
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.2g}"


def stops(summary: Summary) -> list[str]:
    """Say what the stop rule decided; where it ended without success, the findings say so."""
    return [f"{stop.condition}: {says(stop)}" for stop in summary.stops if stop.reason == "precise"]


def findings(summary: Summary) -> list[str]:
    """Say what may spoil the numbers beside them; what is only worth knowing stays in the files."""
    return [f"{one.severity}: {one.what}" for one in summary.findings if one.severity != "info"]


def missing(rows: Sequence[SummaryRow]) -> list[str]:
    """Say which values are not there and why, those with the same reason together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault((row.condition, row.reason), []).append(f"{row.metric}.{row.quantity}")
    return [
        f"{condition}: {', '.join(names) if len(names) <= 4 else f'{len(names)} quantities'}: {reason}"
        for (condition, reason), names in reasons.items()
    ]


def _print_lines(title: str, lines: Sequence[str]) -> None:
    if lines:
        click.echo(f"\n{title}:")
    for line in lines:
        click.echo(plain(f"  {line}"))
