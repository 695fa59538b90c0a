"""Text with a unit ("2s", "256MiB", "5%") -> a number in seconds, bytes or a fraction, and back.

One table serves the parser, the JSON Schema patterns and the printing, so they cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "s": SECONDS,
    "B": BYTES,
    "1": {"1": 1.0, "%": 0.01},
    "1/s": {"1/s": 1.0, "/s": 1.0},
    "B/s": {f"{name}/s": float(size) for name, size in BYTES.items()},
    "bit/s": {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9},
    "Hz": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "J": {"J": 1.0, "uJ": 1e-6, "mJ": 1e-3, "kJ": 1e3},
    "W": {"W": 1.0, "uW": 1e-6, "mW": 1e-3, "kW": 1e3},
}
"""Unit that a quantity may have -> the names that a file may write it by, and what each of them is in it."""
LONGEST: Final = 30 * 86400.0
LARGEST: Final = 2**50

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_DURATION = re.compile(rf"{_NUMBER} ?({'|'.join(SECONDS)})")
_SIZE = re.compile(rf"{_NUMBER} ?({'|'.join(BYTES)})")
_PERCENT = re.compile(rf"{_NUMBER} ?%")


def _up_to(limit: float) -> str:
    """Return a pattern (of ECMA 262) for the numbers that the parsers take up to a whole limit."""
    digits = str(int(limit))
    if len(digits) > 15:
        return _NUMBER
    below = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for index, digit in enumerate(digits):
        if digit != "0":
            below.append(f"{digits[:index]}[0-{int(digit) - 1}][0-9]{{{len(digits) - index - 1}}}")
    return rf"(?=[0-9]{{1,15}}[^0-9])0*(?:(?:{'|'.join(below)})(?:\.[0-9]{{1,9}})?|{digits}(?:\.0{{1,9}})?)"


def _units_up_to(units: Mapping[str, float], limit: float) -> str:
    return "|".join(f"{_up_to(round(limit / factor, 6))} ?{unit}" for unit, factor in units.items())


def parse_duration(text: object) -> float:
    """Return seconds for a text such as ``"1.5s"`` or ``"3m"``.

    Raises: PydanticCustomError (a ``ValueError``) where it is not a duration between 0 and 30 days.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise PydanticCustomError("duration", "expected a duration with its unit, such as 500ms, 2s or 3m")
    seconds = float(match[1]) * SECONDS[match[2]]
    if seconds > LONGEST:
        raise PydanticCustomError("duration", "expected a duration of at most 30d")
    return seconds


def parse_size(text: object) -> int:
    """Return bytes for a text such as ``"256MiB"`` or ``"1GB"``.

    Raises: PydanticCustomError (a ``ValueError``) where it is not a whole number of bytes up to 1 PiB.
    """
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[2] == "B" and "." in match[1]):
        raise PydanticCustomError("size", "expected a size with its unit, such as 256MiB or 1GB")
    size = round(float(match[1]) * BYTES[match[2]])
    if not 1 <= size <= LARGEST:
        raise PydanticCustomError("size", "expected a size between 1B and 1024TiB")
    return size


def parse_percent(text: object) -> float:
    """Return a fraction for a text such as ``"5%"`` (0.05).

    Raises: PydanticCustomError (a ``ValueError``) where it is not a percentage of at most 100%.
    """
    match = _PERCENT.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) > 100:
        raise PydanticCustomError("percent", "expected a percentage between 0% and 100%, such as 5%")
    return float(match[1]) / 100


def _rate(unit: str) -> Callable[[object], float]:
    """Return what reads a text of one of the units that have no rules of their own."""
    names = UNITS[unit]
    form = re.compile(rf"{_NUMBER} ?({'|'.join(map(re.escape, names))})")

    def parse(text: object) -> float:
        match = form.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise PydanticCustomError(
                "rate", "expected a number with its unit: {names}", {"names": ", ".join(names)}
            )
        return float(match[1]) * names[match[2]]

    return parse


PARSERS: Final[Mapping[str, Callable[[object], float]]] = {
    "s": parse_duration,
    "B": parse_size,
    "1": parse_percent,
    **{unit: _rate(unit) for unit in UNITS if unit not in ("s", "B", "1")},
}
"""Unit of a quantity -> what reads a text of that kind."""


def unit_named(name: str) -> tuple[str, float] | None:
    """Return the unit of a quantity and what one ``name`` of it is; ``None`` for an unknown name."""
    return next(((unit, float(names[name])) for unit, names in UNITS.items() if name in names), None)


