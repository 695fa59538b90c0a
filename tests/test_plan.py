"""The plan: every condition once a block, one order everywhere, no memory for what is not reached."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter

import pytest

from vmvc.plan import Plan, group_metrics
from vmvc.spec import Trials

AXES = {
    "docker": {"guest.memory": ("256MiB", "1GiB")},
    "kvm": {"guest.memory": ("256MiB", "1GiB"), "backends.kvm.options.machine": ("q35", "pc")},
}
METRICS = (("startup", "memory"),)


def plan(**settings: object) -> Plan:
    return Plan(AXES, METRICS, Trials.model_validate(settings))


def test_conditions_are_every_combination_in_file_order() -> None:
    assert [condition.id for condition in plan().conditions] == [
        "docker guest.memory=256MiB",
        "docker guest.memory=1GiB",
        "kvm guest.memory=256MiB backends.kvm.options.machine=q35",
        "kvm guest.memory=256MiB backends.kvm.options.machine=pc",
        "kvm guest.memory=1GiB backends.kvm.options.machine=q35",
        "kvm guest.memory=1GiB backends.kvm.options.machine=pc",
    ]


def test_a_backend_without_factors_is_one_condition() -> None:
    only = Plan({"docker": {}}, METRICS, Trials())
    assert [condition.id for condition in only.conditions] == ["docker"]


def test_every_block_holds_every_condition_once() -> None:
    blocks = itertools.groupby(plan(count=5, warmup=2), key=lambda trial: trial.block)
    for block, trials in blocks:
        listed = list(trials)
        assert sorted(trial.condition.number for trial in listed) == list(range(6))
        assert [trial.position for trial in listed] == list(range(1, 7))
        assert {trial.warmup for trial in listed} == {block <= 2}


def test_numbers_count_from_one_without_gaps() -> None:
    trials = list(plan(count=3))
    assert [trial.number for trial in trials] == list(range(1, len(plan(count=3)) + 1))


def test_the_order_of_a_seed_is_written_in_stone() -> None:
    order = [trial.condition.number for trial in plan(count=2, warmup=0, seed=20261123)]
    assert order == [2, 4, 1, 3, 0, 5, 2, 5, 0, 3, 1, 4]


def test_blocks_and_seeds_differ_in_order() -> None:
    def order(seed: int) -> list[int]:
        return [trial.condition.number for trial in plan(count=20, warmup=0, seed=seed)]

    assert order(1) != order(2)
    assert len({tuple(order(1)[begin : begin + 6]) for begin in range(0, 120, 6)}) > 10


def test_each_condition_comes_first_about_equally_often() -> None:
    first = Counter(trial.condition.number for trial in plan(count=3000, warmup=0) if trial.position == 1)
    assert all(400 < first[number] < 600 for number in range(6)), first


def test_interleaved_keeps_file_order() -> None:
    order = [trial.condition.number for trial in plan(count=2, warmup=0, order="interleaved")]
    assert order == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]


def test_sequential_runs_one_condition_after_the_other() -> None:
    trials = list(plan(count=2, warmup=1, order="sequential"))
    assert [trial.condition.number for trial in trials[:6]] == [0, 0, 0, 1, 1, 1]
    assert [trial.warmup for trial in trials[:3]] == [True, False, False]


def test_a_metric_that_loads_the_guest_gets_a_life_of_its_own() -> None:
    groups = group_metrics(["startup", "workload", "memory"], ["workload"])
    assert groups == (("startup", "memory"), ("workload",))
    lives = Counter(trial.metrics for trial in Plan({"docker": {}}, groups, Trials(count=4, warmup=0)))
    assert lives == {("startup", "memory"): 4, ("workload",): 4}


@pytest.mark.parametrize(
    ("only", "expected"),
    [(("kvm",), 4), (("docker",), 2), (("*memory=1GiB*",), 3), (("docker", "*machine=pc"), 4), (("no",), 0)],
)
def test_only_selects_backends_and_patterns(only: tuple[str, ...], expected: int) -> None:
    chosen = Plan(AXES, METRICS, Trials(count=2), only)
    assert chosen.condition_count == len(list(chosen.conditions)) == expected
    assert len(list(chosen)) == len(chosen) == expected * 3


def test_a_condition_beyond_the_last_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        plan().condition(6)


def test_a_million_trials_are_not_materialised() -> None:
    levels = tuple(range(100))
    large = Plan({"docker": {"guest.cpus": levels, "guest.x": levels}}, METRICS, Trials(count=99))
    tracemalloc.start()
    assert len(large) == 1_000_000
    assert next(iter(large)).number == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20
