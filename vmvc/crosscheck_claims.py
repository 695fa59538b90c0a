"""The claims of a file, as a tree -> the faults that only plug-ins, factors and other runs show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, TypeAdapter

from vmvc.complaints import judge
from vmvc.contract import Quantity
from vmvc.errors import Fault, ResultsError
from vmvc.factors import TRIALS, Factor, factors_of
from vmvc.notation import Node, Place, shorten
from vmvc.reference import Wanted, check
from vmvc.spec import MOST_CLAIMS, NAME, Level
from vmvc.spec_claims import ON_ONE
from vmvc.spec_model import FACTOR_PATH
from vmvc.units import PARSERS, UNITS, Duration, Percent, Size, measure
from vmvc.wording import did_you_mean, listed

_Number = Annotated[float, Field(strict=True)]
_BOUNDS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "s": TypeAdapter(_Number | Duration),
    "B": TypeAdapter(_Number | Size),
    "1": TypeAdapter(_Number | Percent),
    **{
        unit: TypeAdapter(_Number | Annotated[float, BeforeValidator(parse)])
        for unit, parse in PARSERS.items()
        if unit not in ("s", "B", "1")
    },
}
"""Unit of a quantity -> what a limit on it can be."""
_QUANTITY: Final = rf"{NAME[:-1]}\.[a-z0-9_.-]{{1,64}}"
_KINDS: Final = {
    **{unit: f"as in 2{unit}" for unit in UNITS},
    "s": "durations",
    "B": "sizes",
    "1": "numbers",
}
_SHARE: Final = "1"


@dataclass(frozen=True, slots=True)
class Named:
    """What a claim may name; ``folder`` anchors paths to other runs, ``None``: these are let pass.

    ``quantities``: of the metrics of which they are known; ``options``: what is recorded of a metric's.
    """

    backends: Sequence[str]
    metrics: Sequence[str]
    quantities: Mapping[str, Sequence[Quantity]]
    options: Mapping[str, Mapping[str, Any]]
    folder: Path | None


def claim_faults(root: Node, source: str, named: Named) -> list[Fault]:
    """Return every fault in the claims, in file order."""
    found = _Claims(root, source, named)
    found.check(root.get("claims"))
    return found.faults


def is_name(node: Node) -> bool:
    """Say whether a node holds a well-formed name."""
    return node.text is not None and re.fullmatch(NAME, node.text) is not None


def quantity_of(
    node: Node | None, called: str, named: Named, source: str
) -> tuple[Quantity | None, list[Fault]]:
    """Return the quantity that a node names, and the fault where the experiment has no such one."""
    if node is None or node.text is None or not re.fullmatch(_QUANTITY, node.text):
        return None, []
    name, _, wanted = node.text.partition(".")
    if name not in named.metrics:
        known = did_you_mean(name, named.metrics)
        hint = known if known.startswith("did") else f"add {name} to metrics"
        what = f"{called}: {name!r} is not among the metrics of this experiment"
        return None, [Fault(what, source, *node.place, hint=hint)]
    if name not in named.quantities:
        return None, []
    quantities = {quantity.name: quantity for quantity in named.quantities[name]}
    if wanted not in quantities:
        what = f"{called}: the metric {name} has no quantity {wanted!r}"
        return None, [Fault(what, source, *node.place, hint=did_you_mean(wanted, quantities))]
    return quantities[wanted], []


class _Claims:
    def __init__(self, root: Node, source: str, named: Named) -> None:
        self.faults: list[Fault] = []
        self._source = source
        self._named = named
        self._factors = factors_of(root, named.backends, source)[0]

    def _report(self, place: Place, what: str, hint: str) -> None:
        self.faults.append(Fault(what, self._source, *place, hint=hint))

    def check(self, claims: Node | None) -> None:
        seen: dict[str, Place] = {}
        given = claims.value if claims is not None and isinstance(claims.value, list) else []
        for index, claim in enumerate(given[:MOST_CLAIMS]):
            called = f"claims[{index}]"
            identity = claim.get("id")
            if identity is not None and is_name(identity):
                first = seen.setdefault(str(identity.value), identity.place)
                if first is not identity.place:
                    what = f"{called}.id: {identity.text!r} names two claims, first in line {first[0]}"
                    self._report(identity.place, what, "give each claim a name of its own")
            self._claim(claim, called)

    def _claim(self, claim: Node, called: str) -> None:
        backends = [self._backend(claim.get("backend"), f"{called}.backend")]
        quantity = self._quantity(claim.get("metric"), f"{called}.metric")
        unit = "" if quantity is None else quantity.unit
        for form in ("ratio", "difference"):
            backends += self._pair(claim.get(form), f"{called}.{form}")
        backends += self._order(claim.get("order", "of"), f"{called}.order.of")
        for form in ("ratio", "difference", "order"):
            if quantity is not None and quantity.own_clock:
                self._clocks(claim.get(form), str(claim.get("metric")), f"{called}.{form}")
        about = [backend for backend in backends if backend]
        levels = self._levels(claim.get("at"), about, f"{called}.at")
        for form, limits_in in (("ratio", _SHARE), ("success", _SHARE)):
            self._bound(claim.get(form), limits_in, f"{called}.{form}")
        for form in ("median", "quantile", "difference", "slope"):
            self._bound(claim.get(form), unit, f"{called}.{form}")
        fact = claim.get("fact", "is")
        if fact is not None:
            self._fact(fact, unit, f"{called}.fact.is")
        if about and any(claim.get(form) is not None for form in ON_ONE):
            self._slope(claim.get("slope"), about[0], levels, f"{called}.slope")
            self._reference(claim, quantity, about[0], levels, f"{called}.reference.run")

    # --- what a claim names

    def _backend(self, node: Node | None, called: str) -> str:
        """Return the backend's name, ``""`` where there is no such one."""
        if node is None or not is_name(node):
            return ""
        if node.text not in self._named.backends:
            hint = did_you_mean(str(node.value), self._named.backends)
            self._report(node.place, f"{called}: no backend {node.text!r} in this experiment", hint)
            return ""
        return str(node.text)

    def _pair(self, bound: Node | None, called: str) -> list[str]:
        of, to = (bound.get("of"), bound.get("to")) if bound is not None else (None, None)
        found = [self._backend(of, f"{called}.of"), self._backend(to, f"{called}.to")]
        if of is not None and to is not None and is_name(of) and of.text == to.text:
            self._report(to.place, f"{called}: {of.text!r} is compared with itself", "name two backends")
        return found

    def _order(self, names: Node | None, called: str) -> list[str]:
        given = names.value if names is not None and isinstance(names.value, list) else []
        found: list[str] = []
        for index, node in enumerate(given):
            name = self._backend(node, f"{called}[{index}]")
            if name and name in found:
                self._report(node.place, f"{called}: {name!r} stands here again", "remove one")
            found.append(name)
        return found

    def _quantity(self, node: Node | None, called: str) -> Quantity | None:
        found, faults = quantity_of(node, called, self._named, self._source)
        self.faults += faults
        return found

    def _clocks(self, form: Node | None, metric: str, called: str) -> None:
        """Refuse to set what one guest's clock told beside what another's did: they do not mean the same."""
        if form is not None:
            self._report(
                form.place,
                f"{called}: {metric} is told by each guest's own clock, which compares no backends",
                "claim it of one backend, or compare what startup tells by the host's clock",
            )

    # --- factors and their levels

    def _factors_on(self, backend: str) -> dict[str, Factor]:
        return {
            factor.path: factor
            for owner, factors in self._factors.items()
            if owner in (None, TRIALS, backend)
            for factor in factors
        }

    def _levels(self, at: Node | None, backends: Sequence[str], called: str) -> dict[str, Level]:
        """Return the good ones of the levels that a claim names, and report the others."""
        found: dict[str, Level] = {}
        on_these = {path: one for backend in backends for path, one in self._factors_on(backend).items()}
        everywhere = {factor.path: factor for factors in self._factors.values() for factor in factors}
        for path, place, level in at.items() if at is not None else ():
            if path not in everywhere:
                if re.fullmatch(FACTOR_PATH, path):
                    hint = did_you_mean(path, everywhere) or "this experiment sweeps nothing: remove it"
                    self._report(place, f"{called}: no factor {shorten(path)!r} in this experiment", hint)
            elif path not in on_these:
                if backends:
                    what = f"{called}: {path!r} does not apply to {listed([*dict.fromkeys(backends)])}"
                    self._report(place, what, did_you_mean("", on_these) or "remove it")
            elif isinstance(level.value, Level):
                known = [node for node in on_these[path].levels if _same(node.value, level.value)]
                if known:
                    found[path] = level.value
                else:
                    what = f"{called}: {level} is no level of {path}"
                    shown = [str(node) for node in on_these[path].levels]
                    self._report(level.place, what, did_you_mean(str(level), shown))
        return found

    def _slope(self, slope: Node | None, backend: str, at: Mapping[str, Level], called: str) -> None:
        over = slope.get("over") if slope is not None else None
        if slope is None or over is None or over.text is None:
            return
        swept = self._factors_on(backend)
        if over.text not in swept:
            if re.fullmatch(FACTOR_PATH, over.text):
                what = f"{called}.over: {shorten(over.text)!r} is not swept on {backend}"
                self._report(over.place, what, did_you_mean("", swept) or "add it to factors")
            return
        levels = swept[over.text].levels
        units = {found[1] if (found := measure(node.value)) else "" for node in levels}
        if units and (len(units) > 1 or not units <= _KINDS.keys()):
            shown = listed([str(node) for node in levels[:5]], "and")
            what = f"{called}.over: the levels of {over.text} are not numbers of one kind: {shown}"
            self._report(over.place, what, "sweep sizes, durations or numbers")
            return
        if over.text in at or len(levels) < 2:
            what = f"{called}.over: {over.text} has one level here, and a slope needs two"
            self._report(over.place, what, f"add levels to {over.text}, or take it out of `at`")
        per = slope.get("per")
        for unit in units:
            good = self._limit(per, unit, f"{called}.per")
            if per is not None and good is not None and good <= 0:
                self._report(per.place, f"{called}.per: expected more than 0, got {per}", "")

    # --- bounds

    def _fact(self, node: Node, unit: str, called: str) -> None:
        if isinstance(node.value, bool):
            if unit not in ("", _SHARE):
                self._report(
                    node.place,
                    f"{called}: expected a number or a value with its unit ({_KINDS[unit]}), got {node}",
                    "true and false are for quantities of unit 1",
                )
            return
        self._limit(node, unit, called)

    def _bound(self, bound: Node | None, unit: str, called: str) -> None:
        if bound is None:
            return
        for key in ("below", "above", "equals"):
            self._limit(bound.get(key), unit, f"{called}.{key}")
        within = bound.get("within")
        relative = within is not None and within.text is not None and within.text.endswith("%")
        off = self._limit(within, _SHARE if relative else unit, f"{called}.within")
        if within is not None and off is not None and off < 0:
            self._report(within.place, f"{called}.within: expected at least 0, got {within}", "")
        between = bound.get("between")
        if between is not None and isinstance(between.value, list):
            limits = [
                self._limit(item, unit, f"{called}.between[{i}]") for i, item in enumerate(between.value[:2])
            ]
            known = [limit for limit in limits if limit is not None]
            if len(known) == len(between.value) == 2 and known[0] >= known[1]:
                shown = listed([str(item) for item in between.value], "and")
                self._report(
                    between.place, f"{called}.between: {shown} are not in order", "put the smaller one first"
                )

    def _limit(self, node: Node | None, unit: str, called: str) -> float | None:
        """Return the limit in the quantity's unit, ``None`` where it has none or the unit is unknown."""
        if node is None or isinstance(node.value, bool | list | dict) or node.value is None:
            return None
        if unit not in _BOUNDS or (isinstance(node.value, str) and not node.value[:1].isdigit()):
            return None
        value, faults = judge(_BOUNDS[unit], node, self._source, (called,))
        self.faults += faults
        return None if value is None else float(value)

    # --- another run

    def _reference(
        self, claim: Node, quantity: Quantity | None, backend: str, at: Mapping[str, Level], called: str
    ) -> None:
        run, metric = claim.get("reference", "run"), claim.get("metric")
        if run is None or not run.text or quantity is None or metric is None or self._named.folder is None:
            return
        name = str(metric.text).partition(".")[0]
        axes = {
            path: (at[path],) if path in at else tuple(_plain(factor.levels))
            for path, factor in self._factors_on(backend).items()
        }
        wanted = Wanted(backend, axes, name, quantity, self._named.options.get(name))
        folder = self._named.folder / run.text
        try:
            check(folder, wanted)
        except ResultsError as error:
            what = error.what.removeprefix(f"{folder}/")
            if isinstance(error.__cause__, OSError):
                what = f"{run} holds no run: {error.__cause__.strerror}"
            self._report(run.place, f"{called}: {what}", error.hint)


def _plain(levels: Sequence[Node]) -> Iterator[Level]:
    return (node.value for node in levels if isinstance(node.value, Level))


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
