"""Plug-ins of third parties in an experiment: their options have places and plain words as our own have."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, model_validator

from vmvc import registry
from vmvc.contract import (
    Absent,
    Backend,
    Finding,
    Guest,
    Instance,
    Isolation,
    Metric,
    Observes,
    Options,
    Preparation,
    Quantity,
    Reading,
    Scalar,
    Scene,
    Tag,
)
from vmvc.errors import EngineError, ExitCode, InputError, MissingSdk
from vmvc.loading import Loaded, loads
from vmvc.units import Duration, Size


def load(text: str) -> Loaded:
    return loads(text.encode(), "x.yaml", Path("/folder"))


def faults(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(text)
    return str(caught.value).splitlines()


class ToyOptions(Options):
    """Options of a plug-in that is particular."""

    size: Size = Field(default=1024, description="A size.")
    delay: Duration = Field(default=0.0, description="A duration.")
    ratio: int | float = Field(default=1, description="A whole number or not.")
    level: bool | int | str = Field(default=0, description="Anything.")
    needed: int = Field(default=1, description="A number.", multiple_of=1)
    words: Mapping[str, int] = Field(default_factory=dict, description="Numbers by word.")

    @model_validator(mode="after")
    def _small_and_slow(self) -> ToyOptions:
        if self.size > 2**20 and self.delay > 1:
            raise ValueError("a large toy cannot be slow")
        return self


class Toy(Backend):
    kind = "toy"
    isolation = Isolation.NONE
    options_model: ClassVar[type[Options]] = ToyOptions
    says = "a toy"

    def check(self) -> Sequence[Finding]:
        return ()

    def describe(self) -> Mapping[str, Scalar]:
        return {}

    def prepare(self, guest: Guest) -> Preparation:
        return Preparation()

    def instance(self, tag: Tag, guest: Guest) -> Instance:
        raise NotImplementedError

    def leftovers(self) -> Sequence[Instance]:
        return ()


class StrictOptions(Options):
    """Options of which one must be given."""

    where: str = Field(description="Where to.")


class Strict(Toy):
    kind = "strict"
    options_model: ClassVar[type[Options]] = StrictOptions


class Smile(Metric):
    name = "smile"
    says = "how it looks"
    quantities = (Quantity("width", "1", "higher", "Width of the smile."),)
    observes = Observes.EVENTS
    options_model: ClassVar[type[Options]] = StrictOptions

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        yield from ()


PLUGINS = {
    "vmvc.backends": {"toy": "Toy", "strict": "Strict", "gone": "no_such_module:X", "torn": "NoSuchClass"},
    "vmvc.metrics": {"smile": "Smile", "lost": "no_such_module.deep:X"},
}


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install this module as if it were a package with entry points."""
    monkeypatch.setitem(sys.modules, "toys", sys.modules[__name__])

    def entry_points(group: str) -> list[EntryPoint]:
        values = {name: value if ":" in value else f"toys:{value}" for name, value in PLUGINS[group].items()}
        return [EntryPoint(name, value, group) for name, value in values.items()]

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_a_third_partys_plug_ins_are_loaded_with_their_options() -> None:
    loaded = load("name: a\nbackends: {toy: {options: {size: 1KiB}}}\nmetrics: {smile: {where: here}}\n")
    assert loaded.backends == {"toy": Toy}
    assert loaded.bind("toy", {})[0].options == ToyOptions(size=1024)
    assert loaded.metrics[0].options == StrictOptions(where="here")


def test_a_third_partys_options_have_places() -> None:
    assert faults(
        "name: a\n"
        "backends:\n"
        "  toy:\n"
        "    options: {siz: 1KiB, needed: 1.5, words: {a: b}}\n"
        "  strict: {}\n"
        "  other: {kind: strict, options: {}}\n"
        "metrics: [smile]\n"
    ) == [
        "x.yaml:4:15: backends.toy.options: unknown key 'siz'",
        "  hint: did you mean 'size'?",
        "x.yaml:4:34: backends.toy.options.needed: expected a whole number, got 1.5",
        "x.yaml:4:50: backends.toy.options.words.a: expected a whole number, got b",
        "x.yaml:5:3: backends.strict.options: the key 'where' is missing",
        "  hint: add where: Where to.",
        "x.yaml:6:34: backends.other.options: the key 'where' is missing",
        "  hint: add where: Where to.",
        "x.yaml:7:11: metrics.smile: the key 'where' is missing",
        "  hint: add where: Where to.",
    ]


def test_a_third_partys_own_validator_is_heard() -> None:
    assert faults("name: a\nbackends: {toy: {options: {size: 1GiB, delay: 2s}}}\nmetrics: [startup]\n") == [
        "x.yaml:2:27: backends.toy.options: a large toy cannot be slow"
    ]


