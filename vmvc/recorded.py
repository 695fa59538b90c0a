"""run.json and a summary -> single facts and figures of one condition, each look-up noted as its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from vmvc.plan import Condition
from vmvc.records_explain import ExplainedCell
from vmvc.records_summary import SummaryRow
from vmvc.units import show, show_bytes

Make = Callable[["Recorded"], str]
"""Writes one cell's text; "" where what it needs is not recorded."""

Rows = Mapping[tuple[str, str], SummaryRow]
"""Condition and ``METRIC.QUANTITY`` -> its statistics."""

LONGEST: Final = 400
"""Characters of one fact that a cell shows."""


class Recorded:
    """What is recorded of one condition; remembers what was asked, with success and without."""

    def __init__(self, about: Mapping[str, Any], rows: Rows, condition: Condition) -> None:
        self.condition = condition
        self._about = about
        self._rows = rows
        self._used: list[str] = []
        self._missed: list[str] = []

    @property
    def kind(self) -> str:
        return self.ask("backends", self.condition.backend, "kind")

    @property
    def isolation(self) -> str:
        return self.ask("backends", self.condition.backend, "isolation")

    @property
    def emulated(self) -> bool:
        return self.ask("backends", self.condition.backend, "facts", "emulated") == "yes"

    def ask(self, *path: str) -> str:
        """Return what run.json says there, as text, without counting it as a source; "" where nothing."""
        return _text(self._at(path))

    def find(self, *path: str) -> Any:
        """Return what run.json says there, ``None`` where it says nothing."""
        found = self._at(path)
        (self._missed if found in (None, "") else self._used).append(f"run.json {'.'.join(path)}")
        return None if found == "" else found

    def say(self, *path: str) -> str:
        """Return the same as text, "" where run.json says nothing."""
        return _text(self.find(*path))

    def of_host(self, name: str) -> str:
        return self.say("host", name)

    def of_engine(self, name: str) -> str:
        return self.say("backends", self.condition.backend, "facts", name)

    def of_guest(self, name: str) -> str:
        """Return what was prepared for the condition's guest."""
        return self.say("conditions", self.condition.id, "facts", name)

    @property
    def machine(self) -> str:
        """Name of the machine that existed before, "" where the guest is made from an image."""
        return self.ask("conditions", self.condition.id, "facts", "existing_machine")

    def asked(self, key: str) -> Any:
        """Return what the experiment asks for as ``guest.KEY``: factor first, then backend, then guest.

        A machine that existed before has what was found of it, and no more.
        """
        if self.machine:
            return self.find("conditions", self.condition.id, "facts", f"existing_{key}")
        path = f"guest.{key}"
        if path in self.condition.factors:
            self._used.append(f"factor {path}")
            return self.condition.factors[path]
        own = ("experiment", "backends", self.condition.backend, "guest", key)
        return self.find(*own) if self._at(own) is not None else self.find("experiment", "guest", key)

    def figure(self, key: str) -> float | None:
        """Return the median of ``METRIC.QUANTITY``, ``None`` where there is none."""
        row = self._rows.get((self.condition.id, key))
        if row is None:
            self._missed.append(f"the run does not measure {key.partition('.')[0]}")
        elif row.median is None:
            self._missed.append(f"{key}: {row.reason or 'no trial has ended yet'}")
        else:
            self._used.append(key)
            return row.median
        return None

    def constant(self, key: str) -> float | None:
        """Return the value of a fact that is the same in every trial."""
        row = self._rows.get((self.condition.id, key))
        if row is not None and row.median is not None and row.min != row.max:
            self._missed.append(f"{key} is not the same in every trial")
            return None
        return self.figure(key)

    def show(self, key: str) -> str:
        """Write the median with its interval, or else with the number of values; "" where there is none."""
        median = self.figure(key)
        if median is None:
            return ""
        row = self._rows[self.condition.id, key]
        if row.low is None or row.high is None:
            return f"{show(median, row.unit)} (n = {row.n})"
        return f"{show(median, row.unit)} [{show(row.low, row.unit)} to {show(row.high, row.unit)}]"

    def cell(self, make: Make) -> ExplainedCell:
        """Return what ``make`` writes, with its sources, or why there is nothing."""
        self._used, self._missed = [], []
        text = " ".join(make(self).split())[:LONGEST]
        if text:
            return ExplainedCell(text=text, source=tuple(dict.fromkeys(self._used)))
        why = "; ".join(dict.fromkeys(_lack(one) for one in self._missed))
        return ExplainedCell(reason=why or "nothing is recorded of it for this kind of backend")

    def number(self, key: str) -> ExplainedCell:
        """Return a cell that is one figure."""
        made = self.cell(lambda _: self.show(key))
        row = self._rows.get((self.condition.id, key))
        if row is None or not made.text:
            return made
        return made.model_copy(update={"value": row.median, "unit": row.unit})

    def _at(self, path: tuple[str, ...]) -> Any:
        found: Any = self._about
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def size(value: Any) -> str:
    """Write bytes for people, and leave text as it is."""
    return show_bytes(value) if isinstance(value, int | float) else str(value or "")


def _lack(what: str) -> str:
    return f"{what} is not recorded" if what.startswith("run.json ") else what


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return " ".join(map(_text, value))
        case Mapping():
            return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    text = str(value)
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)
