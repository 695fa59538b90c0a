"""A view -> the rows of its charts, for the page and for ``vmvc plot``; of too many values, quantiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final

from vmvc.report.amount import scale
from vmvc.report.figures import Series
from vmvc.report.material import MOST_TRIALS
from vmvc.report.view import ACCOUNTS, Quantity, View
from vmvc.units import show

QUANTILES: Final = 200
"""Marks that stand for a condition's values where there are too many to draw each."""
BINS: Final = 60
"""Stretches of a long run of which the order chart shows the median each."""
GOLDEN: Final = 0.618033988749895
"""Multiples of it, modulo 1, spread evenly: a jitter without chance. Source: Weyl (1916)."""

Row = dict[str, Any]


def aggregated(view: View) -> bool:
    """Say whether there are too many trials to draw each one."""
    return view.recorded > MOST_TRIALS


def points(view: View, key: str) -> list[Row]:
    """Return a row a value (``t``: its trial), or a row a quantile where there are too many."""
    quantity, rows = _quantity(view, key), []
    for condition in view.conditions:
        series = view.series.get((condition.id, key), Series((), ()))
        marks = (
            _quantiles(series.values) if aggregated(view) else zip(series.trials, series.values, strict=True)
        )
        for number, (trial, value) in enumerate(marks):
            row = _row(condition.label, condition.backend, value, quantity)
            row["j"] = round((number * GOLDEN) % 1 * 2 - 1, 3)
            if trial:
                row["t"] = trial
            rows.append(row)
    return rows


def medians(view: View, key: str) -> list[Row]:
    """Return a row a condition: its median, and the ends of the interval where there is one.

    On a log axis an interval that reaches down to 0 is drawn from where the values begin; its words tell all.
    """
    quantity = _quantity(view, key)
    rows: list[Row] = []
    for cell in view.row(key):
        low, median, high = cell.row.low, cell.row.median, cell.row.high
        if median is None:
            continue
        row: Row = {"c": cell.label, "v": median / quantity.divisor, "text": cell.median}
        if low is not None and high is not None:
            begin = low if low > 0 or not quantity.log else _least(view, key)
            row |= {"low": begin / quantity.divisor, "high": high / quantity.divisor}
            row["text"] = f"{cell.median} [{cell.interval}]"
        rows.append(row)
    return rows


def missing(view: View, keys: Sequence[str]) -> list[Row]:
    """Return a row a condition that has no value of any of the quantities: why, in a few words."""
    rows = []
    for condition in view.conditions:
        cells = [view.cells[condition.id, key] for key in keys if (condition.id, key) in view.cells]
        if not any(cell.row.n for cell in cells):
            reason = next((cell.reason for cell in cells if cell.reason), "not measured")
            rows.append({"c": condition.label, "text": reason if len(reason) <= 90 else f"{reason[:88]}..."})
    return rows


def _least(view: View, key: str) -> float:
    """Return the smallest value of all: where a log axis begins."""
    return min(cell.row.min for cell in view.row(key) if cell.row.min is not None)


def steps(view: View, key: str) -> list[Row]:
    """Return the steps of each condition's distribution function, smallest value first."""
    quantity, rows = _quantity(view, key), []
    for condition in view.conditions:
        series = view.series.get((condition.id, key))
        values = sorted(series.values) if series else []
        kept = [value for _, value in _quantiles(values)] if aggregated(view) else values
        for number, value in enumerate(kept, 1):
            row = _row(condition.label, condition.backend, value, quantity)
            rows.append({**row, "p": number / len(kept), "share": f"{number / len(kept):.0%}"})
    return rows


def order(view: View, key: str) -> list[Row]:
    """Return values by their trial, warm-ups too; medians of stretches where there are too many."""
    quantity, rows = _quantity(view, key), []
    for condition in view.conditions:
        series = view.series.get((condition.id, key), Series((), ()))
        kinds = (
            ("warm-up", series.warm_trials, series.warm_values),
            ("measured", series.trials, series.values),
        )
        for warm, trials, values in kinds:
            marks = _bins(trials, values) if aggregated(view) else zip(trials, values, strict=True)
            for trial, value in marks:
                rows.append(
                    {**_row(condition.label, condition.backend, value, quantity), "t": trial, "warm": warm}
                )
    return rows


def phases(view: View) -> tuple[str, list[Row], list[Row]]:
    """Return the unit, a row a phase, and a row a condition that ends them."""
    unit, divisor = scale(max((one.end for one in view.phases), default=1.0), "s")
    bars: list[Row] = []
    ends: dict[str, Row] = {}
    for one in view.phases:
        told = f"{show(one.begin, 's')} to {show(one.end, 's')}"
        span = {"begin": one.begin / divisor, "end": one.end / divisor}
        bars.append({"c": one.condition, "phase": one.name, **span, "text": told})
        ends[one.condition] = {"c": one.condition, "end": one.end / divisor, "text": show(one.end, "s")}
    return unit, bars, list(ends.values())


