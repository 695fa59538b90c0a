"""A metric -> a test for every promise that ``vmvc.contract`` makes in its name."""

from __future__ import annotations

import json
import math
import re
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

from vmvc import owner
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import (
    EVENTS,
    Absent,
    Completed,
    DiskUsage,
    Event,
    Finding,
    Guest,
    Instance,
    Member,
    Metric,
    MonotonicClock,
    Observation,
    Observes,
    Reading,
    Scene,
    Series,
    Tag,
)
from vmvc.errors import TrialError, Unavailable
from vmvc.fleet import TrialFleet
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing.plugin import NAME, check_findings, check_options, check_pickle, check_sentence
from vmvc.units import UNITS

QUANTITY = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class MetricContract:
    """Inherit, and fill in ``metric``; override ``scene`` where the default shows your metric nothing."""

    def metric(self) -> Metric:
        """Return a new object, not used yet."""
        raise NotImplementedError

    @contextmanager
    def scene(self, metric: Metric) -> Iterator[Scene]:
        """Give the scene that the metric would see at its moment, in a whole trial of the fake backend."""
        clock = MonotonicClock()
        with tempfile.TemporaryDirectory() as state:
            backend = FakeBackend("fake", FakeOptions(state=state))
            guest = Guest(
                image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80))
            )
            before = metric.before()
            instance = backend.instance(Tag(f"metric-{secrets.token_hex(4)}", 1, owner.current()), guest)
            instance.create()
            instance.start()
            start = clock.now()
            shown = EVENTS if metric.observes is Observes.EVENTS else EVENTS[: EVENTS.index("ready") + 1]
            events = {name: Event(start + 10**6 * place, 0.0) for place, name in enumerate(shown)}
            scene = Scene(events=events, guest=guest, instance=instance, clock=clock, before=before)
            try:
                if metric.observes is not Observes.FLEET:
                    yield scene
                    return
                own, step = Member(1, instance, events), ("observe", 30.0)
                with TrialFleet(own, backend, guest, 30.0, clock, _nobody, step, 30.0) as fleet:
                    yield replace(scene, fleet=fleet)
            finally:
                instance.destroy()

    def test_it_says_what_it_is(self) -> None:
        metric = self.metric()
        assert NAME.fullmatch(metric.name)
        check_sentence(metric.says)
        assert isinstance(metric.observes, Observes)
        assert isinstance(metric.loads_guest, bool)
        assert isinstance(metric.runs_inside, bool)
        assert isinstance(metric.options, metric.options_model)
        check_options(metric.options)
        assert "kind" not in metric.options_model.model_fields, "an experiment names the metric's kind by it"
        assert math.isfinite(metric.seconds())
        assert metric.seconds() >= 0
        assert metric.lives() >= 1

    def test_it_takes_the_name_that_an_experiment_gives_it(self) -> None:
        metric = self.metric()
        other = type(metric)(metric.options, "a-name-of-its-own")
        assert other.name == "a-name-of-its-own"
        assert other.quantities == metric.quantities
        assert type(other).name == type(metric).name

    def test_what_it_needs_is_told_before_the_first_trial(self) -> None:
        metric = self.metric()
        with self.scene(metric) as scene:
            check_findings(metric.check(scene.guest))
        assert all(0 < port < 65536 for port in metric.ports())
        for name, preset in metric.presets().items():
            assert NAME.fullmatch(name), name
            assert isinstance(preset, type(metric)), name

    def test_it_travels_to_another_process_before_use(self) -> None:
        check_pickle(self.metric())

    def test_every_quantity_is_declared_in_full(self) -> None:
        quantities = self.metric().quantities
        assert quantities
        assert len({quantity.name for quantity in quantities}) == len(quantities)
        for quantity in quantities:
            assert QUANTITY.fullmatch(quantity.name), quantity
            assert quantity.unit in UNITS, quantity
            assert quantity.better in ("lower", "higher", "neutral"), quantity
            assert quantity.rule in ("", "mean", "median"), quantity
            check_sentence(quantity.says)
            assert quantity.says.endswith("."), f"one sentence, with its full stop: {quantity.says}"

    def test_every_quantity_comes_exactly_once(self) -> None:
        metric = self.metric()
        with self.scene(metric) as scene:
            self._check(metric, list(metric.observe(scene)))

    def test_asking_twice_gives_the_same_quantities(self) -> None:
        metric = self.metric()
        with self.scene(metric) as scene:
            self._check(metric, list(metric.observe(scene)))
            self._check(metric, list(metric.observe(scene)))

    def test_what_cannot_be_seen_is_absent_and_never_zero(self) -> None:
        metric = self.metric()
        with self.scene(metric) as scene:
            blind = Scene(events={}, guest=scene.guest, instance=_Blind(scene), clock=scene.clock)
            try:
                values = list(metric.observe(blind))
            except TrialError:
                return
        self._check(metric, values)
        assert not [value for value in values if isinstance(value, Reading)], "a value out of nothing"

    def _check(self, metric: Metric, given: list[Observation]) -> None:
        values = [one for one in given if isinstance(one, Reading | Absent)]
        check_findings(one for one in given if isinstance(one, Finding))
        for series in given:
            if isinstance(series, Series):
                _check_series(series)
        counted = Counter(value.quantity for value in values)
        assert counted == Counter(quantity.name for quantity in metric.quantities)
        for value in values:
            if isinstance(value, Absent):
                check_sentence(value.reason)
            else:
                assert type(value.value) in (int, float), value
                assert math.isfinite(value.value), value
                assert value.resolution is None or (
                    math.isfinite(value.resolution) and value.resolution >= 0
                ), value
                rule = next(one.rule for one in metric.quantities if one.name == value.quantity)
                assert bool(rule) == bool(value.iterations), f"iterations go with a rule: {value}"
                assert rule or not value.warmups, value
            json.dumps(asdict(value), allow_nan=False)


def _nobody(step: str, seconds: float) -> None:
    """Hear an announcement."""


def _check_series(series: Series) -> None:
    """Columns have names and units, and every value is a number in one of them."""
    assert series.columns
    for name, unit in series.columns.items():
        assert QUANTITY.fullmatch(name), name
        assert unit in UNITS, (name, unit)
    for row in series.rows:
        assert row.keys() <= series.columns.keys(), row
        assert all(math.isfinite(value) for value in row.values()), row


class _Blind(Instance):
    """An instance of which nothing can be seen."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.instance.tag, scene.guest)

    def create(self) -> None: ...
    def start(self) -> None: ...
    def stop(self, *, timeout: float) -> None: ...
    def destroy(self) -> None: ...

    def endpoint(self, port: int) -> NoReturn:
        raise Unavailable("nothing can be reached here")

    def console(self) -> NoReturn:
        raise Unavailable("nothing can be read here")

    def run(self, argv: object, *, timeout: float, stdin: bytes = b"") -> Completed:
        raise Unavailable("nothing can be run here")

    def alive(self) -> bool:
        return True

    def processes(self) -> NoReturn:
        raise Unavailable("nothing can be seen here")

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        return DiskUsage(absent=dict.fromkeys(("virtual", "allocated", "shared", "unique"), "not seen here"))
