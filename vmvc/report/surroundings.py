"""run.json -> what the numbers stand on: method, environment and how to measure again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vmvc.report.material import JsonMap, Material, mapping
from vmvc.report.plain import clean
from vmvc.report.view import Facts
from vmvc.stopping import says
from vmvc.units import format_percent, show_bytes

BYTES: Final = frozenset({"memory", "swap", "image_size", "initrd_bytes"})
"""Facts that are sizes in bytes."""
LONGEST: Final = 12_000
"""Characters of one fact that are shown; run.json has all of it."""
SETTINGS: Final = ("cache", "image", "pause", "retries", "on_failure")
"""Settings of trials that method names as they stand in run.json."""
ORDERS: Final = {
    "randomized-blocks": "randomised blocks: each block holds every condition once, shuffled by the seed",
    "interleaved": "interleaved: each block holds every condition once, in file order",
    "sequential": "sequential: all trials of a condition in a row, so drift can look like a difference",
}


def emulated(stuff: Material) -> frozenset[str]:
    """Return the backends that ran without hardware virtualisation."""
    backends = mapping(stuff.about.get("backends"))
    return frozenset(
        name for name, one in backends.items() if mapping(mapping(one).get("facts")).get("emulated") is True
    )


# --- method, environment, again ---------------------------------------------------------------------------


def method(stuff: Material) -> Iterator[tuple[str, str]]:
    """Yield how it was measured, as the run's own plan says."""
    plan, head = mapping(stuff.about.get("plan")), stuff.head
    trials = mapping(mapping(stuff.about.get("experiment")).get("trials"))
    order = str(plan.get("order", ""))
    yield "Trial", "one life of a fresh instance: create, start, ready, observe, stop, destroy"
    warmup = plan.get("warmup")
    warm = (
        f", after {warmup} warm-up{'' if warmup == 1 else 's'}, stored but never summarised" if warmup else ""
    )
    until = head.until
    often = f"{head.count} measured trials of every condition"
    if until is not None:
        often = f"until the median of {until.metric} is known within {format_percent(until.relative_ci)}"
        often += f", {until.min} to {until.max} measured trials of each condition, decided on precision alone"
    yield "Repetitions", f"{often}{warm}"
    for stop in stuff.summary.stops:
        yield f"Stop of {stop.condition}", says(stop)
    settings = [f"{key} {_say(trials[key])}" for key in SETTINGS if key in trials]
    if settings:
        yield "Settings", ", ".join(settings)
    yield "Order", f"{ORDERS.get(order, order or 'not known')} (seed {head.seed})"
    if head.only:
        yield "Selection", f"--only {clean(' '.join(head.only))}: other conditions of the file were not run"
    if ready := mapping(_guest(stuff, "").get("ready")):
        yield "Ready", _readiness(ready)
    yield "Clock", "the host's monotonic clock for every duration; no engine's and no guest's clock is used"
    yield (
        "Statistics",
        (
            f"medians; intervals at {stuff.summary.confidence:.0%} by order statistics, none below 6 "
            "values, lowered by the instrument's resolution; outliers (modified z-score beyond 3.5) are "
            "flagged and stay in"
        ),
    )
    if "timeout" in trials:
        yield "Patience", f"each step may take {trials['timeout']}; a failed trial is a record without values"
    if stuff.resumed:
        yield (
            "Interruptions",
            f"the run was taken up again {stuff.resumed} time{'s' if stuff.resumed > 1 else ''}",
        )
    yield "Scope", "one host is one sample: these numbers hold on this host"


def _guest(stuff: Material, backend: str) -> JsonMap:
    experiment = mapping(stuff.about.get("experiment"))
    own = mapping(mapping(mapping(experiment.get("backends")).get(backend)).get("guest"))
    return {**mapping(experiment.get("guest")), **{key: one for key, one in own.items() if one is not None}}


def _readiness(ready: JsonMap) -> str:
    kind, settings = next(iter(ready.items()))
    told = ", ".join(f"{key} {_say(value)}" for key, value in mapping(settings).items())
    return f"when the probe {kind} succeeds ({told}); the same probe on every backend"


def environment(stuff: Material) -> Iterator[Facts]:
    """Yield what host, engines and metrics were; long values are cut, with a note."""
    about = stuff.about
    if host := mapping(about.get("host")):
        yield Facts("Host", tuple(_rows(host)))
    for name, backend in mapping(about.get("backends")).items():
        facts = mapping(backend)
        rows = [("kind", _say(facts.get("kind"))), ("isolation", _say(facts.get("isolation")))]
        rows += _rows(mapping(facts.get("facts")))
        rows += _rows(mapping(facts.get("options")), "option ")
        yield Facts(f"Backend {name}", tuple(rows))
    for name, condition in mapping(about.get("conditions")).items():
        if rows := list(_rows(mapping(mapping(condition).get("facts")))):
            yield Facts(f"Condition {name}", tuple(rows))
    options = [(name, _say(one)) for name, one in mapping(about.get("metrics")).items() if one]
    if options:
        yield Facts("Options of metrics", tuple(options))
    run = [("run", stuff.head.run), ("experiment.yaml", f"SHA-256 {stuff.head.experiment_sha256}")]
    if git := mapping(about.get("git")):
        dirty = ", with changes that were not committed" if git.get("dirty") else ""
        run.append(("git commit", f"{_say(git.get('commit'))}{dirty}"))
    yield Facts("Run", tuple(run))


def _rows(facts: JsonMap, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        size = name in BYTES and isinstance(value, int | float) and not isinstance(value, bool)
        yield clean(f"{prefix}{name}"), show_bytes(value) if size else _say(value)


def _say(value: Any) -> str:
    """Write a fact for people."""
    match value:
        case None:
            return "not known"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}: {_say(one)}" for key, one in value.items())
        case list():
            return " ".join(map(_say, value))
        case "":
            return "none"
    text = clean(str(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... (cut; run.json has all of it)"


def _or_nothing(value: Any) -> str:
    return "" if value is None or value == "" else _say(value)


def commands(stuff: Material) -> Iterator[str]:
    """Yield the commands that measure again and that show this run again."""
    head = stuff.head
    folder = f"results/{head.name}/{head.run}"
    version = str(stuff.about.get("vmvc", ""))
    if version and all(part.isalnum() for part in version.split(".")):
        yield f"pip install vmvc=={version}"
    only = "".join(f" --only {_quote(one)}" for one in head.only)
    count = f" --trials {head.count}" if head.until is None else ""
    yield f"vmvc run {folder}/experiment.yaml{count}{only}"
    yield f"vmvc show {folder}"
    yield f"vmvc report {folder}"


def _quote(text: str) -> str:
    import shlex

    return shlex.quote(clean(text))
