"""Ratios between runs, and medians over many runs -> Vega-Lite charts over named data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from vmvc.report.charts import TITLE
from vmvc.report.looks import MUTED, Chart, finish, label_axis, legend, tip, value_axis

KINDS: Final = {
    "worse": ("#d55e00", "triangle-up"),
    "better": ("#0072b2", "triangle-down"),
    "differs": ("#cc79a7", "square"),
    "same": ("#009e73", "circle"),
    "cannot tell": ("#7a7a7a", "cross"),
}
"""What a comparison found -> its colour and its shape, so that it can be told without colours."""
FEW_MARKS: Final = 8.0
"""Ratio of an axis' ends up to which each of its marks is named."""
ROOM: Final = 1.15
"""Factor between the outermost ratio and the end of the axis."""
ROW: Final = 22
"""Height of a compared quantity's row in pixels."""


def forest(labels: Sequence[str], tolerance: float, ends: tuple[float, float]) -> Chart:
    """Return ratios to the reference on a log axis, with the tolerance as a band.

    ``ends``: the smallest and the largest ratio of all. Data: ``ratios`` (k, v, low, high, kind, text).
    """
    import altair as alt

    y = alt.Y("k:N", sort=None, scale=alt.Scale(domain=list(labels)), axis=label_axis(360))
    kinds = list(KINDS)
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[KINDS[one][0] for one in kinds]),
        legend=legend("", columns=3),
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=[KINDS[one][1] for one in kinds]))
    base = alt.Chart(alt.NamedData("ratios"))
    once = base.transform_aggregate(n="count()")
    band = once.mark_rect(opacity=0.14, color=MUTED).encode(
        x=alt.XDatum(1 - min(tolerance, 0.99)), x2=alt.X2Datum(1 + tolerance)
    )
    one = once.mark_rule(strokeDash=[3, 3], color=MUTED).encode(x=alt.XDatum(1))
    low, high = min(ends[0], 1 - min(tolerance, 0.5)) / ROOM, max(ends[1], 1 + tolerance) * ROOM
    x = alt.X(
        "v:Q",
        title="ratio of medians to the reference",
        scale=alt.Scale(type="log", nice=False, domain=[low, high]),
        axis=value_axis(True) if high / low > FEW_MARKS else _marked(low, high),
    )
    spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
    )  # fmt: skip
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=[tip("k", "what"), tip("text", "ratio")]
    )
    return finish(alt.layer(band, one, spans, dots), ROW * len(labels))


def _marked(low: float, high: float) -> Any:
    """Return the axis of a short logarithmic scale: marks in even steps, of which d3 would name few."""
    step = 0.05 if high / low < 1.6 else 0.1 if high / low < 3 else 0.5
    marks = [round(step * count, 2) for count in range(1, int(high / step) + 1)]
    axis = value_axis(False)
    axis.values = [mark for mark in marks if mark >= low]
    return axis


def history(labels: Sequence[str], colours: Sequence[str], *, log: bool) -> Chart:
    """Return medians with intervals, run after run. Data: ``runs`` (n, when, c, v, low, high, text, host)."""
    import altair as alt

    colour = alt.Color("c:N", scale=alt.Scale(domain=list(labels), range=list(colours)), legend=legend(""))
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    x = alt.X("n:O", sort=None, title="run, the oldest first", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    base = alt.Chart(alt.NamedData("runs")).encode(x=x, xOffset=alt.XOffset("c:N", sort=list(labels)))
    spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=TITLE, scale=scale, axis=value_axis(log)), y2="high:Q", color=colour
    )  # fmt: skip
    dots = base.mark_point(size=46, filled=True, opacity=1).encode(
        y=alt.Y("v:Q"),
        color=colour,
        shape=alt.Shape("host:N", legend=legend("")),
        tooltip=[
            tip("when", "begun"), tip("run", "run"), tip("c", "condition"), tip("text", "median"),
            tip("host", "host"),
        ],
    )  # fmt: skip
    return finish(alt.layer(spans, dots), 240)
