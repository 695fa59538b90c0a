"""A view and a quantity -> a chart as SVG, PDF or PNG that a paper takes unchanged, and its data as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vmvc.errors import Fault, InputError
from vmvc.report import charts, data, tables
from vmvc.report.looks import Chart
from vmvc.report.view import View
from vmvc.wording import did_you_mean

FORMATS: Final = ("svg", "pdf", "png")
KINDS: Final = ("points", "ecdf", "order", "phases", "ratios", "fleet")
WIDTH: Final = 520
"""Width of a plot in pixels of 1/72 inch: a text column of A4."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn chart and what it shows."""

    image: bytes
    csv: str


def plot(view: View, key: str, kind: str, form: str) -> Plot:
    """Draw one quantity.

    Raises: InputError where the run has no such quantity, or no value of it.
    """
    chart, columns, rows = _chart(view, key, kind)
    chart["width"], chart["autosize"] = WIDTH, {"type": "fit-x", "contains": "padding"}
    chart["config"]["background"] = "white"
    chart["config"]["font"] = "Helvetica, Arial, sans-serif"
    return Plot(_draw(chart, form), tables.points_csv(rows, columns))


def _chart(view: View, key: str, kind: str) -> tuple[Chart, Sequence[str], Sequence[data.Row]]:
    if kind == "phases":
        return _phases(view)
    if kind == "fleet":
        return _fleet(view)
    quantity = view.quantity(key)
    if quantity is None:
        known = [one.key for one in view.quantities]
        told = f"--metric {key}: the run does not measure it"
        raise InputError(Fault(told, hint=did_you_mean(key, known)))
    if not any(cell.row.n for cell in view.row(key)):
        reason = next((cell.reason for cell in view.row(key) if cell.reason), "not measured")
        raise InputError(Fault(f"--metric {key}: the run has no value of it ({reason})"))
    if kind == "ratios":
        return _ratios(view, key)
    names = {one.label: one.id for one in view.conditions}
    unit = quantity.unit

    def values(rows: list[data.Row], *more: str) -> tuple[Sequence[str], list[data.Row]]:
        raw = [
            {"condition": names[row["c"]], "quantity": key, "value": row["raw"], "unit": unit}
            | {"trial": row.get("t"), **{name: row[name] for name in more}}
            for row in rows
        ]
        return ("condition", "quantity", "trial", *more, "value", "unit"), raw

    match kind:
        case "ecdf":
            rows = data.steps(view, key)
            chart = charts.with_data(
                charts.ecdf(view.conditions, log=quantity.log), quantity.title, steps=rows
            )
            return chart, *values(rows, "p")
        case "order":
            rows = data.order(view, key)
            chart = charts.with_data(
                charts.order(view.conditions, log=quantity.log), quantity.title, points=rows
            )
            return chart, *values(rows, "warm")
        case _:
            rows = data.points(view, key)
            chart = charts.with_data(
                charts.points(view.conditions, log=quantity.log), quantity.title,
                points=rows, medians=data.medians(view, key), missing=data.missing(view, [key]),
            )  # fmt: skip
            return chart, *values(rows)


def _phases(view: View) -> tuple[Chart, Sequence[str], Sequence[data.Row]]:
    if not view.phases:
        raise InputError(Fault("--kind phases: no trial of this run became ready"))
    unit, bars, ends = data.phases(view)
    labels = [one.label for one in view.conditions if any(row["c"] == one.label for row in ends)]
    chart = charts.with_data(
        charts.waterfall(labels, [row["phase"] for row in bars], unit, max(row["end"] for row in ends)),
        "",
        phases=bars,
        ends=ends,
    )
    names = {one.label: one.id for one in view.conditions}
    rows = [
        {
            "condition": names[one.condition],
            "phase": one.name,
            "begin": one.begin,
            "end": one.end,
            "unit": "s",
            "n": one.n,
        }
        for one in view.phases
    ]
    return chart, ("condition", "phase", "begin", "end", "unit", "n"), rows


def _ratios(view: View, key: str) -> tuple[Chart, Sequence[str], Sequence[data.Row]]:
    drawn, rows = data.ratios(view, [key])
    if not rows:
        reason = next(
            (one.reason for one in view.ratios if one.key == key and one.reason), "no other condition"
        )
        raise InputError(Fault(f"--kind ratios: there is no ratio of {key} to the baseline ({reason})"))
    chart = charts.with_data(charts.ratios(view.conditions, drawn), "", ratios=rows)
    columns = ("condition", "baseline", "quantity", "ratio", "ratio_low", "ratio_high")
    told = [
        {"quantity": key, **{name: getattr(one.row, name) for name in columns if name != "quantity"}}
        for one in view.ratios
        if one.key == key and one.row.ratio is not None
    ]
    return chart, columns, told


def _fleet(view: View) -> tuple[Chart, Sequence[str], Sequence[data.Row]]:
    """Draw what the host has less with each further instance, with the slope and the ends of its interval."""
    found = {what: (title, rows, lines) for what, title, rows, lines in data.fleets(view)}
    if "taken" not in found:
        raise InputError(Fault("--kind fleet: no trial of this run let a fleet grow (metric density)"))
    title, rows, lines = found["taken"]
    drawn = charts.fleet(view.conditions, title, sloped=bool(lines))
    names = {one.label: one.id for one in view.conditions}
    told = [
        {"condition": names[one.condition], "instance": one.instance, "n": one.n, "median": one.median,
         "min": one.low, "max": one.high, "unit": one.unit}
        for one in view.fleets
        if one.what == "taken"
    ]  # fmt: skip
    columns = ("condition", "instance", "n", "median", "min", "max", "unit")
    return charts.with_data(drawn, "", grown=rows, lines=lines), columns, told


def _draw(chart: Chart, form: str) -> bytes:
    import vl_convert

    drawers: dict[str, Callable[[Chart], bytes | str]] = {
        "svg": vl_convert.vegalite_to_svg,
        "pdf": vl_convert.vegalite_to_pdf,
        "png": lambda one: vl_convert.vegalite_to_png(one, ppi=300),
    }
    drawn = drawers[form](chart)
    return drawn.encode() if isinstance(drawn, str) else drawn
