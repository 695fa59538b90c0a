"""A Pydantic model and a tree of nodes -> the model's object, or faults in plain words, each at its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from vmvc.errors import Fault
from vmvc.notation import Node, Place, shorten
from vmvc.spec_names import NAMES
from vmvc.wording import did_you_mean, expectations, hint, listed, sentence

_Object = TypeVar("_Object")
Step = str | int
Schema = Mapping[str, Any]

_EXAMINED: Final = 1000
"""Errors of one validation that are put into words; a file that has more shows its first ones."""


def judge(
    model: type[_Object] | TypeAdapter[_Object], node: Node, source: str, path: Sequence[Step] = ()
) -> tuple[_Object | None, list[Fault]]:
    """Validate the tree strictly; ``path`` is where it is in the file, for the messages.

    Errors in values that the notation has refused already are not told again.
    """
    adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
    try:
        return adapter.validate_json(json.dumps(node.plain())), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    return None, list(_Complaints(adapter, node, source, path).of(errors))


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where an error belongs: the path that exists in the tree, its last node, and that node's key."""

    path: tuple[Step, ...]
    node: Node
    key: Place

    @property
    def called(self) -> str:
        """The path as people write it: ``claims[2].says``."""
        return _write(self.path)

    @property
    def parent(self) -> str:
        return _write(self.path[:-1])


