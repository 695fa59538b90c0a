"""A run's folder and a quantity -> a plot for a paper, with its data beside it."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import report
from vmvc.cli.options import force_option, refuse_existing
from vmvc.report import plot
from vmvc.runs import newest
from vmvc.wording import listed


@click.command("plot")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--metric", "key", default="startup.ready", show_default=True, metavar="METRIC.QUANTITY",
    help="What to draw.",
)  # fmt: skip
@click.option(
    "--kind", type=click.Choice(plot.KINDS), default="points", show_default=True,
    help="Every point, their distribution, their order, ratios to the baseline; or, of no quantity in "
    "particular, the phases of the start-up, or the memory that a growing fleet takes.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(plot.FORMATS),
    help="Form of the plot; by default that of the output's name, else svg.",
)  # fmt: skip
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it; its data goes beside it, as CSV. By default METRIC.QUANTITY-KIND.FORMAT here.",
)
@force_option
def command(run: Path, key: str, kind: str, form: str | None, output: Path | None, force: bool) -> None:
    """Draw one quantity of RUN, a run's folder; an experiment's folder stands for its newest run."""
    form = form or _form(output)
    name = {"phases": "startup", "fleet": "density"}.get(kind, key)
    output = output or Path(f"{name}-{kind}.{form}")
    beside = output.with_name(f"{output.stem if output.suffix else output.name}.csv")
    if output == beside:
        raise click.UsageError(f"--output {output}: its data goes there; name the plot otherwise")
    refuse_existing([output, beside], force)
    drawn = plot.plot(report.view_of(newest(run)), key, kind, form)
    report.write_file(output, drawn.image)
    report.write_file(beside, drawn.csv)
    click.echo(f"{output}\n{beside}")


def _form(output: Path | None) -> str:
    """Return the form that the file's name asks for."""
    if output is None:
        return "svg"
    form = output.suffix.removeprefix(".")
    if form not in plot.FORMATS:
        raise click.UsageError(
            f"--output {output}: expected a file that ends in {listed([f'.{one}' for one in plot.FORMATS])}, "
            "or --format"
        )
    return form
