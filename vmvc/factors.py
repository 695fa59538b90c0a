"""Factor paths and their levels -> settings with a level in its place, or faults where it does not fit.

``guest.KEY[.KEY]`` applies to every backend, ``backends.NAME.options.KEY[.KEY]`` to that one, and
``trials.cache`` and ``trials.image`` to every trial. A level
replaces what the file gives at that path. A guest setting that one backend fixes for itself cannot be swept:
that backend would silently have no levels, so it is a fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from vmvc.complaints import Schema, judge, schemas_at
from vmvc.errors import Fault
from vmvc.notation import MOST, Node, Place, shorten
from vmvc.spec import MOST_FACTORS, Level
from vmvc.spec_machine import REACHED
from vmvc.spec_model import FACTOR_PATH
from vmvc.wording import PATHS, PATTERNS, did_you_mean

TRIALS: Final = "trials."
"""Owner of the settings of trials that can be swept; no backend can have this name."""
_COMBINATIONS: Final = 10_000
"""Combinations of one backend's option levels that are tried at most."""
_DEEPEST: Final = 4
"""Depth to which known paths are listed for a hint."""


def target(path: str) -> tuple[str | None, tuple[str, ...]]:
    """Split a path into its backend (``None``: the guest of all) and the keys below guest or options.

    ``TRIALS`` stands in the backend's place where a setting of the trials is meant. No keys where the path is
    none of ``guest.KEY``, ``backends.NAME.options.KEY``, ``trials.cache`` and ``trials.image``.
    """
    match path.split("."):
        case ["trials", "cache" | "image" as key]:
            return TRIALS, (key,)
        case ["guest", *keys]:
            return None, tuple(keys)
        case ["backends", name, "options", *keys]:
            return name, tuple(keys)
        case _:
            return None, ()


def applies(path: str, backend: str) -> bool:
    """Say whether a factor has levels on that backend."""
    return target(path)[0] in (None, TRIALS, backend)


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
    """One factor of a file: its keys below guest or options, its place, those levels that are values."""

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
    factors = root.get("factors")
    for path, place, levels in islice(factors.items() if factors is not None else (), MOST_FACTORS):
        if path in ("include", "exclude"):
            continue
        if not re.fullmatch(FACTOR_PATH, path):
            what = f"keys of factors: expected {PATTERNS[FACTOR_PATH]}, got {shorten(path)}"
            faults.append(Fault(what, source, *place))
            continue
        backend, keys = target(path)
        if not keys or "" in keys:
            tip = f"write {PATHS}"
            faults.append(
                Fault(f"factors: {shorten(path)!r} is no path to a setting", source, *place, hint=tip)
            )
        elif backend not in (None, TRIALS, *backends):
            tip = did_you_mean(str(backend), backends)
            faults.append(Fault(f"factors: {shorten(path)!r} fits no backend", source, *place, hint=tip))
        else:
            given = levels.value if isinstance(levels.value, list) else []
            nodes = tuple(node for node in given if isinstance(node.value, Level))
            found.setdefault(backend, []).append(Factor(path, place, keys, nodes))
    return found, faults


def judge_settings(
    model: type[BaseModel], base: Node, factors: Sequence[Factor], source: str, path: Sequence[str]
) -> list[Fault]:
    """Return what is wrong with the settings at every level of every factor that sweeps them."""
    return list(dict.fromkeys(_Settings(model, base, source, path).judge(factors)))


