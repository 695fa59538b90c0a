"""Labels and colours -> Vega-Lite charts over named data: the page and ``vmvc plot`` draw the same ones.

A chart holds no data: its data sets are given beside it, by name (``with_data``), so that one chart serves
every quantity. ``TITLE`` stands for the title of the value axis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmvc.report.looks import INK, MUTED, Chart, finish, label_axis, legend, tip, value_axis
from vmvc.report.phases import names
from vmvc.report.view import Condition

Rows = Sequence[Mapping[str, object]]

TITLE: Final = "@value-axis"
PHASE_COLOURS: Final = (
    *("#9ecae9", "#0072b2", "#f2b45c", "#56b4e9", "#b07aa1", "#e7c400", "#009e73", "#d55e00", "#7a7a7a"),
)
"""One a phase, in the order of ``phases.names``; a phase beyond them begins again."""
PART_COLOURS: Final = ("#0072b2", "#e69f00", "#56b4e9", "#cc79a7")
STEP: Final = 36
"""Height of a condition's row in pixels."""
MOST_LINES: Final = 8
"""Conditions up to which each one has a colour and a line of its own."""


def waterfall(labels: Sequence[str], phases: Sequence[str], axis: str, longest: float) -> Chart:
    """Return bars of phases, one row a condition. Data: ``phases`` (c, phase, begin, end, text), ``ends``.

    ``phases``: those that there are; ``longest``: the end of the longest bar; there is room for its words.
    """
    import altair as alt

    y = _conditions(labels)
    every = dict.fromkeys([*names(), *phases])
    known = {name: PHASE_COLOURS[place % len(PHASE_COLOURS)] for place, name in enumerate(every)}
    shown = [name for name in known if name in phases]
    bars = (
        alt.Chart(alt.NamedData("phases"))
        .mark_bar(height=18)
        .encode(
            x=alt.X(
                "begin:Q",
                title=f"time since the request, median ({axis})",
                scale=alt.Scale(domain=[0, longest * 1.08]),
                axis=value_axis(False),
            ),
            x2="end:Q",
            y=y,
            color=alt.Color(
                "phase:N",
                scale=alt.Scale(domain=shown, range=[known[name] for name in shown]),
                legend=legend("phase", columns=4),
            ),
            tooltip=[tip("c", "condition"), tip("phase", "phase"), tip("text", "from, to")],
        )
    )
    ends = (
        alt.Chart(alt.NamedData("ends"))
        .mark_text(align="left", dx=6, color=INK)
        .encode(x="end:Q", y=y, text="text:N")
    )
    return finish(alt.layer(bars, ends), STEP * len(labels))


def points(conditions: Sequence[Condition], *, log: bool) -> Chart:
    """Return a strip of every value with median and interval.

    Data: ``points`` (c, v, t, j, text), ``medians`` (c, v, low, high, text), ``missing`` (c, text).
    """
    import altair as alt

    y, x = _conditions([one.label for one in conditions]), _values(log)
    dots = (
        alt.Chart(alt.NamedData("points"))
        .mark_circle(size=34, opacity=0.55, cursor="pointer")
        .encode(
            x=x,
            y=y,
            yOffset=alt.YOffset("j:Q", scale=alt.Scale(domain=[-1.8, 1.8])),
            color=_colour(conditions),
            tooltip=[tip("c", "condition"), tip("t", "trial"), tip("text", "value")],
        )
    )
    span = (
        alt.Chart(alt.NamedData("medians"), name="interval")
        .mark_rule(strokeWidth=2, color=INK)
        .encode(x=alt.X("low:Q"), x2="high:Q", y=y)
    )
    middle = (
        alt.Chart(alt.NamedData("medians"), name="median")
        .mark_tick(thickness=3, height=20, color=INK, opacity=1)
        .encode(x=alt.X("v:Q"), y=y, tooltip=[tip("c", "condition"), tip("text", "median")])
    )
    return finish(alt.layer(dots, span, middle, _missing(y)), STEP * len(conditions))


def ecdf(conditions: Sequence[Condition], *, log: bool) -> Chart:
    """Return the share of values up to each value. Data: ``steps`` (c, v, p)."""
    import altair as alt

    lines = (
        alt.Chart(alt.NamedData("steps"))
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=_values(log),
            y=alt.Y(
                "p:Q",
                title="share of values up to this",
                axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
            ),
            color=_colour(conditions, named=True),
            detail="c:N",
            tooltip=[tip("c", "condition"), tip("text", "value"), tip("share", "values up to it")],
        )
    )
    return finish(alt.layer(lines), 220)


def order(conditions: Sequence[Condition], *, log: bool) -> Chart:
    """Return values against their trial's number. Data: ``points`` (c, v, t, warm, text)."""
    import altair as alt

    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    base = alt.Chart(alt.NamedData("points")).encode(
        x=alt.X(
            "t:Q", title="trial, in the order in which they ran", axis=alt.Axis(format="d", tickMinStep=1)
        ),
        y=alt.Y("v:Q", title=TITLE, scale=scale, axis=value_axis(log)),
        color=_colour(conditions, named=True),
    )
    tips = [tip("c", "condition"), tip("t", "trial"), tip("text", "value"), tip("warm", "kind")]
    dots = base.mark_point(size=30, filled=True, opacity=0.75, cursor="pointer").encode(
        shape=alt.Shape(
            "warm:N",
            scale=alt.Scale(domain=["measured", "warm-up"], range=["circle", "cross"]),
            legend=legend("", symbolFillColor=MUTED),
        ),
        tooltip=tips,
    )
    if len(conditions) > MOST_LINES:
        return finish(alt.layer(dots), 260)
    lines = base.mark_line(strokeWidth=1, opacity=0.35).transform_filter("datum.warm === 'measured'")
    return finish(alt.layer(lines, dots), 260)


