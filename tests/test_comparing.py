"""Runs beside a reference: every verdict, what is refused or flagged, and what only one run has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.claimed import QUANTITIES, around
from tests.compared import READY, changed, run
from vmvc import comparing, results
from vmvc.errors import InputError, ResultsError
from vmvc.records_compare import ComparedRow, ComparedRun


def compared(tmp_path: Path, base: Any, other: Any, tolerance: float = 0.05, **rest: Any) -> ComparedRun:
    first = run(tmp_path / "a", base if isinstance(base, dict) else {READY: base})
    second = run(tmp_path / "b", other if isinstance(other, dict) else {READY: other}, **rest)
    return comparing.compare([first, second], tolerance).runs[0]


def only(found: ComparedRun) -> ComparedRow:
    (row,) = found.rows
    return row


def declared(better: str, unit: str = "s", **rest: Any) -> list[dict[str, Any]]:
    one = {"metric": "startup", "quantity": "ready", "unit": unit, "better": better, "says": "Ready."}
    return [one | rest]


@pytest.mark.parametrize(
    ("base", "other", "verdict", "effect"),
    [
        (around(1, 0.01), around(2, 0.01), "slower", "worse"),
        (around(2, 0.01), around(1, 0.01), "faster", "better"),
        (around(1, 0.01), around(1.001, 0.01), "same", ""),
        (around(1, 0.01), around(1.05, 0.1), "cannot tell", ""),
        (around(1, 0.01), around(2, 0.01, 5), "cannot tell", ""),
        ([0.0] * 8, [0.0] * 8, "same", ""),
        ([0.0] * 8, around(1, 0.1, 8), "slower", "worse"),
    ],
)
def test_times(tmp_path: Path, base: list[float], other: list[float], verdict: str, effect: str) -> None:
    row = only(compared(tmp_path, base, other))
    assert (row.verdict, row.effect) == (verdict, effect)
    assert bool(row.reason) == (verdict == "cannot tell")


@pytest.mark.parametrize(
    ("better", "middle", "verdict", "effect"),
    [
        ("lower", 2, "higher", "worse"),
        ("lower", 0.5, "lower", "better"),
        ("higher", 2, "higher", "better"),
        ("higher", 0.5, "lower", "worse"),
        ("neutral", 2, "higher", ""),
        ("neutral", 0.5, "lower", ""),
    ],
)
def test_only_times_are_fast_and_each_direction_counts(
    tmp_path: Path, better: str, middle: float, verdict: str, effect: str
) -> None:
    quantity = {"metric": "density", "quantity": "capacity", "unit": "1", "better": better, "says": "Many."}
    key = ("docker", "density.capacity")
    one = run(tmp_path / "a", {key: around(1, 0.01)}, quantities=[quantity])
    two = run(tmp_path / "b", {key: around(middle, 0.01)}, quantities=[quantity])
    found = comparing.compare([one, two])
    row = only(found.runs[0])
    assert (row.verdict, row.effect) == (verdict, effect)
    assert comparing.worse(found) == (effect == "worse")


@pytest.mark.parametrize(
    ("tolerance", "verdict"), [(0.0, "slower"), (0.05, "slower"), (0.1, "cannot tell"), (0.2, "same")]
)
def test_the_tolerance_decides(tmp_path: Path, tolerance: float, verdict: str) -> None:
    assert only(compared(tmp_path, around(1, 0.02), around(1.1, 0.02), tolerance)).verdict == verdict


def test_the_ends_of_the_tolerance_belong_to_it(tmp_path: Path) -> None:
    assert only(compared(tmp_path, [1.0] * 8, [1.25] * 8, 0.25)).verdict == "same"


def test_what_is_below_zero_has_no_ratio_that_says_anything(tmp_path: Path) -> None:
    row = only(compared(tmp_path, around(-1, 0.01), around(-2, 0.01)))
    assert (row.verdict, row.effect) == ("cannot tell", "")
    assert "below 0" in row.reason


def test_a_resolution_makes_room(tmp_path: Path) -> None:
    one = run(tmp_path / "a", {READY: around(1, 0.01)}, resolution=0.5)
    two = run(tmp_path / "b", {READY: around(1.2, 0.01)}, resolution=0.5)
    assert only(comparing.compare([one, two]).runs[0]).verdict == "cannot tell"


def test_the_numbers_are_those_of_the_summary_and_the_same_again(tmp_path: Path) -> None:
    found = compared(tmp_path, around(1, 0.3), around(1.7, 0.4))
    row = only(found)
    for name, median in (("a", row.reference_median), ("b", row.median)):
        assert results.summary_of(tmp_path / name).rows[0].median == median
    assert row.ratio == row.median / row.reference_median
    assert row.a12 == 1
    assert found == comparing.compare([tmp_path / "a", tmp_path / "b"]).runs[0]


def test_holm_is_over_all_rows(tmp_path: Path) -> None:
    steady, slow = around(1, 0.01, 6), around(2, 0.01, 6)
    base = {(f"b{i}", "startup.ready"): steady for i in range(30)}
    found = compared(tmp_path, base, base | {("b0", "startup.ready"): slow})
    assert found.family == 30
    row = found.rows[0]
    assert row.p == pytest.approx(2 / 924)
    assert row.p_adjusted == pytest.approx(60 / 924)
    assert (row.verdict, row.effect) == ("cannot tell", "")
    assert row.reason == "p is 0.065 by Holm over 30 tests"


@pytest.mark.parametrize(
    "head",
    [
        {"quantities": declared("lower", says="Ready, otherwise defined.")},
        {"quantities": declared("higher", says="startup.ready.")},
        {"options": {"startup": {"settle": 2}}},
    ],
)
def test_another_definition_is_not_compared(tmp_path: Path, head: dict[str, Any]) -> None:
    one = run(tmp_path / "a", {READY: around(1, 0.01)}, options={"startup": {"settle": 1}})
    two = run(tmp_path / "b", {READY: around(9, 0.01)}, **{"options": {"startup": {"settle": 1}}, **head})
    row = only(comparing.compare([one, two]).runs[0])
    assert (row.verdict, row.effect, row.ratio, row.p_adjusted) == ("unlike", "", None, None)
    assert row.reason.startswith("another definition: ")


def test_another_unit_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(tmp_path / "a", {READY: around(1, 0.01)})
    monkeypatch.setitem(QUANTITIES, "startup.ready", "B")
    two = run(tmp_path / "b", {READY: around(1, 0.01)})
    row = only(comparing.compare([one, two]).runs[0])
    assert (row.verdict, row.ratio) == ("unlike", None)
    assert row.reason == "another definition: unit is 'B', reference 's'"


@pytest.mark.parametrize(
    ("path", "value", "flags"),
    [
        ("backends/docker/options/network", "host", ("options.network",)),
        ("backends/docker/kind", "podman", ("kind",)),
        ("backends/docker/facts/emulated", True, ("emulated",)),
        ("backends/kvm/facts/emulated", True, ()),
        ("backends/docker/facts/version", "28", ()),
        ("host/kernel", "Linux 6.12", ()),
        ("experiment/guest/memory", "1GiB", ("guest.memory",)),
        ("experiment/backends/docker/guest", {"memory": "1GiB", "cpus": 3}, ("guest.memory", "guest.cpus")),
        ("experiment/guest/command", ["a", "b"], ("guest.command",)),
        ("experiment/images/web/base", "debian:trixie", ("image",)),
        ("conditions/docker/facts/image_digest", "sha256:2", ("image_digest",)),
    ],
)
def test_what_differs_is_listed_and_flagged_where_it_counts(
    tmp_path: Path, path: str, value: object, flags: tuple[str, ...]
) -> None:
    found = compared(tmp_path, around(1, 0.01), around(2, 0.01), facts=changed(path, value))
    row = only(found)
    assert (row.verdict, row.flags) == ("slower", flags)
    assert found.differences
    assert all(one.what.startswith(path.replace("/", ".")) for one in found.differences)


def test_a_swept_parameter_is_matched_by_its_level_not_flagged(tmp_path: Path) -> None:
    key = ("docker guest.memory=1GiB", "startup.ready")
    axes = {"docker": {"guest.memory": ["1GiB"]}}
    one = run(tmp_path / "a", {key: around(1, 0.01)}, axes=axes)
    facts = changed("experiment/guest/memory", "2GiB")
    two = run(tmp_path / "b", {key: around(1, 0.01)}, axes=axes, facts=facts)
    assert only(comparing.compare([one, two]).runs[0]).flags == ()


def test_the_same_environment_has_no_differences(tmp_path: Path) -> None:
    found = compared(tmp_path, around(1, 0.01), around(1, 0.01), facts=changed("wall", "later"))
    assert (found.differences, found.notes, only(found).flags) == ((), (), ())


@pytest.mark.parametrize("text", [None, "{", "[]", '{"a": ' * 5000])
def test_without_run_json_the_environment_is_unknown(tmp_path: Path, text: str | None) -> None:
    one = run(tmp_path / "a", {READY: around(1, 0.01)})
    two = run(tmp_path / "b", {READY: around(1, 0.01)}, facts=None)
    if text is not None:
        (two / "run.json").write_text(text)
    found = comparing.compare([one, two]).runs[0]
    assert only(found).flags == ("unknown",)
    assert found.differences == ()
    assert "emulation are not known" in found.notes[0]


def test_what_only_one_run_has_is_listed_with_the_reason(tmp_path: Path) -> None:
    steady = around(1, 0.01)
    base = {READY: steady, ("kvm", "startup.ready"): steady, ("docker", "memory.pss"): steady}
    other = {READY: steady, ("lxc", "startup.ready"): steady, ("docker", "memory.pss"): [None] * 10}
    found = compared(tmp_path, base, other)
    only(found)
    told = {(one.condition, one.quantity): one.reason for one in found.unmatched}
    a, b = tmp_path / "a", tmp_path / "b"
    assert told["kvm", ""] == f"{b} has no such condition"
    assert told["lxc", ""] == f"{a} has no such condition"
    assert told["docker", "memory.pss"] == f"{b} has no values: ready: too late (10 trials)"
    # what neither measured is said of both
    assert told["docker", "density.capacity"].count("not measured yet") == 2


def test_a_quantity_of_one_run_is_listed(tmp_path: Path) -> None:
    found = compared(
        tmp_path, around(1, 0.01), around(1, 0.01), quantities=declared("lower", says="startup.ready.")
    )
    assert {one.quantity for one in found.unmatched} == set(QUANTITIES) - {"startup.ready"}


def test_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nothing in common") as error:
        compared(tmp_path, around(1, 0.01), {("kvm", "startup.ready"): around(1, 0.01)})
    assert error.value.exit_code == 2


def test_the_same_run_is_told_apart_by_its_id(tmp_path: Path) -> None:
    one = run(tmp_path / "a", {READY: around(1, 0.01)})
    two = run(tmp_path / "b", {READY: around(1, 0.01)}, run="a")
    with pytest.raises(InputError) as error:
        comparing.compare([one, two, one])
    assert [fault.source for fault in error.value.faults] == [str(two), str(one)]


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="of version 2"):
        compared(tmp_path, around(1, 0.01), around(1, 0.01), version=2)


def test_an_unfinished_and_torn_run_is_compared_and_said(tmp_path: Path) -> None:
    one = run(tmp_path / "a", {READY: around(1, 0.01)})
    two = run(tmp_path / "b", {READY: around(1, 0.01)})
    journal = two / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    found = comparing.compare([one, two]).runs[0]
    assert found.notes == (f"{two}: the run is not finished: 9 of 10 trials are recorded",)
    assert only(found).n == 9


def test_several_runs_stand_beside_the_first(tmp_path: Path) -> None:
    folders = [
        run(tmp_path / name, {READY: around(at, 0.01)}) for name, at in (("a", 1), ("b", 2), ("c", 0.5))
    ]
    found = comparing.compare(folders)
    assert [one.run for one in found.runs] == ["b", "c"]
    assert [only(one).verdict for one in found.runs] == ["slower", "faster"]
    json.loads(found.model_dump_json())


def test_other_experiments_are_said(tmp_path: Path) -> None:
    found = compared(tmp_path, around(1, 0.01), around(1, 0.01), name="another")
    assert found.notes == ("the experiments differ: claimed and another",)
