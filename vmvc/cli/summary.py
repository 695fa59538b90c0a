"""A summary -> a table for people: quantities down, conditions across where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from vmvc.cli.text import plain, write
from vmvc.records import Comparison, FindingRecord, StopRecord, Summary, SummaryRow
from vmvc.stopping import says
from vmvc.trial import IMAGE_THERE
from vmvc.units import show

WIDE: Final = 5
"""Up to so many conditions stand side by side; more are listed one under the other."""


def print_summary(summary: Summary, folder: Path) -> None:
    """Print medians, their intervals where n allows one, and what is missing and why."""
    click.echo(
        f"\n{summary.name}: {summary.measured} of {summary.trials} trials measured"
        + (f", {summary.failed} failed" if summary.failed else "")
    )
    rows = [row for row in summary.rows if row.n or not row.reason.endswith(IMAGE_THERE)]
    conditions = list(dict.fromkeys(row.condition for row in rows))
    if len(conditions) <= WIDE:
        cells = {(row.metric, row.quantity, row.condition): _cell(row) for row in rows}
        quantities = list(dict.fromkeys((row.metric, row.quantity) for row in rows))
        table = [
            [
                f"{metric}.{quantity}",
                *(cells.get((metric, quantity, condition), "-") for condition in conditions),
            ]
            for metric, quantity in quantities
        ]
        write(["median [95% interval]", *conditions], table, right=conditions)
    else:
        listed = [[row.condition, f"{row.metric}.{row.quantity}", _cell(row)] for row in rows]
        write(["condition", "quantity", "median [95% interval]"], listed, right=["median [95% interval]"])
    _print_stops(summary.stops)
    _print_comparisons(summary)
    _print_missing(rows)
    _print_findings(summary.findings)
    click.echo(f"\nresults: {folder}")


def _cell(row: SummaryRow) -> str:
    if row.median is None:
        return "-"
    if row.low is None or row.high is None:
        return f"{show(row.median, row.unit)} (n={row.n})"
    return f"{show(row.median, row.unit)} [{show(row.low, row.unit)}, {show(row.high, row.unit)}]"


def _print_comparisons(summary: Summary) -> None:
    """Print ratios to the baseline of what can be better or worse; the rest stays in summary.json."""
    lines = [
        [f"{one.metric}.{one.quantity}", one.condition, _ratio(one), _chance(one.p_adjusted)]
        for one in summary.comparisons
        if one.better != "neutral" and (one.ratio is not None or one.p is not None)
    ]
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


def _print_stops(stops: Sequence[StopRecord]) -> None:
    """Print what the stop rule decided; where it ended without success, the findings say so."""
    precise = [stop for stop in stops if stop.reason == "precise"]
    if precise:
        click.echo("\nstopped:")
    for stop in precise:
        click.echo(plain(f"  {stop.condition}: {says(stop)}"))


def _print_findings(findings: Sequence[FindingRecord]) -> None:
    """Print what may spoil the numbers beside them; what is only worth knowing stays in the files."""
    serious = [finding for finding in findings if finding.severity != "info"]
    if serious:
        click.echo("\nfindings:")
    for finding in serious:
        click.echo(plain(f"  {finding.severity}: {finding.what}"))


def _print_missing(rows: list[SummaryRow]) -> None:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault((row.condition, row.reason), []).append(f"{row.metric}.{row.quantity}")
    if reasons:
        click.echo("\nmissing:")
    for (condition, reason), quantities in reasons.items():
        what = ", ".join(quantities) if len(quantities) <= 4 else f"{len(quantities)} quantities"
        click.echo(plain(f"  {condition}: {what}: {reason}"))