def ratios(conditions: Sequence[Condition], keys: Sequence[str]) -> Chart:
    """Return ratios to the baseline on a log axis. Data: ``ratios`` (k, c, b, v, low, high, text)."""
    import altair as alt

    labels = [one.label for one in conditions]
    base = alt.Chart(alt.NamedData("ratios")).encode(
        y=alt.Y("k:N", sort=None, scale=alt.Scale(domain=list(keys)), axis=label_axis()),
        yOffset=alt.YOffset("c:N", sort=labels),
        color=_colour(conditions, named=True),
    )
    spans = base.mark_rule(strokeWidth=2).encode(
        x=alt.X(
            "low:Q",
            title="ratio of medians to the baseline",
            scale=alt.Scale(type="log"),
            axis=value_axis(True),
        ),
        x2="high:Q",
    )
    dots = base.mark_circle(size=60, opacity=1).encode(
        x=alt.X("v:Q"), tooltip=[tip("k", "quantity"), tip("c", "condition"), tip("text", "ratio")]
    )
    one = alt.Chart(alt.NamedData("ratios")).mark_rule(strokeDash=[3, 3], color=MUTED)
    height = max(26, 7 * len(conditions)) * len(keys)
    return finish(
        alt.layer(one.transform_aggregate(n="count()").encode(x=alt.XDatum(1)), spans, dots), height
    )


def fleet(conditions: Sequence[Condition], title: str, *, sloped: bool) -> Chart:
    """Return what the n-th instance took, in the middle and from least to most.

    Data: ``grown`` (c, i, v, low, high, text); ``lines``: the same of lines with the ends of their slopes,
    where it is ``sloped``.
    """
    import altair as alt

    base = alt.Chart(alt.NamedData("grown")).encode(
        x=alt.X("i:Q", title="instance", axis=alt.Axis(format="d", tickMinStep=1)),
        color=_colour(conditions, named=True),
    )
    tips = [tip("c", "condition"), tip("i", "instance"), tip("text", "median")]
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("low:Q", title=title, axis=value_axis(False)), y2="high:Q"
    )
    line = base.mark_line(point={"size": 28}, strokeWidth=1.8).encode(y=alt.Y("v:Q"), tooltip=tips)
    if not sloped:
        return finish(alt.layer(band, line), 220)
    slope = alt.Chart(alt.NamedData("lines")).encode(x=alt.X("i:Q"), color=_colour(conditions, named=True))
    dashed = slope.mark_line(strokeDash=[6, 4], strokeWidth=1.6).encode(
        y=alt.Y("v:Q"), tooltip=[tip("c", "condition"), tip("text", "slope and interval")]
    )
    ends = [
        slope.mark_line(strokeDash=[1, 3], strokeWidth=1.2).encode(y=alt.Y(f"{end}:Q"))
        for end in ("low", "high")
    ]
    return finish(alt.layer(band, line, dashed, *ends), 220)


def stack(labels: Sequence[str], parts: Sequence[str], title: str) -> Chart:
    """Return stacked parts of one account. Data: ``parts`` (c, part, v, text, order), ``missing``."""
    import altair as alt

    bars = (
        alt.Chart(alt.NamedData("parts"))
        .mark_bar(height=14)
        .encode(
            x=alt.X("v:Q", title=title, axis=value_axis(False)),
            y=_conditions(labels),
            color=alt.Color(
                "part:N",
                scale=alt.Scale(domain=list(parts), range=list(PART_COLOURS[: len(parts)])),
                legend=legend("part") if len(parts) > 1 else None,
            ),
            order="order:Q",
            tooltip=[
                tip("c", "condition"),
                tip("part", "part"),
                tip("key", "quantity"),
                tip("text", "median"),
            ],
        )
    )
    return finish(alt.layer(bars, _missing(_conditions(labels))), 26 * len(labels))


def with_data(chart: Chart, title: str = "", **data: Rows) -> Chart:
    """Return a whole chart: its data sets by name, and the title of its value axis."""
    text = json.dumps(chart).replace(json.dumps(TITLE), json.dumps(title))
    whole: Chart = json.loads(text)
    whole["datasets"] = {name: list(rows) for name, rows in data.items()}
    return whole


def _missing(y: Any) -> Any:
    """Return words in the rows of conditions without a value. Data: ``missing`` (c, text)."""
    import altair as alt

    words = alt.Chart(alt.NamedData("missing")).mark_text(align="left", fontStyle="italic", color=MUTED)
    return words.encode(x=alt.value(6), y=y, text="text:N")


def _conditions(labels: Sequence[str]) -> Any:
    import altair as alt

    return alt.Y("c:N", sort=None, scale=alt.Scale(domain=list(labels)), axis=label_axis())


def _values(log: bool) -> Any:
    import altair as alt

    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    return alt.X("v:Q", title=TITLE, scale=scale, axis=value_axis(log))


def _colour(conditions: Sequence[Condition], *, named: bool = False) -> Any:
    import altair as alt

    field = "c" if len(conditions) <= MOST_LINES else "b"
    names = {(one.label if field == "c" else one.backend): one.colour for one in conditions}
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=list(names), range=list(names.values())),
        legend=legend("") if named else None,
    )
