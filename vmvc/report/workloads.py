"""What a run measures -> the quantities of work that guests do, beside the same work on the bare host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vmvc.report.view import Quantity

OWN: Final = frozenset(
    {"startup", "shutdown", "memory", "disk", "density", "isolation", "limits", "interference", "energy"}
)
"""Metrics about the guest itself, which have sections of their own: all others give it work to do."""


def is_workload(one: Quantity) -> bool:
    """Say whether a quantity is of work in the guest, of which more or less is better."""
    return one.metric not in OWN and one.better != "neutral"


def keys(quantities: Iterable[Quantity]) -> tuple[str, ...]:
    """Return the quantities of work, in the run's order."""
    return tuple(one.key for one in quantities if is_workload(one))
