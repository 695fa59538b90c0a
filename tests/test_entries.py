"""Conditions that are listed and combinations that are left out: exact, in one order, in no time."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmvc import journal
from vmvc.cli.progress import Quiet
from vmvc.conditions import conditions_of
from vmvc.errors import InputError
from vmvc.execution import resume, start
from vmvc.loading import Loaded, loads
from vmvc.plan import Plan
from vmvc.planning import plan_of
from vmvc.spec import Entry, Level, Trials

FILES = Path(__file__).parent / "files"
METRICS = (("startup",),)


def load(text: str) -> Loaded:
    return loads(text.encode(), "x.yaml", Path())


def ids(loaded: Loaded) -> list[str]:
    return [condition.id for condition in plan_of(loaded).conditions]


# --- which conditions there are ---------------------------------------------------------------------------


def test_combinations_less_the_excluded_then_the_included() -> None:
    loaded = loads((FILES / "good/include-and-exclude.yaml").read_bytes(), "x.yaml", FILES)
    assert ids(loaded) == [
        "fake guest.memory=256MiB guest.cpus=1",
        "fake guest.memory=1GiB guest.cpus=2",
        "plain guest.memory=256MiB guest.cpus=1 backends.plain.options.seed=1",
        "plain guest.memory=256MiB guest.cpus=1 backends.plain.options.seed=2",
        "plain guest.memory=1GiB guest.cpus=1 backends.plain.options.seed=1",
        "plain guest.memory=1GiB guest.cpus=2 backends.plain.options.seed=1",
        "fake guest.memory=4GiB guest.cpus=8",
        "plain guest.memory=4GiB guest.cpus=8",
        "plain guest.memory=256MiB",
    ]


def test_without_a_sweep_the_list_is_all_there_is() -> None:
    loaded = loads((FILES / "good/listed-conditions.yaml").read_bytes(), "x.yaml", FILES)
    assert ids(loaded) == [
        *("plain", "fake", "fake guest.cpus=1 guest.memory=256MiB"),
        "fake backends.fake.options.seed=2 guest.cpus=4",
    ]
    backend, guest = loaded.bind("fake", {"backends.fake.options.seed": 2, "guest.cpus": 4})
    assert backend.options.model_dump()["seed"] == 2
    assert (guest.cpus, guest.memory) == (4, 256 * 2**20)


def test_an_order_of_paths_makes_no_other_condition() -> None:
    text = (
        "name: a\nbackends: [fake]\nmetrics: [startup]\n"
        "factors: {guest.memory: [1GiB], guest.cpus: [1], include: [{guest.cpus: 2, guest.memory: 1GiB}]}\n"
    )
    assert ids(load(text))[1] == "fake guest.memory=1GiB guest.cpus=2"
    with pytest.raises(InputError, match="has these levels already"):
        load(text.replace("guest.cpus: 2", "guest.cpus: 1"))


def test_what_was_excluded_can_be_included() -> None:
    text = (
        "name: a\nbackends: [fake]\nmetrics: [startup]\n"
        "factors: {guest.cpus: [1, 2], exclude: [{guest.cpus: 1}], include: [{guest.cpus: 1}]}\n"
    )
    assert ids(load(text)) == ["fake guest.cpus=2", "fake guest.cpus=1"]


def test_levels_are_told_apart_by_type() -> None:
    axes: dict[str, dict[str, tuple[Level, ...]]] = {"fake": {"a": (1, True, 1.0, "1")}}
    for level in axes["fake"]["a"]:
        plan = Plan(axes, METRICS, Trials(), exclude=({"backend": "fake", "a": level},))
        assert plan.condition_count == 3


# --- the plan ---------------------------------------------------------------------------------------------


def test_numbers_stay_and_the_order_of_a_seed_is_written_in_stone() -> None:
    axes: dict[str, dict[str, tuple[Level, ...]]] = {
        "docker": {"guest.memory": ("256MiB", "1GiB")},
        "kvm": {"guest.memory": ("256MiB", "1GiB"), "backends.kvm.options.machine": ("q35", "pc")},
    }
    plan = Plan(
        axes,
        METRICS,
        Trials(count=2, warmup=0, seed=20261123),
        include=({"backend": "docker", "guest.memory": "4GiB"},),
        exclude=({"backend": "kvm", "guest.memory": "1GiB", "backends.kvm.options.machine": "pc"},),
    )
    assert [condition.number for condition in plan.conditions] == [0, 1, 2, 3, 4, 6]
    assert [one.condition.number for one in plan] == [2, 4, 1, 3, 0, 6, 2, 6, 0, 3, 1, 4]
    whole = Plan(axes, METRICS, Trials(count=2, warmup=0, seed=20261123))
    assert {one.id: one.number for one in whole.conditions if one.number != 5} == {
        one.id: one.number for one in plan.conditions if one.number != 6
    }


PATHS = ("guest.a", "guest.b", "backends.x.options.c")


@st.composite
def tables(draw: st.DrawFn) -> Plan:
    """Return a plan of any factor table: axes of two backends, listed conditions and left-out ones."""
    levels = st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True).map(tuple)
    axes: dict[str, dict[str, tuple[Level, ...]]] = {
        "x": draw(st.fixed_dictionaries({}, optional=dict.fromkeys(PATHS, levels))),
        "y": draw(st.fixed_dictionaries({}, optional=dict.fromkeys(PATHS[:2], levels))),
    }

    def entries(backend: str) -> st.SearchStrategy[Entry]:
        picks = {path: st.sampled_from(levels) for path, levels in axes[backend].items()}
        return st.fixed_dictionaries({"backend": st.just(backend)}, optional=picks)

    either = st.one_of(entries("x"), entries("y"))
    return Plan(
        axes,
        draw(st.sampled_from([METRICS, (("startup",), ("workload",))])),
        Trials(
            count=draw(st.integers(1, 3)),
            warmup=draw(st.integers(0, 2)),
            order=draw(st.sampled_from(["randomized-blocks", "interleaved", "sequential"])),
            seed=draw(st.integers(0, 99)),
        ),
        (),
        tuple({"backend": "x", "guest.z": number} for number in range(draw(st.integers(0, 3)))),
        tuple(draw(st.lists(either, max_size=4))),
    )


@given(tables())
def test_blocks_are_complete_for_any_factor_table(plan: Plan) -> None:
    wanted = [(one.id, group) for one in plan.conditions for group in plan.groups]
    trials = list(plan)
    assert len(trials) == len(plan) == len(wanted) * plan.blocks
    assert [one.number for one in trials] == list(range(1, len(trials) + 1))
    blocks: dict[int, Counter[tuple[str, tuple[str, ...]]]] = {}
    for one in trials:
        blocks.setdefault(one.block, Counter())[one.condition.id, one.metrics] += 1
        assert one.warmup is (one.block <= plan.settings.warmup)
    assert all(cells == Counter(wanted) for cells in blocks.values())
    assert trials == list(plan)


@given(tables())
def test_what_is_left_out_is_what_has_all_levels_of_an_entry(plan: Plan) -> None:
    whole = Plan(plan.axes, plan.groups, plan.settings)
    kept = [
        one.id
        for one in whole.conditions
        if not any(
            entry["backend"] == one.backend
            and all(one.factors.get(path) == level for path, level in entry.items() if path != "backend")
            for entry in plan.exclude
        )
    ]
    assert [one.id for one in plan.conditions][: len(kept)] == kept
    assert plan.condition_count == len(kept) + len(plan.include)


def test_a_million_trials_of_ten_thousand_conditions_take_about_a_second() -> None:
    levels = ", ".join(str(number) for number in range(1, 101))
    memory = ", ".join(f"{number}MiB" for number in range(1, 102))
    out = ", ".join(f"{{guest.cpus: {number}, guest.memory: {number}MiB}}" for number in range(1, 101))
    more = ", ".join(f"{{guest.cpus: {number}, guest.memory: 1GiB}}" for number in range(1, 101))
    text = (
        "name: large\nbackends: [fake]\nmetrics: [startup]\ntrials: {count: 99}\n"
        f"factors: {{guest.cpus: [{levels}], guest.memory: [{memory}],"
        f" exclude: [{out}, {{guest.memory: 101MiB}}], include: [{more}]}}\n"
    )
    load("name: large\nbackends: [fake]\nmetrics: [startup]\n")
    begun = time.perf_counter()
    plan = plan_of(load(text))
    loaded = time.perf_counter() - begun
    assert (plan.condition_count, len(plan)) == (10_000, 1_000_000)
    assert loaded < 3
    tracemalloc.start()
    assert next(iter(plan)).number == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


def test_too_many_combinations_to_leave_some_out_are_refused() -> None:
    axes = "".join(
        f"  guest.env.A{number}: [{', '.join(map(repr, map(str, range(11))))}]\n" for number in range(6)
    )
    text = (
        f"name: a\nbackends: [fake]\nmetrics: [startup]\nfactors:\n{axes}  exclude: [{{guest.env.A0: '1'}}]\n"
    )
    with pytest.raises(InputError, match=r"x.yaml:4:1: factors: 1,771,561 combinations are too many"):
        load(text)


# --- a whole run ------------------------------------------------------------------------------------------


def test_a_run_has_rows_for_its_conditions_and_for_no_other(tmp_path: Path) -> None:
    text = (
        f"name: first\nmetrics: [startup]\ntrials: {{count: 1, warmup: 0}}\n"
        f"backends: {{fake: {{options: {{state: {tmp_path}/state}}}}}}\n"
        "factors:\n  guest.cpus: [1, 2]\n  exclude: [{guest.cpus: 1}]\n"
        "  include: [{guest.memory: 1GiB, backends.fake.options.start: 1ms}]\n"
    )
    loaded = load(text)
    finished = start(loaded, plan_of(loaded), tmp_path / "results", Quiet())
    expected = ["fake guest.cpus=2", "fake guest.memory=1GiB backends.fake.options.start=1ms"]
    assert list(dict.fromkeys(row.condition for row in finished.summary.rows)) == expected
    assert {row.quantity for row in finished.summary.rows if row.n} == {
        *("created", "started", "console", "exec", "ready"),
    }
    header = (finished.folder / "measurements.csv").read_text().splitlines()[0]
    assert header.endswith(",unit,guest.cpus,guest.memory,backends.fake.options.start")
    path = finished.folder / "journal.jsonl"
    assert [one.id for one in conditions_of(journal.head(path))] == expected
    again = resume(finished.folder, Quiet()).summary
    assert again.model_copy(update={"seal": finished.summary.seal}) == finished.summary
