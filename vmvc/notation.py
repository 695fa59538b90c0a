"""Text in the part of YAML that is a notation for JSON -> a tree of nodes that know where they stand.

What YAML adds to JSON is comments and fewer quotation marks. Everything by which a value could silently
become another one is a fault: tags, anchors, aliases, merge keys, repeated keys, keys that are not text,
empty values, several documents. Only ``true``, ``false`` and JSON numbers are anything but text, so ``yes``,
``010``, ``1:30``, ``1_000`` and ``2026-01-01`` are text. PyYAML parses, event by event; nothing recurses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from vmvc.errors import Fault, InputError
from vmvc.syntax import LINE_BREAK, syntax_fault

LARGEST: Final = 2**20
"""Bytes of the largest file that is read; 10,000 factor levels of 100 characters each fit."""
DEEPEST: Final = 50
"""Levels of the deepest nesting."""
MOST: Final = 100
"""Faults after which reading ends."""

_LONGEST_NUMBER: Final = 30
_SHOWN: Final = 80
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Place = tuple[int, int]
"""Line and column, from 1."""


@dataclass(slots=True, eq=False)
class Node:
    """One value and where it begins; ``shown`` is a scalar as the file writes it.

    ``value`` is ``None`` where the file has a fault instead of a value; ``keys``: where a mapping's keys are.
    """

    place: Place
    value: dict[str, Node] | list[Node] | str | bool | int | float | None
    shown: str = ""
    keys: dict[str, Place] = field(default_factory=dict)

    def get(self, *path: str) -> Node | None:
        """Return the node under these keys, ``None`` where there is none."""
        node: Node | None = self
        for key in path:
            node = node.value.get(key) if node is not None and isinstance(node.value, dict) else None
        return node

    def items(self) -> Iterator[tuple[str, Place, Node]]:
        """Yield key, place of the key and value of a mapping; nothing of any other node."""
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield key, self.keys[key], node

    @property
    def text(self) -> str | None:
        """The value where it is text."""
        return self.value if isinstance(self.value, str) else None

    def broken(self) -> bool:
        """Say whether a fault was found in this value or in one that it holds."""
        match self.value:
            case None:
                return True
            case dict():
                return any(node.broken() for node in self.value.values())
            case list():
                return any(node.broken() for node in self.value)
            case _:
                return False

    def plain(self) -> Any:
        """Return the value as ``json.loads`` would, with ``None`` for a fault."""
        match self.value:
            case dict():
                return {key: node.plain() for key, node in self.value.items()}
            case list():
                return [node.plain() for node in self.value]
            case _:
                return self.value

    def __str__(self) -> str:
        match self.value:
            case dict():
                return "a mapping" if self.value else "an empty mapping"
            case list():
                return "a list" if self.value else "an empty list"
            case _:
                return shorten(self.shown)


def shorten(text: str) -> str:
    """Cut a text to what fits into a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Return each fault once, in the order of the file; those without a place come first."""
    return sorted(set(faults), key=lambda fault: (fault.line or 0, fault.column or 0, fault.what))


def read_tree(source: bytes, name: str) -> tuple[Node | None, list[Fault]]:
    """Return the tree and every fault in file order; no tree where nothing after the fault can be trusted."""
    try:
        return _Reader(name).read(_decode(source, name))
    except InputError as error:
        return None, list(error.faults)


def _decode(source: bytes, name: str) -> str:
    if len(source) > LARGEST:
        what = f"the file is larger than {LARGEST // 2**20} MiB"
        raise InputError(Fault(what, name, hint="split it into several experiments"))
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8-sig", errors="replace")
        what = f"the file is not UTF-8 text: byte 0x{source[error.start]:02x}"
        raise InputError(Fault(what, name, *_place(before), hint="save the file as UTF-8")) from error
    faults = [
        Fault(
            f"the character U+{ord(found[0]):04X} cannot stand in a file",
            name,
            *_place(text[: found.start()]),
            hint='remove it, or write it as an escape in double quotes, such as "\\x1b"',
        )
        for found, _ in zip(_UNPRINTABLE.finditer(text), range(MOST), strict=False)
    ]
    if faults:
        raise InputError(faults)
    return text


def _place(before: str) -> Place:
    lines = LINE_BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet; ``key`` is a mapping's key that waits for its value."""

    node: Node
    key: Node | None = None


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._faults: list[Fault] = []
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._text = ""

    def read(self, text: str) -> tuple[Node | None, list[Fault]]:
        self._text = text
        try:
            self._read_events()
        except InputError as error:
            return None, in_order([*self._faults, *error.faults])
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            unclosed = self._open[-1].node.place if self._open else None
            return None, in_order([*self._faults, syntax_fault(error, self._text, self._name, unclosed)])
        if self._root is None and not self._faults:
            hint = "three lines are enough: name: first, backends: [docker], metrics: [startup]"
            self._faults.append(Fault("the file is empty", self._name, hint=hint))
        return self._root, in_order(self._faults)

    def _read_events(self) -> None:
        documents = 0
        for event in yaml.parse(self._text, Loader=_Loader):
            mark: Any = event.start_mark
            place = (mark.line + 1, mark.column + 1)
            if len(self._faults) >= MOST:
                raise InputError(())
            match event:
                case yaml.ScalarEvent():
                    self._add(self._scalar(event, place))
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise InputError(
                            self._fault(place, "a second document begins", "keep one experiment a file")
                        )
                case yaml.MappingStartEvent():
                    self._begin(Node(place, {}), event)
                case yaml.SequenceStartEvent():
                    self._begin(Node(place, []), event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._add(self._open.pop().node)
                case yaml.AliasEvent():
                    self._report(place, f"the alias *{event.anchor} is not a value", "write the value itself")
                    self._add(Node(place, None, f"*{event.anchor}"))

    def _begin(self, node: Node, event: Any) -> None:
        if len(self._open) >= DEEPEST:
            what = f"nested deeper than {DEEPEST} levels"
            raise InputError(self._fault(node.place, what, "take the inner brackets or indentation out"))
        self._extras(event, node.place)
        self._open.append(_Open(node))

    def _extras(self, event: Any, place: Place) -> None:
        if event.anchor is not None:
            self._report(place, f"the anchor &{event.anchor} has no use", "remove it; write each value out")
        if event.tag is not None:
            tag = shorten(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self._report(place, f"the tag {tag} has no use", "remove it; quotes make any value text")

    def _scalar(self, event: Any, place: Place) -> Node:
        text: str = event.value
        plain = event.implicit[0] or event.tag == "!"
        shown = text if plain and text.isprintable() else json.dumps(text, ensure_ascii=False)
        self._extras(event, place)
        if event.tag is not None:
            return Node(place, None, event.tag)
        if not plain:
            for found in re.finditer("[\0\ud800-\udfff]", text):
                what = f"the character U+{ord(found[0]):04X} cannot stand in a text"
                self._report(place, what, "remove its escape")
                return Node(place, None, shown)
            return Node(place, text, shown)
        if text in _NULLS:
            return Node(place, None, text)
        if text in ("true", "false"):
            return Node(place, text == "true", text)
        if _NUMBER.fullmatch(text):
            return self._number(text, place)
        return Node(place, text, text)

    def _number(self, text: str, place: Place) -> Node:
        if len(text) > _LONGEST_NUMBER or math.isinf(float(text)):
            self._report(place, f"the number {shorten(text)} is too long", "quotes make it text")
            return Node(place, None, text)
        return Node(place, int(text) if _INTEGER.fullmatch(text) else float(text), text)

    def _add(self, node: Node) -> None:
        """Put a complete node where it belongs: root, list item, key or value."""
        if not self._open:
            self._root = node
            if node.value is None and node.shown in _NULLS:
                self._root = None
            return
        parent = self._open[-1]
        if isinstance(parent.node.value, list):
            self._null(node, "a list item")
            parent.node.value.append(node)
        elif parent.key is None:
            parent.key = node
        elif isinstance(parent.node.value, dict):
            key, parent.key = parent.key, None
            self._pair(parent.node, parent.node.value, key, node)

    def _pair(self, mapping: Node, values: dict[str, Node], key: Node, node: Node) -> None:
        name = key.text
        if name is None:
            if key.value is not None or key.shown in _NULLS:
                self._report(
                    key.place, f"a key must be text, got {str(key) or 'nothing'}", "put the key in quotes"
                )
        elif name == "<<" and key.shown == name:
            self._report(key.place, "merge keys (<<) have no use", "write the keys out")
        elif name in values:
            line, _ = mapping.keys[name]
            self._report(
                key.place,
                f"the key {shorten(name)!r} stands here again, first in line {line}",
                "keep one of them",
            )
        else:
            if not node.shown and node.value is None:
                node.place = key.place
            self._null(node, repr(shorten(name)))
            values[name] = node
            mapping.keys[name] = key.place

    def _null(self, node: Node, what: str) -> None:
        if node.value is None and node.shown in _NULLS and not self._reported(node.place):
            self._report(
                node.place,
                f"{what} is {node.shown}" if node.shown else f"{what} has no value",
                "give a value, {}, or remove it",
            )

    def _reported(self, place: Place) -> bool:
        return bool(self._faults) and (self._faults[-1].line, self._faults[-1].column) == place

    def _fault(self, place: Place, what: str, hint: str = "") -> Fault:
        return Fault(what, self._name, *place, hint=hint)

    def _report(self, place: Place, what: str, hint: str) -> None:
        self._faults.append(self._fault(place, what, hint))
