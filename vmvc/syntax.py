"""A syntax error, as either of PyYAML's parsers says it -> a fault in plain words."""

from __future__ import annotations

import re
from typing import Any, Final

from vmvc.errors import Fault

LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What PyYAML counts as the end of a line."""

_WORDS: Final = (
    (
        "mapping values are not allowed",
        "a second key in this value, or a wrong indentation",
        'put the value in quotes if it holds ": ", else indent the line like its neighbours',
    ),
    (
        "sequence entries are not allowed",
        "a list item cannot begin here",
        'begin the item "- " on a line of its own',
    ),
    ("cannot start any token", "a value cannot begin with {character}", "put the value in quotes"),
    ("could not find expected ':'", "a key without ': ' after it", "write the key as KEY: VALUE"),
    ("expected ',' or '\\]'", "a list lacks a comma or its ]{begun}", "add what lacks"),
    ("expected ',' or '}'", "a mapping lacks a comma or its }}{begun}", "add what lacks"),
    (
        "expected key|expected <block end>|'-' indicator",
        "this does not belong to the block before it{begun}",
        "indent it like its neighbours, and put a value that goes on after its quotes in one pair of quotes",
    ),
    ("node content", "a value is missing before {character}", "give a value"),
    ("document start", "something stands after the end of the document", "keep one experiment a file"),
    (
        "escape|hexadecimal|hexdecimal",
        "a \\ in double quotes begins no escape that exists",
        "use single quotes, or write \\\\",
    ),
)
"""Problem, as either of PyYAML's parsers says it -> what it means and what to do."""

_BRACKETS: Final = re.compile("expected ',' or|node content")


def syntax_fault(error: Exception, text: str, source: str, unclosed: tuple[int, int] | None) -> Fault:
    """Return the fault; ``unclosed`` is where the innermost list or mapping begins that has not ended."""
    problem = getattr(error, "problem", None) or "an escape that is no character"
    mark: Any = getattr(error, "problem_mark", None)
    context: Any = getattr(error, "context_mark", None)
    if mark is None:
        return Fault(f"this is not YAML: {problem}", source, hint="write it in another way")
    rest = text[_index(text, mark) :]
    if "unexpected end of stream" in problem and context is not None:
        place = (context.line + 1, context.column + 1)
        return Fault("a quotation mark is never closed", source, *place, hint="close it")
    if not rest.strip() and unclosed is not None and _BRACKETS.search(problem):
        return Fault("a bracket is never closed", source, *unclosed, hint="close it")
    place = (mark.line + 1, mark.column + 1)
    if rest.startswith("\t"):
        what = "a tab stands where only spaces can indent"
        return Fault(what, source, *place, hint="indent with spaces")
    begun = f" (it begins in line {context.line + 1})" if context is not None else ""
    for known, what, hint in _WORDS:
        if re.search(known, problem):
            return Fault(what.format(begun=begun, character=rest[:1]), source, *place, hint=hint)
    return Fault(f"this is not YAML: {problem}", source, *place, hint="put the value in quotes")


def _index(text: str, mark: Any) -> int:
    """Return where the mark is in the text: the C parser counts lines and columns right, and no more."""
    starts = [0, *(found.end() for found in LINE_BREAK.finditer(text))]
    return int(starts[mark.line] + mark.column) if mark.line < len(starts) else len(text)
