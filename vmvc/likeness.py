"""Two runs' records -> what differs between environments, parameters and definitions of quantities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmvc.plan import Condition
from vmvc.records_compare import Difference
from vmvc.records_journal import QuantityRecord, RunRecord
from vmvc.spec_machine import merged

Facts = Mapping[str, Any]
"""What run.json says; empty where it is missing."""

UNKNOWN: Final = "unknown"
"""Flag of conditions whose environment one of the runs does not tell."""

_PARTS: Final = ("vmvc", "git", "host", "backends", "metrics", "plan", "experiment", "conditions")
_ASIDE: Final = frozenset({"title", "says", "claims", "name", "findings"})
"""Words about the experiment, and findings: these are no parameters."""
_NAMED_ANEW: Final = frozenset({"domain_xml", "command_line"})
"""Facts with a machine's random name in them; what in them decides numbers stands in options and guest."""


def differences(reference: Facts, other: Facts) -> Iterator[Difference]:
    """Yield every fact that differs, in the order of run.json; none where one of them tells nothing."""
    if not reference or not other:
        return
    ours, theirs = dict(_flat(reference)), dict(_flat(other))
    for what in dict.fromkeys([*ours, *theirs]):
        if ours.get(what) != theirs.get(what):
            yield Difference(what=what, reference=ours.get(what), other=theirs.get(what))


def flags(reference: Facts, other: Facts, condition: Condition) -> tuple[str, ...]:
    """Return what else than its levels differs in a condition of both runs, so that they may not be alike.

    ``emulated``: the one ran emulated, the other accelerated; else a key of options, guest, image or digest.
    """
    if not reference or not other:
        return (UNKNOWN,)
    ours, theirs = _parameters(reference, condition), _parameters(other, condition)
    return tuple(
        name
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
        and not (name.startswith("image_") and None in (ours.get(name), theirs.get(name)))
    )


def redefined(heads: tuple[RunRecord, RunRecord], pair: tuple[QuantityRecord, QuantityRecord]) -> str:
    """Say why values of a quantity do not compare, of the reference first; empty where they do.

    Options of a metric count where both runs have recorded them.
    """
    base, ours = pair
    for what in ("unit", "better", "says"):
        if getattr(base, what) != getattr(ours, what):
            return f"another definition: {what} is {getattr(ours, what)!r}, reference {getattr(base, what)!r}"
    ones, others = (head.options.get(base.metric) for head in heads)
    if ones is None or others is None:
        return ""
    keys = sorted(key for key in ones.keys() | others.keys() if ones.get(key) != others.get(key))
    told = (f"option {key} is {others.get(key)!r}, reference {ones.get(key)!r}" for key in keys)
    return f"another definition: {', '.join(told)}" if keys else ""


def _parameters(facts: Facts, condition: Condition) -> Mapping[str, Any]:
    backend = _mapping(_mapping(facts.get("backends")).get(condition.backend))
    engine = _mapping(backend.get("facts"))
    experiment = _mapping(facts.get("experiment"))
    own = _mapping(_mapping(experiment.get("backends")).get(condition.backend))
    guest = merged(_mapping(experiment.get("guest")), _mapping(own.get("guest")))
    prepared = _mapping(_mapping(_mapping(facts.get("conditions")).get(condition.id)).get("facts"))
    levels = {
        path.removeprefix(f"backends.{condition.backend}."): level
        for path, level in condition.factors.items()
    }
    given = {
        "emulated": engine.get("emulated") is True,
        "kind": backend.get("kind"),
        **dict(_branch("options", _mapping(backend.get("options")))),
        **dict(_branch("guest", guest)),
        "image": _mapping(experiment.get("images")).get(str(levels.get("guest.image", guest.get("image")))),
        "image_digest": prepared.get("image_digest") or None,
        "image_id": prepared.get("image") or None,
        "existing_id": prepared.get("existing_id") or None,
    }
    return {name: value for name, value in given.items() if name not in levels}


def _flat(facts: Facts) -> Iterator[tuple[str, Any]]:
    for part in _PARTS:
        yield from _branch(part, facts.get(part))


def _branch(path: str, value: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        if value is not None:
            yield path, value
        return
    for key, one in value.items():
        if key not in _ASIDE and key not in _NAMED_ANEW:
            yield from _branch(f"{path}.{key}", one)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
