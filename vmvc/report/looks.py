"""The sober looks that all charts share: axes, legends, tooltips and sizes."""

from __future__ import annotations

from typing import Any, Final

Chart = dict[str, Any]
"""A Vega-Lite specification."""

INK: Final = "#1f2328"
MUTED: Final = "#59636e"
FAINT: Final = "#d8dee4"
_ROUND: Final = "indexof([1, 2, 5], round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))) >= 0"
_PLAIN: Final = "format(datum.value, ',.6~r')"


def value_axis(log: bool) -> Any:
    """Return the axis of values; a logarithmic one is marked at 1, 2 and 5."""
    import altair as alt

    if log:
        opacity = {"condition": {"test": _ROUND, "value": 1}, "value": 0}
        return alt.Axis(
            grid=True,
            labelExpr=f"{_ROUND} ? {_PLAIN} : ''",
            labelOverlap=True,
            domain=False,
            gridOpacity=opacity,
            tickOpacity=opacity,
        )
    return alt.Axis(labelExpr=_PLAIN, tickCount=7, labelOverlap=True, domain=False)


def label_axis(longest: int = 280) -> Any:
    """Return the axis of names; ``longest``: pixels after which one is cut."""
    import altair as alt

    return alt.Axis(
        title=None, domain=False, ticks=False, labelPadding=8, labelLimit=longest, labelFontSize=12
    )


def legend(title: str, **more: Any) -> Any:
    """Return a legend above the chart: squares for parts, circles for what has no title."""
    import altair as alt

    return alt.Legend(
        orient="top",
        title=None,
        symbolType="circle" if not title else "square",
        symbolOpacity=1,
        labelLimit=260,
        **more,
    )


def tip(field: str, title: str) -> Any:
    """Return a line of a tooltip."""
    import altair as alt

    return alt.Tooltip(f"{field}:N", title=title)


def finish(chart: Any, height: int) -> Chart:
    """Give a chart its size and its sober looks."""
    whole: Chart = (
        chart.properties(width="container", height=height, autosize={"type": "fit-x", "contains": "padding"})
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=FAINT,
            tickColor=FAINT,
            domainColor=FAINT,
            labelColor=MUTED,
            titleColor=MUTED,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            titlePadding=8,
        )
        .configure_legend(labelColor=INK, labelFontSize=12, titleColor=MUTED, offset=4)
        .to_dict(validate=False)
    )
    whole.pop("$schema", None)
    return whole