class _Settings:
    def __init__(self, model: type[BaseModel], base: Node, source: str, path: Sequence[str]) -> None:
        self._model = model
        self._base = base
        self._source = source
        self._path = path

    def judge(self, factors: Sequence[Factor]) -> Iterator[Fault]:
        usable = []
        for factor in factors:
            unknown = self._unknown(factor)
            if unknown is not None:
                yield unknown
            elif factor.levels:
                usable.append(factor)
        base = self._with(usable, [factor.levels[0] for factor in usable])
        own = set(self._faults(self._base))
        first = self._faults(base)
        yield from (fault for fault in first if fault in own)
        together = [fault for fault in first if fault not in own]
        refused = [*self._blamed(together, usable)]
        for factor in usable:
            refused += islice(self._levels(factor, base, {*own, *together}), MOST)
        yield from refused
        if not own and not refused and len(usable) > 1:
            yield from islice(self._combinations(usable), 1)

    def _with(self, factors: Sequence[Factor], levels: Sequence[Node]) -> Node:
        base = self._base
        for factor, level in zip(factors, levels, strict=True):
            base = _put_node(base, factor.keys, level, factor.place)
        return base

    def _faults(self, settings: Node) -> list[Fault]:
        return judge(self._model, settings, self._source, self._path)[1]

    def _blamed(self, faults: Sequence[Fault], factors: Sequence[Factor]) -> Iterator[Fault]:
        """Move what the first levels do elsewhere in the settings to the factor that does it."""
        places = {place for factor in factors for place in (factor.place, factor.levels[0].place)}
        for fault in faults:
            if (fault.line, fault.column) in places:
                yield fault
                continue
            alone = (
                factor for factor in factors if fault in self._faults(self._with([factor], factor.levels[:1]))
            )
            yield _moved(fault, next(alone, factors[-1]).place)

    def _unknown(self, factor: Factor) -> Fault | None:
        schema = _schema_of(self._model)
        found = schemas_at(schema, factor.keys)
        if any(_one_value(one) for one in found):
            return None
        paths = [(*self._path, *keys) for keys in dict.fromkeys(_paths(schema, ()))]
        known = [".".join(path) for path in paths if path[:1] != ("guest",) or path[1] not in REACHED]
        if found:
            what, hint = f"factors: {shorten(factor.path)!r} is no single value", did_you_mean("", known)
        else:
            what, hint = f"factors: unknown path {shorten(factor.path)!r}", did_you_mean(factor.path, known)
        return Fault(what, self._source, *factor.place, hint=hint or "remove it")

    def _levels(self, factor: Factor, base: Node, told: Set[Fault]) -> Iterator[Fault]:
        settings = base.plain()
        seen: dict[Level, Node] = {}
        for level in factor.levels:
            try:
                good = self._model.model_validate_json(json.dumps(put(settings, factor.keys, level.plain())))
            except ValidationError:
                for fault in self._faults(_put_node(base, factor.keys, level, factor.place)):
                    if fault not in told:
                        yield _moved(fault, level.place)
                continue
            first = seen.setdefault(value_at(good, factor.keys), level)
            if first is not level:
                again = f"stands here again, first as {first} in line {first.place[0]}"
                what = f"{factor.path}: the level {level} {again}"
                yield Fault(what, self._source, *level.place, hint="remove one of them")

    def _combinations(self, factors: Sequence[Factor]) -> Iterator[Fault]:
        """Try levels together: each may be good by itself, and a plug-in may refuse them together."""
        settings = self._base.plain()
        for levels in islice(product(*(factor.levels for factor in factors)), _COMBINATIONS):
            for factor, level in zip(factors, levels, strict=True):
                settings = put(settings, factor.keys, level.plain())
            try:
                self._model.model_validate_json(json.dumps(settings))
            except ValidationError:
                pairs = zip(factors, levels, strict=True)
                together = ", ".join(f"{factor.path}={level}" for factor, level in pairs)
                for fault in self._faults(self._with(factors, levels)):
                    yield _moved(replace(fault, what=f"{fault.what} (with {together})"), levels[-1].place)


@lru_cache(maxsize=64)
def _schema_of(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def _moved(fault: Fault, place: Place) -> Fault:
    return replace(fault, line=place[0], column=place[1])


def value_at(settings: Any, keys: Sequence[str]) -> Level:
    """Return the level as the model understood it, so that 1GiB and 1024MiB, or 1 and 1.0, are the same."""
    for key in keys:
        settings = settings[key] if isinstance(settings, Mapping) else getattr(settings, key, settings)
    plain = isinstance(settings, int | float) and not isinstance(settings, bool)
    return settings if plain else repr(settings)


def _one_value(one: Schema) -> bool:
    """Say whether a part of a schema can be one value: text, a number, true or false."""
    named = {"enum", "const"} & one.keys() or one.get("type") in ("string", "integer", "number", "boolean")
    return bool(named) or not one.keys() & {"type", "$ref", "anyOf", "oneOf", "allOf", "properties"}


def _paths(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every path to a setting that a schema names and that can be one value."""
    for one in schemas_at(schema, path):
        if path and _one_value(one):
            yield path
        for key in one.get("properties", ()) if len(path) < _DEEPEST else ():
            yield from _paths(schema, (*path, key))