def amount(value: float | str, unit: str) -> float:
    """Return a number in the unit: a number as it stands, text by its own unit.

    Raises: PydanticCustomError (a ``ValueError``) where the text is of another kind.
    """
    return PARSERS[unit](value) if isinstance(value, str) else float(value)


def measure(value: object) -> tuple[float, str] | None:
    """Return seconds, bytes or a number, with the unit, of whatever a file may give; ``None`` for the rest.

    No text fits two units; ``true`` and ``false`` are no numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return float(value), "1"
    for unit, parse in PARSERS.items():
        try:
            return float(parse(value)), unit
        except PydanticCustomError:
            continue
    return None


def _trim(number: float, digits: int = 6) -> str:
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")


def format_duration(seconds: float) -> str:
    """Write seconds so that ``parse_duration`` reads the same value back (to a nanosecond)."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        value = seconds / SECONDS[unit]
        if value >= 1 and abs(value - round(value, 3)) < 1e-12 * value:
            return f"{_trim(value, 3)}{unit}"
    return f"{_trim(seconds * 1e9, 0) or '0'}ns" if seconds else "0s"


def format_size(size: int) -> str:
    """Write bytes so that ``parse_size`` reads the same value back."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"):
        if size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return f"{size}B"


def format_percent(fraction: float) -> str:
    """Write a fraction so that ``parse_percent`` reads the same value back."""
    return f"{_trim(fraction * 100, 9)}%"


def show_seconds(seconds: float) -> str:
    """Write seconds for people: three significant digits and the unit that fits."""
    for unit, name in ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(seconds) >= unit * (
            2 if unit >= 60 else 0.9995
        ):  # what would round up to 1000 of the unit below
            return f"{seconds / unit:.3g} {name}" if abs(seconds) < 1e5 else f"{seconds / unit:.0f} {name}"
    return f"{seconds * 1e9:.3g} ns" if seconds else "0 s"


def show_bytes(size: float) -> str:
    """Write bytes for people: three significant digits and a binary unit."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        value = size / BYTES[unit]
        if abs(value) >= 1:
            return f"{value:.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"
    return f"{size:.0f} B"


def show(value: float, unit: str) -> str:
    """Write a value of a declared unit for people."""
    match unit:
        case "s":
            return show_seconds(value)
        case "B":
            return show_bytes(value)
        case "1":
            return f"{value:.4g}"
        case "B/s":
            return f"{show_bytes(value)}/s"
        case "1/s":
            return f"{_plain(value)}/s"
        case _:
            name, size = scaled(abs(value), unit)
            return f"{_plain(value / size)} {name}".rstrip()


def scaled(largest: float, unit: str) -> tuple[str, float]:
    """Return the name of a unit in which numbers up to ``largest`` read well, and what one of it is."""
    names = sorted(UNITS.get(unit, {unit: 1.0}).items(), key=lambda one: -one[1])
    return next((one for one in names if largest >= one[1]), (unit, 1.0))


def _plain(value: float) -> str:
    """Write four significant digits without an exponent where that reads well."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}" if abs(value) < 1e15 else f"{value:.4g}"


def _or_number(parse: Callable[[object], float]) -> Callable[[object, ValidationInfo], object]:
    """Let Python code pass plain numbers (already seconds, bytes, fractions); files must name the unit."""

    def validate(value: object, info: ValidationInfo) -> object:
        if info.mode == "python" and isinstance(value, int | float) and not isinstance(value, bool):
            return value
        return parse(value)

    return validate


Duration = Annotated[
    float,
    BeforeValidator(_or_number(parse_duration), json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?:{_units_up_to(SECONDS, LONGEST)})$",
            "examples": ["500ms", "2s", "3m"],
        }
    ),
]
"""Seconds; written in YAML as text with a unit."""

Size = Annotated[
    int,
    BeforeValidator(_or_number(parse_size), json_schema_input_type=str),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(?=[0-9.]*[1-9])(?![0-9]*\.[0-9]* ?B)(?:{_units_up_to(BYTES, LARGEST)})$",
            "examples": ["256MiB", "1GB"],
        }
    ),
]
"""Bytes; written in YAML as text with a unit."""

Percent = Annotated[
    float,
    BeforeValidator(_or_number(parse_percent), json_schema_input_type=str),
    PlainSerializer(format_percent, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_up_to(100)} ?%$", "examples": ["5%"]}),
]
"""A fraction of one; written in YAML as a percentage."""
