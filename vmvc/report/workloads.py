"""What a run measures -> the quantities of work that guests do, beside the same work on the bare host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vmvc.report.view import Quantity

OWN: Final = frozenset(
    {"startup", "shutdown", "memory", "disk", "density", "isolation", "limits", "interference", "energy"}
)
"""Metrics about the guest itself, which have sections of their own: all others give it work to do."""


def keys(quantities: Iterable[Quantity], kinds: Mapping[str, str]) -> tuple[str, ...]:
    """Return the quantities of work in the guest of which more or less is better, in the run's order.

    ``kinds``: metric -> its kind, where that is not its name.
    """
    return tuple(
        one.key
        for one in quantities
        if kinds.get(one.metric, one.metric) not in OWN and one.better != "neutral"
    )
