"""One row of the lesson's tables before it is filled."""

from __future__ import annotations

from typing import NamedTuple

from vmvc.recorded import Make


class Question(NamedTuple):
    """One row before it is filled: a text from records, or one figure."""

    name: str
    says: str
    answer: Make | str


def joined(*parts: str) -> str:
    """Join the parts that there are."""
    return ", ".join(filter(None, parts))
