"""An experiment file -> its plan, for people or for machines."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import click

from vmvc import load
from vmvc.cli.options import only_option, trials_option
from vmvc.cli.text import write
from vmvc.estimate import estimate
from vmvc.plan import Plan
from vmvc.run import plan_of
from vmvc.units import format_percent, show_seconds


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
def command(
    file: Path, only: tuple[str, ...], trials: int | None, as_json: bool, limit: int, parent: Path
) -> None:
    """Print what FILE would run, in which order, and about how long it takes; runs nothing."""
    loaded = load.read(file)
    plan = plan_of(loaded, only=only, count=trials)
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