def ratios(view: View, keys: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Return those of the quantities that have ratios, and a row a ratio that a log axis can show."""
    rows: list[Row] = []
    backends = {one.label: one.backend for one in view.conditions}
    for one in view.ratios:
        ratio, low, high = one.row.ratio, one.row.ratio_low, one.row.ratio_high
        if one.key not in keys or ratio is None or ratio <= 0:
            continue
        row: Row = {"k": one.key, "c": one.label, "b": backends[one.label], "v": ratio}
        row["text"] = f"{one.ratio} [{one.interval}]" if one.interval else one.ratio
        if low is not None and high is not None and low > 0:
            row |= {"low": low, "high": high}
        rows.append(row)
    return [key for key in keys if any(row["k"] == key for row in rows)], rows


def fleets(view: View) -> Iterator[tuple[str, str, list[Row], list[Row]]]:
    """Yield what fleets took: its name, the title of its axis, a row a condition and instance, and its lines.

    A line goes from the first instance to the last one by the slope that density measured, between the ends
    of the slope's interval.
    """
    backends = {one.label: one.backend for one in view.conditions}
    words = (("ready", "s", "time to ready"), ("taken", "B", "host memory taken since the first instance"))
    for what, unit, title in words:
        chosen = [one for one in view.fleets if one.what == what]
        if chosen:
            axis, divisor = scale(max(abs(one.high) for one in chosen), unit)
            rows = [
                {"c": one.condition, "b": backends[one.condition], "i": one.instance,
                 "v": one.median / divisor, "low": one.low / divisor, "high": one.high / divisor,
                 "text": show(one.median, unit)}
                for one in chosen
            ]  # fmt: skip
            yield (
                what,
                f"{title} ({axis})",
                rows,
                list(_lines(view, rows, divisor)) if what == "taken" else [],
            )


def _lines(view: View, rows: Sequence[Row], divisor: float) -> Iterator[Row]:
    for one in view.lines:
        last = max((row["i"] for row in rows if row["c"] == one.condition), default=1)
        if one.what != "memory" or last == 1:
            continue
        for instance in (1, last):
            row = {"c": one.condition, "b": "", "i": instance, "text": f"{one.text} [{one.interval}]"}
            ends = {"v": one.slope, "low": one.low, "high": one.high}
            yield row | {
                name: end * (instance - 1) / divisor for name, end in ends.items() if end is not None
            }


def parts(view: View, metric: str) -> Iterator[tuple[str, str, list[str], list[Row]]]:
    """Yield each account: its name, its unit, its parts and a row a part and condition."""
    listed = view.memory if metric == "memory" else view.disk
    for account, names in ACCOUNTS[metric].items():
        chosen = [one for one in listed if one.account == account]
        if not chosen:
            continue
        sums: dict[str, float] = {}
        for one in chosen:
            sums[one.condition] = sums.get(one.condition, 0.0) + abs(one.value)
        unit, divisor = scale(max(sums.values()), "B")
        order_of = dict(zip(names, count(), strict=False))
        rows = [
            {"c": one.condition, "part": one.name, "key": one.key, "v": one.value / divisor,
             "text": show(one.value, "B"), "order": order_of[one.name]}
            for one in chosen
        ]  # fmt: skip
        yield account, unit, [name for name in names if any(one.name == name for one in chosen)], rows


def _quantity(view: View, key: str) -> Quantity:
    quantity = view.quantity(key)
    assert quantity is not None, key
    return quantity


def _row(label: str, backend: str, value: float, quantity: Quantity) -> Row:
    return {
        "c": label,
        "b": backend,
        "v": value / quantity.divisor,
        "raw": value,
        "text": show(value, quantity.unit),
    }


def _quantiles(values: Sequence[float]) -> list[tuple[int, float]]:
    """Return values at evenly spread ranks, without trial numbers; all of them where they are few."""
    ordered = sorted(values)
    if len(ordered) <= QUANTILES:
        return [(0, value) for value in ordered]
    last = len(ordered) - 1
    return [(0, ordered[round(last * step / (QUANTILES - 1))]) for step in range(QUANTILES)]


def _bins(trials: Sequence[int], values: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Yield the middle trial and the median of each stretch."""
    size = -(-len(values) // BINS) or 1
    for begin in range(0, len(values), size):
        stretch = sorted(values[begin : begin + size])
        yield trials[begin + len(stretch) // 2], stretch[len(stretch) // 2]
