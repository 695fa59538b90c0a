"""Factor paths and their levels -> settings with a level in its place, or faults where it does not fit.

``guest.KEY[.KEY]`` applies to every backend, ``backends.NAME.options.KEY[.KEY]`` to that one. A level
replaces what the file gives at that path. A guest setting that one backend fixes for itself cannot be swept:
that backend would silently have no levels, so it is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from vmvc.complaints import Schema, judge, schemas_at
from vmvc.errors import Fault
from vmvc.notation import MOST, Node, Place
from vmvc.spec import Level
from vmvc.wording import did_you_mean

_COMBINATIONS: Final = 10_000
"""Combinations of one backend's option levels that are tried at most."""
_DEEPEST: Final = 4
"""Depth to which known paths are listed for a hint."""
_ONE_VALUE: Final = ("string", "integer", "number", "boolean")


def target(path: str) -> tuple[str | None, tuple[str, ...]]:
    """Split a path into its backend (``None``: the guest of all) and the keys below guest or options.

    No keys where the path is neither ``guest.KEY`` nor ``backends.NAME.options.KEY``.
    """
    match path.split("."):
        case ["guest", *keys]:
            return None, tuple(keys)
        case ["backends", name, "options", *keys]:
            return name, tuple(keys)
        case _:
            return None, ()


def put(settings: Mapping[str, Any], keys: Sequence[str], level: Level) -> dict[str, Any]:
    """Return a copy of the settings with the level at these keys."""
    key, *rest = keys
    inner = settings.get(key)
    return {**settings, key: put(inner if isinstance(inner, Mapping) else {}, rest, level) if rest else level}


def _put_node(base: Node | None, keys: Sequence[str], level: Node, place: Place) -> Node:
    """Do the same to a tree; what the path adds stands at ``place``."""
    key, *rest = keys
    known = base is not None and isinstance(base.value, dict)
    value = dict(base.value) if base is not None and isinstance(base.value, dict) else {}
    value[key] = _put_node(value.get(key), rest, level, place) if rest else level
    return Node(
        base.place if base is not None and known else place,
        value,
        keys={key: place, **(base.keys if base is not None and known else {})},
    )


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a file: its keys below guest or options, where it stands, its levels."""

    path: str
    place: Place
    keys: tuple[str, ...]
    levels: tuple[Node, ...]


def factors_of(
    root: Node, backends: Sequence[str], source: str
) -> tuple[dict[str | None, list[Factor]], list[Fault]]:
    """Sort the factors by what they sweep: the guest (``None``) or the options of one backend."""
    found: dict[str | None, list[Factor]] = {}
    faults = []
    for path, place, levels in (root.get("factors") or root).items() if root.get("factors") else ():
        backend, keys = target(path)
        if path.partition(".")[0] not in ("guest", "backends"):
            continue
        if not keys or "" in keys:
            tip = "write guest.KEY or backends.NAME.options.KEY"
            faults.append(Fault(f"factors: {path!r} is no path to a setting", source, *place, hint=tip))
        elif backend is not None and backend not in backends:
            tip = did_you_mean(backend, backends)
            faults.append(Fault(f"factors: {path!r} fits no backend", source, *place, hint=tip))
        else:
            nodes = tuple(levels.value) if isinstance(levels.value, list) else ()
            found.setdefault(backend, []).append(Factor(path, place, keys, nodes))
    return found, faults


def judge_settings(
    model: type[BaseModel], base: Node, factors: Sequence[Factor], source: str, called: str
) -> list[Fault]:
    """Return what is wrong with the settings at every level of every factor that sweeps them."""
    return list(dict.fromkeys(_Settings(model, base, source, called).judge(factors)))


class _Settings:
    def __init__(self, model: type[BaseModel], base: Node, source: str, called: str) -> None:
        self._model = model
        self._base = base
        self._source = source
        self._called = called

    def judge(self, factors: Sequence[Factor]) -> Iterator[Fault]:
        usable = []
        for factor in factors:
            unknown = self._unknown(factor)
            if unknown is not None:
                yield unknown
            elif factor.levels:
                usable.append(factor)
        base = self._base
        for factor in usable:
            base = _put_node(base, factor.keys, factor.levels[0], factor.place)
        _, faults = judge(self._model, base, self._source, self._called)
        yield from faults
        for factor in usable:
            yield from islice(self._levels(factor, base, faults), MOST)
        if not faults and len(usable) > 1:
            yield from islice(self._combinations(usable, base), 1)

    def _unknown(self, factor: Factor) -> Fault | None:
        schema = self._model.model_json_schema()
        if schemas_at(schema, factor.keys):
            return None
        known = [".".join((self._called, *keys)) for keys in _paths(schema, ())]
        tip = did_you_mean(factor.path, known) or "remove it"
        return Fault(f"factors: unknown path {factor.path!r}", self._source, *factor.place, hint=tip)

    def _levels(self, factor: Factor, base: Node, known: Sequence[Fault]) -> Iterator[Fault]:
        settings = base.plain()
        seen: dict[Level, Node] = {}
        for level in factor.levels:
            if level.broken():
                continue
            try:
                good = self._model.model_validate_json(json.dumps(put(settings, factor.keys, level.plain())))
            except ValidationError:
                yield from self._refused(factor, level, base, known)
                continue
            first = seen.setdefault(_value(good, factor.keys), level)
            if first is not level:
                again = f"stands here again, first as {first} in line {first.place[0]}"
                yield Fault(
                    f"{factor.path}: the level {level} {again}",
                    self._source,
                    *level.place,
                    hint="remove one of them",
                )

    def _refused(self, factor: Factor, level: Node, base: Node, known: Sequence[Fault]) -> Iterator[Fault]:
        tree = _put_node(base, factor.keys, level, factor.place)
        for fault in judge(self._model, tree, self._source, self._called)[1]:
            if fault not in known and (fault.line, fault.column) not in (level.place, factor.place):
                line, column = level.place
                fault = replace(fault, line=line, column=column)
            yield fault

    def _combinations(self, factors: Sequence[Factor], base: Node) -> Iterator[Fault]:
        """Try levels together: each may be good by itself, and a plug-in may refuse them together."""
        settings = base.plain()
        for levels in islice(product(*(factor.levels for factor in factors)), _COMBINATIONS):
            for factor, level in zip(factors, levels, strict=True):
                settings = put(settings, factor.keys, level.plain())
            try:
                self._model.model_validate_json(json.dumps(settings))
            except ValidationError:
                tree = base
                for factor, level in zip(factors, levels, strict=True):
                    tree = _put_node(tree, factor.keys, level, factor.place)
                together = ", ".join(
                    f"{factor.path}={level}" for factor, level in zip(factors, levels, strict=True)
                )
                for fault in judge(self._model, tree, self._source, self._called)[1]:
                    yield replace(fault, what=f"{fault.what} (with {together})")


def _value(settings: Any, keys: Sequence[str]) -> Level:
    """Return the level as the model understood it, so that 1GiB and 1024MiB, or 1 and 1.0, are the same."""
    for key in keys:
        settings = settings[key] if isinstance(settings, Mapping) else getattr(settings, key, settings)
    plain = isinstance(settings, int | float) and not isinstance(settings, bool)
    return settings if plain else repr(settings)


def _paths(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every path to a setting that a schema names and that can be one value."""
    for one in schemas_at(schema, path):
        if path and (one.get("type") in _ONE_VALUE or "enum" in one or "const" in one):
            yield path
        for key in one.get("properties", ()) if len(path) < _DEEPEST else ():
            yield from _paths(schema, (*path, key))
