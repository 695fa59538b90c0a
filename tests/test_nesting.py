"""Iterations within trials: where the spread arises, and how many of them pay."""

from __future__ import annotations

import math

import pytest

from vmvc.nesting import Nested, nested_of, spread_of
from vmvc.records_journal import EventRecord, ReadingRecord, TrialRecord


def trials(
    *values: tuple[float, ...], iteration: float | None = 1.0, life: float | None = 9.0
) -> list[Nested]:
    return [Nested(one, iteration, life) for one in values]


def test_spread_within_and_between_is_told_apart() -> None:
    within = spread_of(trials((1.0, 3.0), (1.0, 3.0), (1.0, 3.0)))
    assert within == {
        "iterations": 2,
        "sd_within": pytest.approx(math.sqrt(2)),
        "sd_between": 0.0,
    }, "starts add nothing, so there is no best number"
    between = spread_of(trials((1.0, 1.0), (3.0, 3.0)))
    assert between["sd_within"] == 0
    assert between["sd_between"] == pytest.approx(math.sqrt(2))
    assert between["iterations_best"] == 1


def test_costly_starts_ask_for_more_iterations() -> None:
    """r = ceil(sqrt(c2 / c1 * T1^2 / T2^2)), here with S1^2 = 2 and S2^2 = 8, so T2^2 = 7."""
    values = ((1.0, 3.0), (5.0, 7.0))
    cheap, dear = spread_of(trials(*values)), spread_of(trials(*values, life=700.0))
    assert cheap["sd_between"] == pytest.approx(math.sqrt(7)), "not sqrt(8): iterations explain a part"
    assert cheap["iterations_best"] == math.ceil(math.sqrt(9 * 2 / 7))
    assert dear["iterations_best"] == math.ceil(math.sqrt(700 * 2 / 7))


@pytest.mark.parametrize(
    "values",
    [((1.0, 2.0), (1.0,)), ((1.0, 2.0),), ((1.0,), (2.0,)), ()],
    ids=["uneven", "one", "single", "none"],
)
def test_what_cannot_be_told_is_left_out(values: tuple[tuple[float, ...], ...]) -> None:
    assert "sd_within" not in spread_of(trials(*values))
    assert "iterations_best" not in spread_of(trials(*values))


def test_without_the_instants_of_a_trial_no_number_is_best() -> None:
    found = spread_of(trials((1.0, 2.0), (3.0, 5.0), iteration=None, life=None))
    assert found.keys() == {"iterations", "sd_within", "sd_between"}


def trial(**at: float) -> TrialRecord:
    events = {name: EventRecord(at_ns=round(second * 1e9), resolution=0) for name, second in at.items()}
    return TrialRecord(
        trial=1,
        block=1,
        position=1,
        warmup=False,
        backend="a",
        condition="a",
        factors={},
        metrics=("m",),
        instance="i",
        wall="",
        outcome="measured",
        events=events,
    )


def test_costs_are_those_of_the_trials_own_instants() -> None:
    reading = ReadingRecord(
        metric="m", quantity="q", value=1, unit="s", iterations=(1.0, 1.0, 1.0), warmups=(2.0,)
    )
    found = nested_of(trial(requested=10, ready=14, stop_requested=22, gone=23), reading)
    assert found == Nested((1.0, 1.0, 1.0), 2.0, 4 + 1 + 2), "a warm-up belongs to the cost of a start"
    assert nested_of(trial(requested=10, ready=14), reading) == Nested((1.0, 1.0, 1.0))
    assert nested_of(trial(), reading.model_copy(update={"iterations": None})) is None
