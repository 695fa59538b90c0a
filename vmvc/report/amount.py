"""A value and its unit -> words for people, and the unit in which an axis reads well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmvc.units import BYTES, SECONDS, scaled, show


def span(low: float, high: float, unit: str) -> str:
    """Write two values of a unit for people; a unit that both have stands once, as in ``1.7 to 1.73 MiB``."""
    first, second = show(low, unit), show(high, unit)
    number, _, name = first.partition(" ")
    return f"{number if name == second.partition(' ')[2] else first} to {second}"


def scale(largest: float, unit: str) -> tuple[str, float]:
    """Return the unit in which an axis up to ``largest`` reads well, and what to divide values by."""
    tables: Mapping[str, Sequence[tuple[str, float]]] = {
        "s": [(name, SECONDS[unit]) for unit, name in (("s", "s"), ("ms", "ms"), ("us", "µs"))],
        "B": [(name, float(BYTES[name])) for name in ("GiB", "MiB", "KiB")],
        "B/s": [(f"{name}/s", float(BYTES[name])) for name in ("GiB", "MiB", "KiB")],
    }
    for name, size in tables.get(unit, ()):
        if largest >= size:
            return name, size
    return ("", 1.0) if unit == "1" else (unit, 1.0) if unit in tables else scaled(largest, unit)


def chance(p: float | None) -> str:
    """Write a p-value; "" where there is none."""
    return "" if p is None else "below 0.0001" if p < 0.0001 else f"{p:.2g}"
