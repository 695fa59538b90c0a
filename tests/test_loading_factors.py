"""Many levels: how fast they are judged, and where their faults are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vmvc.errors import InputError
from vmvc.factors import put, target
from vmvc.loading import Loaded, loads

FIRST = "name: first\nbackends: [fake]\nmetrics: [startup]\n"


def load(text: str) -> Loaded:
    return loads(text.encode(), "x.yaml", Path())


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("guest.memory", (None, ("memory",))),
        ("guest.ready.http.port", (None, ("ready", "http", "port"))),
        ("backends.kvm.options.machine", ("kvm", ("machine",))),
        ("backends.kvm.options", ("kvm", ())),
        ("backends.kvm.guest.memory", (None, ())),
        ("guest", (None, ())),
        ("trials.count", (None, ())),
    ],
)
def test_what_a_path_is_about(path: str, meant: tuple[str | None, tuple[str, ...]]) -> None:
    assert target(path) == meant


def test_put_changes_a_copy() -> None:
    settings = {"a": {"b": 1, "c": 2}, "d": 3}
    assert put(settings, ("a", "b"), 9) == {"a": {"b": 9, "c": 2}, "d": 3}
    assert put(settings, ("a", "x", "y"), 9)["a"] == {"b": 1, "c": 2, "x": {"y": 9}}
    assert put(settings, ("d", "x"), 9)["d"] == {"x": 9}
    assert settings == {"a": {"b": 1, "c": 2}, "d": 3}


MEMORY = [f"{number}MiB" for number in range(1, 10_001)]
SEEDS = [str(number) for number in range(10_000)]


@pytest.mark.parametrize(
    "factors",
    [
        f"guest.memory: [{', '.join(MEMORY)}]",
        f"backends.fake.options.seed: [{', '.join(SEEDS)}]",
        f"guest.memory: [{', '.join(MEMORY[:100])}], guest.cpus: [{', '.join(SEEDS[1:101])}]",
        f"backends.fake.options.seed: [{', '.join(SEEDS[:100])}], guest.cpus: [{', '.join(SEEDS[1:101])}]",
    ],
    ids=["one of the guest", "one of the options", "two of the guest", "one of each"],
)
def test_ten_thousand_conditions_are_loaded_at_once(factors: str) -> None:
    text = FIRST + "factors: {" + factors + "}\n"
    load(FIRST)
    start = time.perf_counter()
    loaded = load(text)
    assert time.perf_counter() - start < 2
    axes = loaded.axes("fake").values()
    assert sum(map(len, axes)) in (200, 10_000)


def test_ten_thousand_bad_levels_are_told_by_their_first() -> None:
    text = (
        FIRST + "factors: {guest.memory: [" + ", ".join(f"{number}mb" for number in range(1, 10_001)) + "]}\n"
    )
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        load(text)
    assert time.perf_counter() - start < 2
    assert len(caught.value.faults) == 101
    assert caught.value.faults[99].what.endswith("got 100mb")


def test_more_than_ten_thousand_levels_are_refused() -> None:
    text = (
        FIRST + "factors: {guest.memory: [" + ", ".join(f"{number}B" for number in range(1, 10_002)) + "]}\n"
    )
    with pytest.raises(InputError, match="expected at most 10000 entries, got 10001"):
        load(text)


def test_binding_is_cheap() -> None:
    loaded = load(FIRST + f"factors: {{guest.memory: [{', '.join(MEMORY)}]}}\n")
    start = time.perf_counter()
    for level in MEMORY:
        loaded.bind("fake", {"guest.memory": level})
    assert time.perf_counter() - start < 2