def _write(path: Sequence[Step]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" for step in path).lstrip(".")


@dataclass(slots=True)
class _Complaint:
    """What is said about one place; ``expected`` collects what the members of a union wanted."""

    place: Place
    called: str
    what: str = ""
    expected: list[str] = field(default_factory=list)
    got: str = ""
    hint: str = ""
    missing: str = ""

    def fault(self, source: str) -> Fault:
        what = f"expected {listed(self.expected)}, got {self.got}" if self.expected else self.what
        return Fault(f"{self.called}: {what}" if self.called else what, source, *self.place, hint=self.hint)


class _Complaints:
    def __init__(self, adapter: TypeAdapter[Any], root: Node, source: str, path: Sequence[Step]) -> None:
        self._adapter = adapter
        self._root = _Spot(tuple(path), root, root.place)
        self._source = source
        self._schema: Schema = {}

    def of(self, errors: Sequence[ErrorDetails]) -> Iterator[Fault]:
        told: dict[tuple[Place, str], _Complaint] = {}
        for error in islice(errors, _EXAMINED):
            for new in self._word(error):
                old = told.setdefault((new.place, new.what), new)
                if old is not new:
                    old.expected += [words for words in new.expected if words not in old.expected]
                    old.hint = next((tip for tip in (old.hint, new.hint) if tip.startswith("did you")), "")
        meant = {(complaint.called, complaint.hint) for complaint in told.values()}
        for complaint in told.values():
            if not (
                complaint.missing and (complaint.called, f"did you mean {complaint.missing!r}?") in meant
            ):
                yield complaint.fault(self._source)

    def _word(self, error: ErrorDetails) -> Iterator[_Complaint]:
        loc = error["loc"]
        match error["type"]:
            case "missing":
                yield self._missing(self._locate(loc[:-1]), loc[-1])
            case "extra_forbidden":
                yield self._unknown(self._locate(loc))
            case "listed_twice" | "count_and_until" | "factor_path" | "machine_brings" | "needs_machine":
                return  # vmvc.crosscheck tells it, also beside other faults in the list
            case "exactly_one":
                yield _exactly_one(
                    self._locate(loc), sentence(error).removeprefix("expected exactly one of ").split(", ")
                )
            case "string_type" if NAMES in loc:
                spot = self._locate(loc)
                tip = "to give settings, write all as a mapping: NAME: {...}"
                if not spot.node.broken():
                    yield _Complaint(spot.node.place, spot.called, "", ["a name"], str(spot.node), tip)
            case _ if "[key]" in loc:
                yield _bad_key(self._locate(loc[: loc.index("[key]")]), error)
            case _:
                yield from _bad_value(self._locate(loc), error)

    def _locate(self, loc: Sequence[Step]) -> _Spot:
        return _locate(self._root, loc)[1]

    def _missing(self, spot: _Spot, key: Step) -> _Complaint:
        if isinstance(key, int):
            return _Complaint(spot.node.place, spot.called, expected=["another entry"], got=_size(spot.node))
        known = [one.get("properties", {}) for one in self._at(spot.path)]
        says = next((properties[key].get("description") for properties in known if key in properties), None)
        tip = f"add {key}: {says}" if says else f"add {key}"
        return _Complaint(spot.node.place, spot.called, f"the key {key!r} is missing", hint=tip, missing=key)

    def _unknown(self, spot: _Spot) -> _Complaint:
        *path, key = spot.path
        known = [name for one in self._at(path) for name in one.get("properties", ())]
        tip = did_you_mean(str(key), known) or "remove it"
        return _Complaint(spot.key, spot.parent, f"unknown key {shorten(str(key))!r}", hint=tip)

    def _at(self, path: Sequence[Step]) -> list[Schema]:
        """Return every schema that may describe the value there."""
        self._schema = self._schema or self._adapter.json_schema()
        return schemas_at(self._schema, path[len(self._root.path) :])


def _exactly_one(spot: _Spot, wanted: Sequence[str]) -> _Complaint:
    expected = [f"exactly one of the keys {listed(wanted)}"]
    if not isinstance(spot.node.value, dict):
        return _Complaint(spot.node.place, spot.called, expected=expected, got=str(spot.node))
    given = [key for key in wanted if key in spot.node.value]
    tips = (did_you_mean(key, wanted) for key in spot.node.value if key not in wanted)
    tip = "remove all but one" if given else next((tip for tip in tips if tip.startswith("did")), "add one")
    got = listed(given, "and") if given else "none"
    return _Complaint(spot.node.place, spot.called, expected=expected, got=got, hint=tip)


def _bad_key(spot: _Spot, error: ErrorDetails) -> _Complaint:
    name = str(spot.path[-1])
    wanted, tip = expectations(error), hint(error, Node(spot.key, name, name))
    keys = f"keys of {spot.parent}"
    return _Complaint(spot.key, keys, "" if wanted else sentence(error), wanted, shorten(name), tip)


def _bad_value(spot: _Spot, error: ErrorDetails) -> Iterator[_Complaint]:
    if spot.node.broken():
        return
    wanted, got, value = expectations(error), str(spot.node), spot.node.value
    if error["type"] in ("too_short", "too_long") and isinstance(value, dict | list):
        if error["type"] == "too_short" and len(value) >= error["ctx"]["min_length"]:
            return  # its entries are wrong, and each of them has been told
        got = _size(spot.node)
    elif error["type"] in ("string_too_short", "string_too_long") and spot.node.text is not None:
        got = f"{len(spot.node.text)}"
    place, path = spot.node.place, spot.called
    yield _Complaint(place, path, "" if wanted else sentence(error), wanted, got, hint(error, spot.node))


def _size(node: Node) -> str:
    return str(len(node.value)) if isinstance(node.value, dict | list) else str(node)


# --- the way from Pydantic's loc to a node and to a schema ------------------------------------------------


def _locate(spot: _Spot, loc: Sequence[Step]) -> tuple[tuple[bool, int], _Spot]:
    """Return where ``loc`` leads, ranked: does its last step exist in the tree, and how many steps do.

    Steps that lead nowhere are names of union members; where such a name is a key as well, the reading of
    higher rank is the right one.
    """
    if not loc:
        return (True, 0), spot
    step, rest = loc[0], loc[1:]
    ways = []
    down = _child(spot, step)
    if down is not None:
        (last, count), found = _locate(down, rest)
        if last and count == len(rest):
            return (True, count + 1), found
        ways.append(((last, count + 1), found))
    ways.append(_locate(spot, rest) if rest else ((False, 0), spot))
    return max(ways, key=lambda way: way[0])


def _child(spot: _Spot, step: Step) -> _Spot | None:
    value = spot.node.value
    if isinstance(value, dict) and isinstance(step, str) and step in value:
        return _Spot((*spot.path, step), value[step], spot.node.keys[step])
    if isinstance(value, list):
        if isinstance(step, int):
            return _Spot((*spot.path, step), value[step], value[step].place) if step < len(value) else None
        named = next((item for item in value if item.value == step), None)
        return _Spot((*spot.path, step), named, named.place) if named is not None else None
    return None


def schemas_at(schema: Schema, path: Sequence[Step]) -> list[Schema]:
    """Return every part of a JSON Schema that may describe the value at that path."""
    found = list(_alternatives(schema, schema))
    for step in path:
        found = [
            deep for one in found for child in _below(one, step) for deep in _alternatives(child, schema)
        ]
    return found


def _alternatives(one: Schema, whole: Schema) -> Iterator[Schema]:
    if "$ref" in one:
        yield from _alternatives(whole["$defs"][one["$ref"].rpartition("/")[2]], whole)
    for member in (member for word in ("anyOf", "oneOf", "allOf") for member in one.get(word, ())):
        yield from _alternatives(member, whole)
    yield one


def _below(one: Schema, step: Step) -> Iterator[Schema]:
    if isinstance(step, int):
        yield from [*one.get("prefixItems", ())[step : step + 1], *filter(None, [one.get("items")])]
    elif step in one.get("properties", ()):
        yield one["properties"][step]
    else:
        rest = {} if one.get("additionalProperties") is True else one.get("additionalProperties")
        yield from [*one.get("patternProperties", {}).values(), *([rest] if isinstance(rest, dict) else [])]
