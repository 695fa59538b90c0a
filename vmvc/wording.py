"""One of Pydantic's errors and the value it is about -> what was expected in plain words, and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails

from vmvc.notation import Node
from vmvc.units import BYTES, SECONDS

PATHS: Final = "guest.KEY, backends.NAME.options.KEY, trials.cache or trials.image"
"""Paths that can be swept."""

PATTERNS: Final = {
    r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$": "a name of a-z, 0-9 and -, 1 to 64 characters, no - at its ends",
    r"^(tiny|debian:[a-z]{2,20})$": "tiny or debian:SUITE, such as debian:bookworm",
    r"^[a-z0-9][a-z0-9+.-]{0,99}$": "the name of a Debian package",
    r"^[A-Za-z0-9][A-Za-z0-9@_.-]{0,99}$": "the name of a service",
    r"^[A-Za-z_][A-Za-z0-9_.@-]{0,63}$": "the name of a user",
    r"^[a-z0-9][a-z0-9_.-]{0,63}$": "the name of a quantity: a-z, 0-9, _, . and -, 1 to 64 characters",
    r"^(stdout|stderr)$": "stdout or stderr",
    r"^/[^\x00]*$": "an absolute path, such as /www/index.html",
    r"^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$": "a reference to a container image, such as nginx:1.27",
    r"^/[\x21-\x7e]*$": "a path that begins with / and holds no spaces",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name of A-Z, a-z, 0-9 and _ that begins with no digit",
    r"^[0-9]": "a number with its unit, such as 2s, 64MiB or 5%",
    r"^[a-z0-9][a-z0-9-]*\.[a-z0-9][a-z0-9_.-]*$": "METRIC.QUANTITY, such as startup.ready",
    r"^((guest|backends)(\.[A-Za-z0-9_-]+)+|trials\.(cache|image))$": PATHS,
    r"^(backend|(guest|backends)(\.[A-Za-z0-9_-]+)+|trials\.(cache|image))$": f"backend, {PATHS}",
    r"^[A-Za-z0-9:]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$": "a host name or an address, such as 192.168.122.7",
    r"^[^\x00]*$": "text without the character U+0000",
    r"^[^\x00]+$": "text without the character U+0000",
}
"""Pattern -> what it accepts."""

_TYPES: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
}

Context = Mapping[str, Any]
_LIMITS: Final[Mapping[str, Callable[[Context], str]]] = {
    "greater_than_equal": lambda ctx: f"at least {ctx['ge']}",
    "less_than_equal": lambda ctx: f"at most {ctx['le']}",
    "greater_than": lambda ctx: f"more than {ctx['gt']}",
    "less_than": lambda ctx: f"less than {ctx['lt']}",
    "multiple_of": lambda ctx: f"a multiple of {ctx['multiple_of']}",
    "string_too_short": lambda ctx: _count("at least", ctx["min_length"], "character", "characters"),
    "string_too_long": lambda ctx: _count("at most", ctx["max_length"], "character", "characters"),
    "too_short": lambda ctx: _count("at least", ctx["min_length"], "entry", "entries"),
    "too_long": lambda ctx: _count("at most", ctx["max_length"], "entry", "entries"),
    "string_pattern_mismatch": lambda ctx: PATTERNS.get(
        ctx["pattern"], f"text that matches {ctx['pattern']}"
    ),
}
_CHOICES: Final = {"literal_error": "expected", "enum": "expected", "union_tag_invalid": "expected_tags"}


def expectations(error: ErrorDetails) -> list[str]:
    """Return what would have been accepted; nothing where the error says something else."""
    kind = error["type"]
    if kind in _TYPES:
        return [_TYPES[kind]]
    if kind in _LIMITS:
        return [_LIMITS[kind](error["ctx"])]
    if kind in _CHOICES:
        return _choices(error)
    message = sentence(error)
    for start in ("expected ", "Input should be a valid ", "Input should be "):
        if message.startswith(start):
            return [message.removeprefix(start)]
    return []


def sentence(error: ErrorDetails) -> str:
    """Return what a validator of our own or of a plug-in said."""
    return error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def listed(words: Sequence[str], last: str = "or") -> str:
    """Join words as people do: ``a, b or c``."""
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final


def _count(words: str, number: int, one: str, many: str) -> str:
    return f"{words} {number} {one if number == 1 else many}"


def _choices(error: ErrorDetails) -> list[str]:
    told = str(error["ctx"][_CHOICES[error["type"]]])
    return re.findall(r"'([^']*)'", told) or [told]


# --- hints ------------------------------------------------------------------------------------------------

_TRUE: Final = frozenset({"yes", "on", "y", "true", "1"})
_FALSE: Final = frozenset({"no", "off", "n", "false", "0"})
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-zµ]*)")
_SECONDS_SPELT: Final = {
    "sec": "s",
    "second": "s",
    "min": "m",
    "minute": "m",
    "hr": "h",
    "hour": "h",
    "day": "d",
    "msec": "ms",
    "millisecond": "ms",
    "usec": "us",
    "µ": "us",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest of the known words, or all of them where they are few."""
    names = list(dict.fromkeys(known))[:1000]
    close = get_close_matches(word, names, n=1) if len(word) <= 100 else []
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(names))}" if 0 < len(names) <= 20 else ""


def hint(error: ErrorDetails, node: Node) -> str:
    """Return the one action that cures the value, ``""`` where the value does not show it."""
    text = node.text
    match error["type"]:
        case "bool_type":
            word = str(node.value).lower()
            return "write true" if word in _TRUE else "write false" if word in _FALSE else ""
        case "int_type" | "float_type" | "int_from_float" as kind:
            return _number(text if text is not None else node.shown, whole=kind != "float_type")
        case "string_type" if isinstance(node.value, bool | int | float):
            return f'put it in quotes: "{node.shown}"'
        case "tuple_type" | "list_type" if text is not None:
            return "write a list: [one, two]"
        case "literal_error" | "enum" if text is not None:
            choices = _choices(error)
            return did_you_mean(text, choices) if len(choices) > 1 else ""
        case "duration":
            return _unit(text if text is not None else node.shown, _seconds_like)
        case "size":
            return _unit(text if text is not None else node.shown, _bytes_like)
        case "names_or_settings" if text is not None:
            return f"write [{node.shown}]"
        case "percent":
            return f"did you mean {node.shown}%?" if isinstance(node.value, int | float) else ""
        case _:
            return ""


def _number(text: str, *, whole: bool) -> str:
    text = text.replace("_", "").removeprefix("+")
    if re.fullmatch(r"-?[0-9]{1,18}(\.0+)?", text):
        return f"write {int(text.partition('.')[0])}"
    if not whole and re.fullmatch(r"-?[0-9]{0,18}\.[0-9]{1,18}", text):
        return f"write {float(text)}"
    return ""


def _unit(text: str, like: Callable[[str], Sequence[str]]) -> str:
    found = _AMOUNT.fullmatch(text)
    units = like(found[2].lower()) if found else ()
    meant = [found[1] + unit for unit in units] if found else []
    return f"did you mean {listed(meant)}?" if meant and text not in meant else ""


def _seconds_like(spelt: str) -> Sequence[str]:
    unit = _SECONDS_SPELT.get(spelt.removesuffix("s"), spelt or "s")
    return [unit] if unit in SECONDS else []


def _bytes_like(spelt: str) -> Sequence[str]:
    if not spelt:
        return ["MiB"]
    binary = spelt.endswith("ib")
    return [unit for unit in BYTES if unit[0].lower() == spelt[0] and ("i" in unit or not binary)]