def test_a_plug_in_that_cannot_be_imported_comes_after_the_faults_of_the_file() -> None:
    with pytest.raises(MissingSdk, match="'no_such_module', which is not installed") as caught:
        load("name: a\nbackends: [gone, fake]\nmetrics: [startup]\n")
    assert caught.value.exit_code is ExitCode.ENGINE
    with pytest.raises(MissingSdk):
        load("name: a\nbackends: [fake]\nmetrics: [lost]\n")
    with pytest.raises(EngineError, match="cannot be imported"):
        load("name: a\nbackends: [torn]\nmetrics: [startup]\n")
    assert faults("name: a\nbackends: [gone]\nmetrics: [lost, zzz]\n")[0] == (
        "x.yaml:3:17: metrics: unknown metric 'zzz'"
    )


def test_claims_about_a_metric_that_cannot_be_imported_are_let_pass() -> None:
    claim = "claims: [{id: a, says: x, metric: lost.x, backend: fake, median: {below: 1s}}]\n"
    with pytest.raises(MissingSdk):
        load("name: a\nbackends: [fake]\nmetrics: [lost]\n" + claim)


def test_a_count_has_no_unit() -> None:
    claim = "claims: [{id: a, says: x, metric: smile.width, backend: fake, median: {below: 1s}}]\n"
    said = "expected a number or a percentage between 0% and 100%, such as 5%, got 1s"
    assert faults("name: a\nbackends: [fake]\nmetrics: {smile: {where: x}}\n" + claim) == [
        f"x.yaml:4:79: claims[0].median.below: {said}"
    ]


def test_a_level_can_give_what_the_options_need() -> None:
    good = (
        "name: a\nbackends: [strict]\nmetrics: [startup]\nfactors: {backends.strict.options.where: [x, y]}\n"
    )
    backend, _ = load(good).bind("strict", {"backends.strict.options.where": "y"})
    assert backend.options == StrictOptions(where="y")


def test_levels_that_fit_alone_and_not_together() -> None:
    together = "(with backends.toy.options.size=1GiB, backends.toy.options.delay=2s)"
    assert faults(
        "name: a\nbackends: [toy]\nmetrics: [startup]\n"
        "factors: {backends.toy.options.size: [1KiB, 1GiB], backends.toy.options.delay: [0s, 1s, 2s]}\n"
    ) == [f"x.yaml:4:89: backends.toy.options: a large toy cannot be slow {together}"]


def test_equal_numbers_are_one_level() -> None:
    said = faults(
        "name: a\nbackends: [toy]\nmetrics: [startup]\nfactors: {backends.toy.options.ratio: [1, 1.0]}\n"
    )
    assert said[0] == (
        "x.yaml:4:43: backends.toy.options.ratio: the level 1.0 stands here again, first as 1 in line 4"
    )


def test_a_level_that_does_not_fit_what_the_file_gives() -> None:
    assert faults(
        "name: a\nbackends: {toy: {options: {delay: 2s}}}\nmetrics: [startup]\n"
        "factors: {backends.toy.options.size: [1KiB, 1GiB, 2GiB]}\n"
    ) == [
        "x.yaml:4:45: backends.toy.options: a large toy cannot be slow",
        "x.yaml:4:51: backends.toy.options: a large toy cannot be slow",
    ]


def test_a_level_is_not_mistaken_for_an_equal_one_of_another_type() -> None:
    factors = "factors: {backends.toy.options.level: [1, true, '1']}\n"
    loaded = load("name: first\nbackends: [toy]\nmetrics: [startup]\n" + factors)
    levels = [
        loaded.bind("toy", {"backends.toy.options.level": level})[0].options for level in (1, True, "1")
    ]
    assert [options.level for options in levels if isinstance(options, ToyOptions)] == [1, True, "1"]


# --- several metrics of one kind --------------------------------------------------------------------------


def test_a_metric_under_a_name_of_ones_own_has_the_options_and_quantities_of_its_kind() -> None:
    loaded = load(
        "name: x\nbackends: [fake]\nmetrics:\n  early: {kind: memory, settle: 1s}\n  memory: {settle: 9s}\n"
        "claims:\n  - {id: a, says: b, metric: early.rss, backend: fake, median: {below: 1GiB}}\n"
    )
    early, memory = loaded.metrics
    assert (early.name, memory.name, type(early)) == ("early", "memory", type(memory))
    assert (early.seconds(), memory.seconds()) == (1.0, 9.0)
    assert early.quantities == memory.quantities


def test_a_name_of_ones_own_without_a_kind_is_told_what_it_needs() -> None:
    told = faults("name: x\nbackends: [fake]\nmetrics:\n  cpu: {use: sysbench-cpu}\n")
    assert told[0] == "x.yaml:4:3: metrics: unknown metric 'cpu'"
    assert "a name of your own needs its kind, as in cpu: {kind: workload}" in told[1]


def test_ports_that_metrics_reach_are_ports_of_every_guest() -> None:
    loaded = load(
        "name: x\nimages: {i: {base: 'debian:bookworm', packages: [iperf3]}}\nbackends: [fake]\n"
        "guest: {image: i, command: [iperf3, -s], ready: {http: {port: 80}}}\n"
        "metrics: {net: {kind: workload, use: iperf3}}\n"
    )
    _, guest = loaded.bind("fake", {})
    assert guest.ports == (80, 5201)
