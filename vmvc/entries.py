"""``include`` and ``exclude`` of the factors -> conditions added and combinations left out, or faults.

An entry is for every backend to which all its paths apply, or for the one that it names under ``backend``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ValidationError

from vmvc.errors import Fault
from vmvc.factors import TRIALS, Factor, applies, put, target, value_at
from vmvc.notation import Node, Place, shorten
from vmvc.plan import Axes, Plan, same
from vmvc.spec import MOST_FACTORS, Entry, Factors, Level, Trials
from vmvc.spec_factors import MOST_ENTRIES
from vmvc.spec_model import FACTOR_PATH
from vmvc.wording import PATHS, did_you_mean, listed

FEW: Final = 20
"""Levels that a hint lists one by one."""
MOST_COMBINATIONS: Final = 1_000_000
"""Most combinations from which some can be left out: their numbers are held in memory."""


def included(factors: Factors, backends: Sequence[str]) -> tuple[Entry, ...]:
    """Return the listed conditions, each with its ``backend``; levels in the order of the file's factors."""
    found = []
    for entry in factors.include:
        paths = [*(path for path in factors.axes if path in entry), *entry]
        levels = {path: entry[path] for path in dict.fromkeys(paths) if path != "backend"}
        found += [{"backend": name, **levels} for name in _for(entry, backends)]
    return tuple(found)


def excluded(factors: Factors, backends: Sequence[str]) -> tuple[Entry, ...]:
    """Return what is left out, each with its ``backend``.

    Where nothing is swept and conditions are listed, the list is all there is: the plain backend is left out.
    """
    found = [{**entry, "backend": name} for entry in factors.exclude for name in _for(entry, backends)]
    if not factors.axes:
        listed = dict.fromkeys(str(entry["backend"]) for entry in included(factors, backends))
        found += [{"backend": name} for name in listed]
    return tuple(found)


def _for(entry: Mapping[str, object], backends: Sequence[str]) -> list[str]:
    paths = [path for path in entry if path != "backend"]
    named = [name for name in backends if entry.get("backend", name) == name]
    return [name for name in named if all(applies(path, name) for path in paths)]


# --- what is wrong with them ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """One good entry of ``include``: the backends that it is for, its levels by what they set."""

    backends: tuple[str, ...]
    factors: Mapping[str | None, Sequence[Factor]]


@dataclass(slots=True)
class Entries:
    """The entries of a file, and the faults that they show by themselves."""

    root: Node
    backends: Sequence[str]
    source: str
    listed: list[Listed] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def judge(self) -> None:
        """Find the faults of both lists."""
        for called, entry in self._entries("include"):
            self._include(called, entry)
        seen: dict[str, Node] = {}
        for called, entry in self._entries("exclude"):
            if self._exclude(called, entry):
                first = seen.setdefault(json.dumps(entry.plain(), sort_keys=True), entry)
                if first is not entry:
                    what = f"{called}: stands here again, first in line {first.place[0]}"
                    self._report(entry.place, what, "remove one of them")

    def _entries(self, key: str) -> Iterator[tuple[str, Node]]:
        """Yield the entries that have the right shape; ``vmvc.complaints`` tells of the others."""
        node = self.root.get("factors", key)
        given = node.value if node is not None and isinstance(node.value, list) else []
        for index, entry in enumerate(given[:MOST_ENTRIES]):
            good = isinstance(entry.value, dict) and 0 < len(entry.value) <= MOST_FACTORS
            if good and all(isinstance(level.value, Level) for _, _, level in entry.items()):
                yield f"factors.{key}[{index}]", entry

    def _include(self, called: str, entry: Node) -> None:
        table: dict[str | None, list[Factor]] = {}
        for path, place, level in entry.items():
            owner, keys = target(path)
            if path != "backend" and not re.fullmatch(FACTOR_PATH, path):
                return  # vmvc.complaints tells it
            if path != "backend" and (not keys or "" in keys):
                tip = f"write {PATHS}"
                self._report(place, f"{called}: {shorten(path)!r} is no path to a setting", tip)
                return
            if path != "backend":
                table.setdefault(owner, []).append(Factor(path, place, keys, (level,)))
        names = self._backends_of(called, entry)
        if names:
            self.listed.append(Listed(names, table))

    def _exclude(self, called: str, entry: Node) -> bool:
        """Report what cannot match; say whether the entry is good."""
        good = bool(self._backends_of(called, entry))
        factors = self.root.get("factors")
        axes = {path: node for path, _, node in factors.items() if _is_list(node)} if factors else {}
        for path, place, level in entry.items():
            if path == "backend" or not re.fullmatch(FACTOR_PATH, path):
                continue
            levels = axes.get(path) if path not in ("include", "exclude") else None
            if levels is None:
                swept = [known for known in axes if known not in ("include", "exclude")]
                what = f"{called}: {shorten(path)!r} is not swept, so this leaves nothing out"
                self._report(place, what, did_you_mean(path, swept))
                good = False
            elif not any(same(one, level.plain()) for one in levels.plain() if isinstance(one, Level)):
                what = f"{called}: {path} has no level {level}, so this leaves nothing out"
                known = [str(one) for one in levels.value] if isinstance(levels.value, list) else []
                tip = (
                    f"its levels: {', '.join(known)}"
                    if len(known) <= FEW
                    else did_you_mean(level.shown, known)
                )
                self._report(level.place, what, tip)
                good = False
        return good

    def _backends_of(self, called: str, entry: Node) -> tuple[str, ...]:
        """Return the backends that an entry is for; report a name that is none, and where there are none."""
        named = entry.get("backend")
        owners = [owner for path, _, _ in entry.items() if (owner := target(path)[0]) not in (None, TRIALS)]
        places = {path: place for path, place, _ in entry.items()}
        if named is not None and named.plain() not in self.backends:
            hint = did_you_mean(str(named.plain()), self.backends)
            self._report(named.place, f"{called}.backend: no backend {named} in this experiment", hint)
            return ()
        for path, place in places.items():
            owner = target(path)[0]
            if owner not in (None, TRIALS, *self.backends):
                hint = did_you_mean(str(owner), self.backends)
                self._report(place, f"{called}: {shorten(path)!r} fits no backend", hint)
                return ()
        names = tuple(_for(entry.plain(), self.backends))
        if not names and self.backends:
            both = [*([named.shown] if named is not None else []), *owners]
            what = (
                f"{called}: is about {listed([*dict.fromkeys(both)], 'and')} at once, so it fits no backend"
            )
            self._report(entry.place, what, "write an entry for each backend")
        return names

    def _report(self, place: Place, what: str, hint: str) -> None:
        self.faults.append(Fault(what, self.source, *place, hint=hint))


