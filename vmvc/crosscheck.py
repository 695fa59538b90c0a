"""A tree of nodes -> the plug-ins that it names, and the faults that only they and cross references show.

Every check looks at the tree, not at the validated experiment, so one fault elsewhere hides none here. What
has a wrong shape, or is more than an experiment may hold, is passed over: ``vmvc.complaints`` has told it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vmvc.complaints import judge
from vmvc.contract import Backend, Metric
from vmvc.crosscheck_claims import Named, claim_faults, is_name, quantity_of
from vmvc.crosscheck_machines import Machines
from vmvc.entries import Entries, judge_conditions
from vmvc.errors import EngineError, Fault
from vmvc.factors import TRIALS, Factor, factors_of, judge_settings
from vmvc.notation import Node, Place, shorten
from vmvc.records_journal import recorded_options
from vmvc.registry import backend_class, backend_kinds, metric_class, metric_names
from vmvc.spec import BUILT_IN_IMAGES, NAME, Factors, GuestSpec, Trials
from vmvc.spec_names import MOST_NAMES
from vmvc.wording import did_you_mean


@dataclass(slots=True)
class PlugIns:
    """What the file names; ``missing`` are plug-ins that exist and cannot be imported here.

    ``metrics``: name -> class; ``measures``: name -> object, where its options are good.
    """

    backends: dict[str, type[Backend]] = field(default_factory=dict)
    metrics: dict[str, type[Metric]] = field(default_factory=dict)
    measures: dict[str, Metric] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    missing: list[EngineError] = field(default_factory=list)


def crosscheck(root: Node, source: str, folder: Path | None = None) -> PlugIns:
    """Find the plug-ins and every fault that they and cross references show.

    ``folder`` anchors relative paths to other runs; without it they are let pass.
    """
    check = _Check(root, source)
    check.lists()
    check.backends()
    check.metrics()
    check.images()
    check.machines()
    check.factors()
    check.trials()
    check.claims(folder)
    check.conditions()
    return check.found


def _entries(node: Node | None) -> Iterator[tuple[str, Place, Node | None]]:
    """Yield name, place and settings of ``backends`` or ``metrics``, in either form."""
    if node is not None and isinstance(node.value, list):
        seen: set[str] = set()
        for item in node.value[:MOST_NAMES]:
            if item.text is not None and item.text not in seen:
                seen.add(item.text)
                yield item.text, item.place, None
    elif node is not None:
        yield from islice(node.items(), MOST_NAMES)


class _Check:
    def __init__(self, root: Node, source: str) -> None:
        self.found = PlugIns()
        self._root = root
        self._source = source
        self._backends = {name: (place, node) for name, place, node in _entries(root.get("backends"))}
        self._images = (
            *(name for name, _, _ in (root.get("images") or Node((1, 1), {})).items()),
            *BUILT_IN_IMAGES,
        )
        self._machines = Machines(root, self._backends, source)

    def _report(self, place: Place, what: str, hint: str) -> None:
        self.found.faults.append(Fault(what, self._source, *place, hint=hint))

    # --- plug-ins

    def lists(self) -> None:
        for key in ("backends", "metrics", "tune"):
            node = self._root.get(key)
            seen: set[str] = set()
            for item in node.value if node is not None and isinstance(node.value, list) else ():
                if item.text is not None and item.text in seen:
                    self._report(item.place, f"{key}: {shorten(item.text)!r} stands here again", "remove one")
                seen.add(item.text or "")

    def backends(self) -> None:
        kinds = backend_kinds()
        for name, (place, settings) in self._backends.items():
            given = settings.get("kind") if settings is not None else None
            kind = name if given is None else given.text
            if kind is None or not re.fullmatch(NAME, kind):
                continue
            if kind in kinds:
                try:
                    self.found.backends[name] = backend_class(kind)
                except EngineError as error:
                    self.found.missing.append(error)
                continue
            hint = did_you_mean(kind, kinds)
            if given is None and not hint.startswith("did"):
                hint = f"a name of your own needs its kind, as in {name}: {{kind: {kinds[0]}}}; {hint}"
            self._report(place if given is None else given.place, f"backends: unknown kind {kind!r}", hint)

    def metrics(self) -> None:
        names = metric_names()
        for name, place, settings in _entries(self._root.get("metrics")):
            given = settings.get("kind") if settings is not None else None
            kind = name if given is None else given.text
            if given is not None and given.value is not None and not re.fullmatch(NAME, kind or ""):
                what = f"metrics.{name}.kind: expected a name, got {given}"
                self._report(given.place, what, "name a metric")
                continue
            if kind is None or not re.fullmatch(NAME, name):
                continue
            if kind not in names:
                hint = did_you_mean(kind, names)
                if given is None and settings is not None and not hint.startswith("did"):
                    hint = f"a name of your own needs its kind, as in {name}: {{kind: workload}}; {hint}"
                self._report(
                    place if given is None else given.place, f"metrics: unknown metric {kind!r}", hint
                )
                continue
            if name != kind and name in names:
                what = f"metrics: {name!r} is a metric itself and cannot be the name of a {kind}"
                self._report(place, what, "take a name of your own")
                continue
            try:
                metric = metric_class(kind)
            except EngineError as error:
                self.found.missing.append(error)
                continue
            self.found.metrics[name] = metric
            node = settings if settings is not None else Node(place, {})
            if isinstance(node.value, dict):
                own = {key: value for key, value in node.value.items() if key != "kind"}
                path = ("metrics", name)
                options, faults = judge(metric.options_model, replace(node, value=own), self._source, path)
                self.found.faults += faults
                if options is not None:
                    self.found.measures[name] = metric(options, name)

    # --- references

    def images(self) -> None:
        self._image(self._root.get("guest", "image"), "guest.image")
        for name, (_, settings) in self._backends.items():
            if settings is not None:
                self._image(settings.get("guest", "image"), f"backends.{name}.guest.image")

    def _image(self, node: Node | None, called: str) -> None:
        if node is not None and is_name(node) and node.text not in self._images:
            self._report(
                node.place,
                f"{called}: unknown image {node.text!r}",
                did_you_mean(str(node.value), self._images),
            )

    def machines(self) -> None:
        self.found.faults += self._machines.faults(self.found.backends)

    def factors(self) -> None:
        factors, faults = factors_of(self._root, list(self._backends), self._source)
        self.found.faults += faults
        self._swept(factors, list(self._backends))
        for name in self.found.backends:
            self._options(name, factors.get(name, []))
        entries = Entries(self._root, list(self._backends), self._source)
        entries.judge()
        self.found.faults += entries.faults
        for entry in entries.listed:
            self._swept(entry.factors, entry.backends)
            for name in entry.backends:
                if name in self.found.backends and entry.factors.get(name):
                    self._options(name, entry.factors[name])

    def _swept(self, factors: Mapping[str | None, Sequence[Factor]], backends: Sequence[str]) -> None:
        """Judge the levels of guest settings on these backends, and of settings of trials."""
        sweeps = factors.get(None, [])
        guest = self._root.get("guest")
        if sweeps:
            base = guest if guest is not None and isinstance(guest.value, dict) else Node((1, 1), {})
            self.found.faults += judge_settings(GuestSpec, base, sweeps, self._source, ("guest",))
        trials = self._root.get("trials")
        if factors.get(TRIALS):
            base = trials if trials is not None and isinstance(trials.value, dict) else Node((1, 1), {})
            self.found.faults += judge_settings(Trials, base, factors[TRIALS], self._source, ("trials",))
        for factor in sweeps:
            self._fixed(factor.path, factor.place, factor.keys[0], backends)
            self.found.faults += self._machines.swept(factor, backends)
            if factor.keys == ("image",):
                for level in factor.levels:
                    self._image(level, factor.path)

    def _options(self, name: str, factors: Sequence[Factor]) -> None:
        """Judge the options of a backend and the levels of its own factors."""
        place, settings = self._backends[name]
        options = settings.get("options") if settings is not None else None
        base = options if options is not None else Node(place, {})
        if isinstance(base.value, dict):
            model, path = self.found.backends[name].options_model, ("backends", name, "options")
            self.found.faults += judge_settings(model, base, factors, self._source, path)

    def _fixed(self, path: str, place: Place, key: str, backends: Sequence[str]) -> None:
        for name in backends:
            settings = self._backends[name][1]
            own = settings.get("guest") if settings is not None else None
            if own is not None and own.get(key) is not None:
                fixed = f"backends.{name}.guest.{key} in line {own.keys[key][0]}"
                self._report(place, f"factors: {path!r} is fixed by {fixed}", "remove one of them")

    def conditions(self) -> None:
        """Look at the conditions together, which makes sense only where all else is good."""
        factors, faults = judge(Factors, self._root.get("factors") or Node((1, 1), {}), self._source)
        if self.found.faults or faults or factors is None or not (factors.include or factors.exclude):
            return
        if self.found.backends.keys() != self._backends.keys():
            return
        places = {name: place for name, (place, _) in self._backends.items()}
        self.found.faults += judge_conditions(self._root, factors, places, self._settings_of, self._source)

    def _settings_of(self, owner: str | None) -> tuple[type[BaseModel], Mapping[str, Any]]:
        """Return the model of the guest's settings or a backend's options, and what the file gives for it."""
        if owner is None:
            given = self._root.get("guest")
            return GuestSpec, given.plain() if given is not None else {}
        if owner == TRIALS:
            given = self._root.get("trials")
            return Trials, given.plain() if given is not None else {}
        settings = self._backends[owner][1]
        options = settings.get("options") if settings is not None else None
        return self.found.backends[owner].options_model, options.plain() if options is not None else {}

    # --- trials

    def trials(self) -> None:
        trials = self._root.get("trials")
        until = trials.get("until") if trials is not None else None
        if trials is None or until is None:
            return
        if "count" in trials.keys:
            first, second = sorted((trials.keys["count"], trials.keys["until"]))
            self._report(second, f"trials: count and until, first in line {first[0]}", "remove one of them")
        _, faults = quantity_of(until.get("metric"), "trials.until.metric", self._named(), self._source)
        self.found.faults += faults
        least, most = until.get("min"), until.get("max")
        if least is None or most is None:
            return
        if isinstance(least.value, int) and isinstance(most.value, int) and least.value > most.value:
            what = f"trials.until.min: expected at most max, which is {most}, got {least}"
            self._report(least.place, what, "lower min or raise max")

    # --- claims

    def claims(self, folder: Path | None) -> None:
        self.found.faults += claim_faults(self._root, self._source, self._named(folder))

    def _named(self, folder: Path | None = None) -> Named:
        metrics = [name for name, _, _ in _entries(self._root.get("metrics"))]
        quantities = {
            **{name: metric.quantities for name, metric in self.found.metrics.items() if metric.quantities},
            **{name: metric.quantities for name, metric in self.found.measures.items()},
        }
        options = {name: recorded_options(metric) for name, metric in self.found.measures.items()}
        return Named(list(self._backends), metrics, quantities, options, folder)
