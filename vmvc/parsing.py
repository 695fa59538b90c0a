"""What a command printed -> one number, or the file, line and text at which it is not to be had."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from vmvc.errors import TrialError
from vmvc.stats import LARGEST

LONGEST: Final = 2**20
"""Most bytes of a file in which a number is looked for."""
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_SHOWN: Final = 80


class Unreadable(TrialError):
    """The output holds no number where one was expected; the text says in which file and line."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a command wrote, by the ``name`` that a message gives it."""

    name: str
    data: bytes

    def text(self) -> str:
        """Return it as text.

        Raises: Unreadable where it is binary or too long.
        """
        if len(self.data) > LONGEST:
            raise Unreadable(
                f"{self.name}: {len(self.data)} bytes, and at most {LONGEST} are read",
                hint="have the command print less, or write its result to a file of its own",
            )
        try:
            text = self.data.decode()
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            raise Unreadable(
                f"{self.name}:{line}: this is no text: byte 0x{self.data[error.start]:02x}",
                hint="have the command print its result as text",
            ) from error
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise Unreadable(
                f"{self.name}:{line}: this is no text: byte 0x00", hint="have the command print text"
            )
        return text

    def refuse(self, what: str, line: int | None = None, text: str = "") -> Unreadable:
        """Return the complaint about a line, or about the file as a whole with the text that it ends with."""
        where = self.name if line is None else f"{self.name}:{line}"
        if line is None and not text:
            last = self.data.decode(errors="replace").strip().splitlines()[-1:]
            text = last[0] if last else ""
            ends = f"; it ends with {_shorten(text)}" if text else "; nothing was printed there"
            return Unreadable(
                f"{where}: {what}{ends}", hint="see what the command prints, and mend the parser"
            )
        return Unreadable(f"{where}: {what}, got {_shorten(text)}", hint="mend the parser of this quantity")


Parse = Callable[[Output], float]


def by_regex(pattern: str) -> Parse:
    """Return what reads the one group of the pattern's one match; ``^`` and ``$`` are those of a line."""
    compiled = re.compile(pattern, re.MULTILINE)

    def parse(output: Output) -> float:
        text = output.text()
        matches = list(compiled.finditer(text))
        if not matches:
            raise output.refuse(f"no line matches {pattern!r}")
        lines = [text.count("\n", 0, match.start(1)) + 1 for match in matches]
        if len(matches) > 1:
            found = text.splitlines()[lines[1] - 1]
            raise output.refuse(f"{pattern!r} matches again, first in line {lines[0]}", lines[1], found)
        return _number(matches[0][1], output, lines[0])

    return parse


def by_json(path: str) -> Parse:
    """Return what follows keys and places (from 0) through a JSON document: ``jobs.0.read.iops``.

    A point that belongs to a key has a backslash before it.
    """
    steps = [step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", path)]

    def parse(output: Output) -> float:
        text = output.text()
        try:
            node: Any = json.loads(text)
        except RecursionError as error:
            raise output.refuse("the JSON is nested too deeply") from error
        except ValueError as error:
            line = getattr(error, "lineno", 1)
            lines = text.splitlines() or [""]
            raise output.refuse("expected JSON", line, lines[min(line, len(lines)) - 1]) from error
        passed = ""
        for step in steps:
            passed = f"{passed}.{step}" if passed else step
            if isinstance(node, list) and step.isdigit() and int(step) < len(node):
                node = node[int(step)]
            elif isinstance(node, dict) and step in node:
                node = node[step]
            else:
                raise output.refuse(f"the JSON has no {passed}")
        if isinstance(node, str):
            return _number(node, output, None, f"{path}: ")
        if isinstance(node, bool) or not isinstance(node, int | float) or not abs(node) <= LARGEST:
            raise output.refuse(f"{path}: expected a number", None, json.dumps(node))
        return float(node)

    return parse


def by_csv(column: str, row: int | None) -> Parse:
    """Return what reads a column of a table with a header; ``row``: from 1, ``None``: the only one."""

    def parse(output: Output) -> float:
        try:
            rows = list(csv.reader(output.text().splitlines()))
        except csv.Error as error:
            raise output.refuse(f"expected CSV ({error})") from error
        if not rows:
            raise output.refuse(f"no column {column!r}")
        if rows[0].count(column) != 1:
            how = "no column" if column not in rows[0] else "more than one column"
            raise output.refuse(f"{how} {column!r}", 1, ",".join(rows[0]))
        data = [(line, one) for line, one in enumerate(rows[1:], 2) if one]
        if row is None and len(data) != 1:
            raise output.refuse(f"expected one row below the header, got {len(data)}")
        if row is not None and row > len(data):
            raise output.refuse(f"there is no row {row}, only {len(data)}")
        line, cells = data[(row or 1) - 1]
        place = rows[0].index(column)
        if place >= len(cells):
            raise output.refuse(f"this row has no cell {column!r}", line, ",".join(cells))
        return _number(cells[place].strip(), output, line)

    return parse


def by_line(number: int | None, field: int | None) -> Parse:
    """Return what reads a line that holds something, and a word of it.

    Both count from 1, the line from -1 backwards, too; ``None``: the only one.
    """

    def parse(output: Output) -> float:
        lines = [(at, one) for at, one in enumerate(output.text().splitlines(), 1) if one.strip()]
        if number is None and len(lines) != 1:
            raise output.refuse(f"expected one line, got {len(lines)}")
        wanted = 1 if number is None else number
        if abs(wanted) > len(lines):
            raise output.refuse(f"there is no line {wanted}, only {len(lines)}")
        at, text = lines[wanted - 1 if wanted > 0 else wanted]
        words = text.split()
        if field is None and len(words) != 1:
            raise output.refuse(f"expected one word, got {len(words)}", at, text)
        if field is not None and field > len(words):
            raise output.refuse(f"there is no word {field}, only {len(words)}", at, text)
        return _number(words[(field or 1) - 1], output, at)

    return parse


def _number(text: str, output: Output, line: int | None, what: str = "") -> float:
    if _NUMBER.fullmatch(text) is None or abs(float(text)) > LARGEST:
        raise output.refuse(f"{what}expected a number", line, text or "nothing")
    return float(text)


def _shorten(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