def _is_list(node: Node | None) -> bool:
    return node is not None and isinstance(node.value, list)


# --- what is wrong with them together ---------------------------------------------------------------------

Model = Callable[[str | None], tuple[type[BaseModel], Mapping[str, object]]]
"""Owner of a path -> the model of its settings and what the file gives for them."""


def judge_conditions(
    root: Node, factors: Factors, backends: Mapping[str, Place], model: Model, source: str
) -> Iterator[Fault]:
    """Yield what is wrong with the conditions of good factors: some there twice, or none left."""
    names = list(backends)
    axes = {
        name: {path: levels for path, levels in factors.axes.items() if applies(path, name)} for name in names
    }
    plan = Plan(axes, ((),), Trials())
    if plan.condition_count > MOST_COMBINATIONS:
        place = root.keys["factors"]
        what = f"factors: {plan.condition_count:,} combinations are too many to leave some out"
        yield Fault(what, source, *place, hint=f"sweep at most {MOST_COMBINATIONS:,}")
        return
    plan = Plan(axes, ((),), Trials(), (), included(factors, names), excluded(factors, names))
    left = {condition.backend for condition in plan.conditions}
    for name in names:
        if name not in left:
            what = f"backends.{name}: factors.exclude leaves no condition of it"
            yield Fault(what, source, *backends[name], hint=f"exclude less, or remove {name}")
    yield from _twice(root, factors, plan, axes, model, source)


def _twice(
    root: Node, factors: Factors, plan: Plan, axes: Mapping[str, Axes], model: Model, source: str
) -> Iterator[Fault]:
    """Yield the listed conditions that are there already, as the models understand their levels."""
    meaning = _Meaning(model)
    nodes = root.get("factors", "include")
    places = (
        [node.place for node in nodes.value] if nodes is not None and isinstance(nodes.value, list) else []
    )
    seen: dict[object, int] = {}
    for index, entry in enumerate(factors.include):
        levels = {path: level for path, level in entry.items() if path != "backend"}
        means = {path: meaning(path, level) for path, level in levels.items()}
        for name in _for(entry, list(axes)):
            what = ""
            first = seen.setdefault((name, frozenset(means.items())), index)
            if first != index:
                what = f"the same condition of {name} stands in line {places[first][0]}"
            elif levels.keys() == axes[name].keys():
                alike = {
                    path: [one for one in swept if meaning(path, one) == means[path]][:1]
                    for path, swept in axes[name].items()
                }
                written: dict[str, Level] = {path: one[0] for path, one in alike.items() if one}
                if len(written) == len(levels) and plan.having({**written, "backend": name}):
                    what = f"a combination of {name}'s factors has these levels already"
            if what:
                called = f"factors.include[{index}]"
                yield Fault(f"{called}: {what}", source, *places[index], hint="remove one of them")
                break


class _Meaning:
    """What a level means to the model of its path, so that 1GiB and 1024MiB are the same."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[tuple[str, type, Level], object] = {}

    def __call__(self, path: str, level: Level) -> object:
        key = (path, type(level), level)
        if key not in self._known:
            owner, keys = target(path)
            model, settings = self._model(owner)
            try:
                good = model.model_validate_json(json.dumps(put(settings, keys, level)))
                self._known[key] = value_at(good, keys)
            except ValidationError:
                self._known[key] = (type(level), level)
        return self._known[key]
