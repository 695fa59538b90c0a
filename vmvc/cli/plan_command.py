"""An experiment file -> its plan, for people or for machines."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from vmvc import existing, loading
from vmvc.cli.options import only_option, trials_option
from vmvc.cli.text import plain, write
from vmvc.estimate import estimate
from vmvc.loading import Loaded
from vmvc.needs import lacks
from vmvc.plan import Plan
from vmvc.planning import plan_of
from vmvc.power import costs_of, needs_of
from vmvc.runs import newest
from vmvc.units import format_percent, parse_percent, show, show_seconds


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Turn a percentage above 0% into a fraction."""
    if value is None:
        return None
    try:
        share = parse_percent(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {value!r}", ctx, param) from error
    if share == 0:
        raise click.BadParameter(f"expected a percentage above 0%, got {value!r}", ctx, param)
    return share


@click.command("plan")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@only_option
@trials_option
@click.option("--json", "as_json", is_flag=True, help="Print every trial as one JSON line, the plan first.")
@click.option("--limit", default=20, show_default=True, help="Trials to print for people; 0 for all.")
@click.option(
    "--results", "parent", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
    help="Folder of earlier runs, for the time estimate.",
)  # fmt: skip
@click.option(
    "--power", "pilot", type=click.Path(path_type=Path), metavar="RUN",
    help="Say how many trials give the wished interval, judging by this earlier run.",
)  # fmt: skip
@click.option(
    "--relative-ci", "wished", callback=_share, metavar="SHARE",
    help="Wished half-width of the median's 95% interval, as a share of the median: 5% if not given.",
)  # fmt: skip
def command(
    file: Path,
    only: tuple[str, ...],
    trials: int | None,
    as_json: bool,
    limit: int,
    parent: Path,
    pilot: Path | None,
    wished: float | None,
) -> None:
    """Print what FILE would run, in which order, and about how long it takes; runs nothing."""
    if pilot is None and wished is not None:
        raise click.UsageError("--relative-ci goes with --power RUN")
    loaded = loading.read(file)
    plan = plan_of(loaded, only=only, count=trials)
    for finding in lacks(loaded, plan):
        click.echo(f"{finding.severity.value}: {finding.what}\n  hint: {finding.remedy}", err=True)
    if pilot is not None:
        _print_power(loaded, plan, newest(pilot), 0.05 if wished is None else wished, as_json)
        return
    guess = estimate(loaded, plan, parent)
    if as_json:
        _print_lines(loaded.experiment.name, plan, guess.seconds)
        return
    settings = plan.settings
    at_most = "at most " if settings.until is not None else ""
    click.echo(
        f"{loaded.experiment.name}: {plan.condition_count:,} conditions x {at_most}{settings.most} trials"
        f" + {settings.warmup} warm-up = {at_most}{len(plan):,} trials,"
        f" {settings.order}, seed {settings.seed}"
    )
    if settings.until is not None:
        click.echo(
            f"a condition stops after the block in which the interval of {settings.until.metric} is within"
            f" {format_percent(settings.until.relative_ci)} of its median"
        )
    click.echo(
        f"{at_most or 'about '}{show_seconds(guess.seconds)} ({guess.basis});"
        " images are built or pulled before that\n"
    )
    for said in _machines(loaded, plan):
        click.echo(said)
    shown = limit or len(plan)
    rows = [
        [
            str(trial.number),
            f"{trial.block}{'w' if trial.warmup else ''}",
            trial.condition.id,
            ", ".join(trial.metrics),
        ]
        for trial in itertools.islice(plan, shown)
    ]
    write(["trial", "block", "condition", "metrics"], rows)
    if len(plan) > shown:
        click.echo(f"... and {len(plan) - shown:,} more (--limit 0 prints all)")


def _machines(loaded: Loaded, plan: Plan) -> Iterator[str]:
    """Say of each backend that runs a machine which exists already what that means."""
    told = set()
    for condition in plan.conditions:
        if condition.backend not in told:
            told.add(condition.backend)
            for finding in existing.findings(loaded.bind(condition.backend, condition.factors)[1]):
                yield plain(f"{finding.severity.value}: {condition.backend}: {finding.what}\n")


def _print_power(loaded: Loaded, plan: Plan, pilot: Path, wished: float, as_json: bool) -> None:
    needs = needs_of(loaded, plan, pilot, wished)
    costs = list(costs_of(loaded, needs, pilot, plan.only))
    if as_json:
        for line in (*map(asdict, needs), *map(asdict, costs)):
            click.echo(json.dumps({key: value for key, value in line.items() if value is not None}))
        return
    share = f"±{format_percent(wished)}"
    click.echo(f"{loaded.experiment.name}: trials for a median known within {share}, judging by {pilot}")
    click.echo("as uncertain as the pilot: of ten trials, it may be off by a factor of two\n")
    rows = [
        [
            need.quantity,
            need.condition,
            f"{need.n:,}",
            "-" if need.median is None else show(need.median, need.unit),
            "-" if need.now is None else f"±{need.now:.2%}",
            f"none: {need.reason}" if need.trials is None else f"{need.trials:,}",
        ]
        for need in needs
    ]
    columns = ["quantity", "condition", "n now", "median", "now", f"trials for {share}"]
    write(columns, rows, right=columns[2:5])
    click.echo()
    times = [
        [
            cost.quantity,
            "-" if cost.trials is None else f"{cost.trials:,}",
            "-" if cost.seconds is None else show_seconds(cost.seconds),
        ]
        for cost in costs
    ]
    columns = ["for every condition", "trials of each", "takes about"]
    write(columns, times, right=columns[1:])


def _print_lines(name: str, plan: Plan, seconds: float) -> None:
    settings = plan.settings
    about = {
        "experiment": name,
        "conditions": plan.condition_count,
        "trials": len(plan),
        "warmup": settings.warmup,
        "count": settings.most,
        **({"until": settings.until.model_dump()} if settings.until is not None else {}),
        "order": settings.order,
        "seed": settings.seed,
        "estimated_seconds": round(seconds, 1),
    }
    click.echo(json.dumps(about))
    for trial in plan:
        line = {
            "trial": trial.number,
            "block": trial.block,
            "position": trial.position,
            "warmup": trial.warmup,
            "backend": trial.condition.backend,
            "condition": trial.condition.id,
            "factors": dict(trial.condition.factors),
            "metrics": trial.metrics,
        }
        click.echo(json.dumps(line))
