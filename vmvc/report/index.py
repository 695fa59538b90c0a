"""A folder of results -> its index: every run, and each experiment's quantities run after run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from vmvc import __version__
from vmvc.errors import Fault, InputError
from vmvc.records_journal import QuantityRecord
from vmvc.report import frame
from vmvc.report.amount import scale, span
from vmvc.report.answer import FIRST
from vmvc.report.charts import TITLE
from vmvc.report.charts_runs import history
from vmvc.report.gather import COLOURS, LOG_FROM
from vmvc.report.history import History, Point, Story, changes, history_of
from vmvc.report.plain import clean
from vmvc.sheet import number
from vmvc.units import show

NAME: Final = "index.html"
MARK: Final = b'<meta name="generator" content="vmvc '
"""What shows that a page is vmvc's own, so that it may be replaced."""


def page_of(folder: Path) -> str:
    """Return the index of a folder of results, as HTML.

    Raises: ResultsError where it holds no run.
    """
    return page(history_of(folder))


def is_foreign(path: Path) -> bool:
    """Say whether a file is there that vmvc has not made."""
    try:
        with path.open("rb") as file:
            return MARK not in file.read(4096)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(Fault(f"cannot be read: {error.strerror}", str(path))) from error


def page(found: History) -> str:
    """Return the index as HTML."""
    runs = sum(len(story.pasts) for story in found.stories)
    experiments = len(found.stories)
    about = [
        str(found.folder),
        f"{runs} run{'s' if runs > 1 else ''} of {experiments} experiment{'s' if experiments > 1 else ''}",
    ]
    return frame.render(
        "index.html.j2",
        {"title": TITLE, "fixed": [], "stories": [_payload(story) for story in found.stories]},
        script="index.js",
        version=__version__,
        title="Runs and what changed between them",
        about=about,
        notices=[],
        sections=[
            ("runs", "Runs"),
            *((f"experiment-{index}", story.name) for index, story in enumerate(found.stories)),
            ("places", "Hosts"),
        ],
        footer="Made by vmvc from the journals of these runs.",
        words={
            "stories": [_words(index, story) for index, story in enumerate(found.stories)],
            "places": [(place.letter, place.words) for place in found.places],
        },
    )


def _words(index: int, story: Story) -> dict[str, Any]:
    return {
        "id": index,
        "name": clean(story.name),
        "runs": [
            {
                "number": past.number,
                "run": clean(past.overview.run),
                "link": quote(past.report),
                "began": clean(past.overview.wall),
                "state": past.overview.state,
                "measured": past.overview.measured,
                "planned": past.overview.planned,
                "failed": past.overview.failed,
                "verdicts": ", ".join(f"{n} {word}" for word, n in past.overview.verdicts.items()),
                "warnings": past.warnings,
                "place": past.place,
                "reason": clean(past.overview.reason),
            }
            for past in story.pasts
        ],
        "quantities": [(_key(one), one.says) for one in story.quantities if _key(one) in story.points],
        "first": next((key for key in FIRST if key in story.points), ""),
        "apart": story.apart,
        "left_out": story.left_out,
        "changes": list(_changes(story)),
    }


def _changes(story: Story) -> Iterator[dict[str, Any]]:
    """Yield a row a quantity and condition: its oldest and its newest median, and their ratio."""
    for quantity, condition, points in changes(story):
        oldest, newest = points[0].row.median, points[-1].row.median
        assert oldest is not None
        assert newest is not None
        ratio = newest / oldest if oldest else None
        yield {
            "key": _key(quantity),
            "condition": condition,
            "runs": len(points),
            "oldest": show(oldest, quantity.unit),
            "newest": show(newest, quantity.unit),
            "interval": _interval(points[-1]),
            "ratio": "" if ratio is None else f"{ratio:.3g}",
            "values": ["" if one is None else number(one) for one in (oldest, newest, ratio)],
        }


def _interval(point: Point) -> str:
    low, high = point.row.low, point.row.high
    return "" if low is None or high is None else span(low, high, point.row.unit)


def _payload(story: Story) -> dict[str, Any]:
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(story.conditions))]
    return {
        "runs": [
            {
                "n": f"#{past.number} {past.overview.wall[5:10]}".rstrip(),
                "run": past.overview.run,
                "when": past.overview.wall,
                "host": f"host {past.place}" if past.place else "host not known",
            }
            for past in story.pasts
        ],
        "conditions": story.conditions,
        "charts": {kind: history(story.conditions, colours, log=kind == "log") for kind in ("linear", "log")},
        "quantities": [_quantity(story, one) for one in story.quantities if _key(one) in story.points],
    }


def _quantity(story: Story, one: QuantityRecord) -> dict[str, Any]:
    """Return a quantity and its medians, a row a run and condition: their places, values and words."""
    points = story.points[_key(one)]
    medians = [point.row.median for point in points if point.row.median is not None]
    axis, divisor = scale(max(map(abs, medians)), one.unit)
    places = {label: place for place, label in enumerate(story.conditions)}
    told = "; ".join(
        f"{point.condition} run {point.past.number} {show(point.row.median or 0.0, one.unit)}"
        for point in points[-50:]
    )
    log = min(medians) > 0 and max(medians) / min(medians) >= LOG_FROM
    return {
        "key": _key(one),
        "title": f"{_key(one)} ({axis})" if axis else _key(one),
        "says": one.says,
        "log": log,
        "alt": f"{_key(one)}, medians run after run: {told}",
        "rows": [_row(point, places, divisor, min(medians) if log else None) for point in points],
    }


def _row(point: Point, places: dict[str, int], divisor: float, least: float | None) -> list[Any]:
    """Return one median; on a log axis, whose ``least`` is known, an interval down to 0 begins there."""
    row = point.row
    assert row.median is not None
    low = least if least is not None and row.low is not None and row.low <= 0 else row.low
    interval = _interval(point)
    words = show(row.median, row.unit) + (f" [{interval}]" if interval else f" (n = {row.n})")
    ends = [None if end is None else end / divisor for end in (low, row.high)]
    return [point.past.number - 1, places[point.condition], row.median / divisor, *ends, words]


def _key(one: QuantityRecord) -> str:
    return f"{one.metric}.{one.quantity}"
