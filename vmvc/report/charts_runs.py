"""Ratios between runs, and medians over many runs -> Vega-Lite charts over named data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmvc.report.charts import INK, MUTED, TITLE, Chart, _axis, _finish, _legend, _tip

KINDS: Final = {
    "worse": ("#d55e00", "triangle-up"),
    "better": ("#0072b2", "triangle-down"),
    "differs": ("#cc79a7", "square"),
    "same": ("#009e73", "circle"),
    "cannot tell": ("#7a7a7a", "cross"),
}
"""What a comparison found -> its colour and its shape, so that it can be told without colours."""
ROW: Final = 22
"""Height of a compared quantity's row in pixels."""


def forest(labels: Sequence[str], tolerance: float) -> Chart:
    """Return ratios to the reference on a log axis, with the tolerance as a band.

    Data: ``ratios`` (k, v, low, high, kind, text).
    """
    import altair as alt

    axis = alt.Axis(title=None, domain=False, ticks=False, labelPadding=8, labelLimit=360, labelFontSize=12)
    y = alt.Y("k:N", sort=None, scale=alt.Scale(domain=list(labels)), axis=axis)
    kinds = list(KINDS)
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[KINDS[one][0] for one in kinds]),
        legend=_legend("", symbolType="circle"),
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=[KINDS[one][1] for one in kinds]))
    base = alt.Chart(alt.NamedData("ratios"))
    once = base.transform_aggregate(n="count()")
    band = once.mark_rect(opacity=0.14, color=MUTED).encode(
        x=alt.XDatum(1 - min(tolerance, 0.99)), x2=alt.X2Datum(1 + tolerance)
    )
    one = once.mark_rule(strokeDash=[3, 3], color=MUTED).encode(x=alt.XDatum(1))
    x = alt.X("v:Q", title="ratio of medians to the reference", scale=alt.Scale(type="log"), axis=_axis(True))
    spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
    )  # fmt: skip
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=[_tip("k", "what"), _tip("text", "ratio")]
    )
    return _finish(alt.layer(band, one, spans, dots), ROW * len(labels))


def history(labels: Sequence[str], colours: Sequence[str], *, log: bool) -> Chart:
    """Return medians with intervals, run after run. Data: ``runs`` (n, when, c, v, low, high, text, host)."""
    import altair as alt

    colour = alt.Color(
        "c:N", scale=alt.Scale(domain=list(labels), range=list(colours)), legend=_legend("", symbolType="circle")
    )
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    x = alt.X("n:O", title="run, the oldest first (its number in the table)", axis=alt.Axis(labelAngle=0))
    base = alt.Chart(alt.NamedData("runs")).encode(x=x, xOffset=alt.XOffset("c:N", sort=list(labels)))
    spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=TITLE, scale=scale, axis=_axis(log)), y2="high:Q", color=colour
    )  # fmt: skip
    dots = base.mark_point(size=46, filled=True, opacity=1, color=INK).encode(
        y=alt.Y("v:Q"),
        color=colour,
        shape=alt.Shape("host:N", legend=_legend("")),
        tooltip=[
            _tip("when", "begun"), _tip("run", "run"), _tip("c", "condition"), _tip("text", "median"),
            _tip("host", "host"),
        ],
    )  # fmt: skip
    return _finish(alt.layer(spans, dots), 240)
