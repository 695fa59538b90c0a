"""Two named events -> the time between them, or why it is not known."""

from __future__ import annotations

from vmvc.contract import Absent, Reading, Scene


def span(scene: Scene, quantity: str, begin: str, end: str) -> Reading | Absent:
    """Return the seconds from ``begin`` to ``end``; late by the sum of what both instants may be late by."""
    for name in (begin, end):
        if name not in scene.events:
            return Absent(quantity, scene.notes.get(name, f"the trial has no event '{name}'"))
    first, last = scene.events[begin], scene.events[end]
    return Reading(quantity, (last.at - first.at) / 1e9, first.resolution + last.resolution)
