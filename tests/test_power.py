"""``vmvc plan --power``: what a pilot says of the trials that are needed, and when it says nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.command import vmvc
from tests.edited import unchecked
from vmvc import loading
from vmvc.errors import ResultsError
from vmvc.journal import Journal
from vmvc.manifest import head_of
from vmvc.planning import plan_of
from vmvc.power import costs_of, needs_of
from vmvc.records_journal import ReadingRecord, TrialRecord

EXPERIMENT = """\
name: pilot
backends: {a: {kind: fake}, b: {kind: fake}}
metrics: {startup: {}, memory: {settle: 2s}}
trials: {count: 30, warmup: 0}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> loading.Loaded:
    return loading.loads(EXPERIMENT.encode(), "pilot.yaml", tmp_path)


@pytest.fixture
def pilot(tmp_path: Path, loaded: loading.Loaded) -> Callable[..., Path]:
    """Write the journal of a pilot with these values of ``startup.ready``, one trial every 2 seconds."""

    def write(
        values: Mapping[str, list[float]], resolution: float = 0.0, name: str = "run", **changes: object
    ) -> Path:
        folder = tmp_path / "results" / "pilot" / name
        folder.mkdir(parents=True)
        head = head_of(loaded, plan_of(loaded), name, ())
        with Journal(folder / "journal.jsonl") as book:
            book.append(head.model_copy(update=changes))
            for number, (condition, value) in enumerate(
                (who, value) for who, every in values.items() for value in every
            ):
                book.append(
                    TrialRecord(
                        trial=number + 1,
                        block=number + 1,
                        position=1,
                        warmup=False,
                        backend=condition,
                        condition=condition,
                        factors={},
                        metrics=("startup", "memory"),
                        instance="x",
                        wall=f"2026-11-25T10:{number // 30:02}:{number % 30 * 2:02}.000+00:00",
                        outcome="measured",
                        events={},
                        readings=(
                            ReadingRecord(
                                metric="startup",
                                quantity="ready",
                                unit="s",
                                value=value,
                                resolution=resolution,
                            ),
                        ),
                    )
                )
        return folder

    return write


VALUES = {
    "a": (1 + 0.2 * np.random.RandomState(1).standard_normal(30)).tolist(),
    "b": (9 + 0.2 * np.random.RandomState(2).standard_normal(30)).tolist(),
}


def test_the_noisier_condition_needs_more_and_decides(
    loaded: loading.Loaded, pilot: Callable[..., Path]
) -> None:
    run = pilot(VALUES)
    needs = needs_of(loaded, plan_of(loaded), run, 0.02)
    a, b = [one for one in needs if one.quantity == "startup.ready"]
    assert (a.condition, a.n, a.unit) == ("a", 30, "s")
    assert a.now is not None
    assert a.trials is not None
    assert a.trials == pytest.approx(30 * (a.now / 0.02) ** 2, rel=0.1)
    assert b.trials is not None
    assert 6 <= b.trials < a.trials / 5
    (cost,) = [one for one in costs_of(loaded, needs, run, ()) if one.quantity == "startup.ready"]
    assert (cost.trials, cost.seconds) == (a.trials, 2 * 2 * a.trials)


def test_the_pilot_that_is_named_tells_the_time_not_a_newer_run(
    loaded: loading.Loaded, pilot: Callable[..., Path]
) -> None:
    run = pilot(VALUES, name="older")
    newer = pilot({"a": [1.0] * 9, "b": [1.0] * 9}, name="run")
    text = unchecked(newer / "journal.jsonl").read_text()
    (newer / "journal.jsonl").write_text(text.replace("2026-11-25T10:00:0", "2026-11-25T09:00:0"))
    needs = needs_of(loaded, plan_of(loaded), run, 0.02)
    costs = [one for one in costs_of(loaded, needs, run, ()) if one.trials is not None]
    assert [one.seconds for one in costs] == [2 * 2 * (one.trials or 0) for one in costs]


def test_what_the_pilot_lacks_has_a_reason(loaded: loading.Loaded, pilot: Callable[..., Path]) -> None:
    run = pilot({"a": [1.0] * 3}, resolution=0.5)
    needs = {(one.condition, one.quantity): one for one in needs_of(loaded, plan_of(loaded), run, 0.05)}
    assert needs["a", "startup.ready"].reason == "n = 3 in the pilot, an interval needs 6"
    assert needs["b", "startup.ready"].reason == "no values in the pilot"
    assert needs["a", "memory.pss"].trials is None
    assert {one.trials for one in costs_of(loaded, list(needs.values()), run, ())} == {None}


def test_a_pilot_with_other_options_is_refused(loaded: loading.Loaded, pilot: Callable[..., Path]) -> None:
    run = pilot(VALUES, options={"memory": {"settle": "10s"}})
    with pytest.raises(
        ResultsError, match=r"measured memory with {'settle': '10s'}, the file asks for {'settle': '2s'}"
    ):
        needs_of(loaded, plan_of(loaded), run, 0.05)


def test_an_empty_pilot_is_refused(loaded: loading.Loaded, pilot: Callable[..., Path]) -> None:
    with pytest.raises(ResultsError, match="holds no value of this experiment"):
        needs_of(loaded, plan_of(loaded), pilot({}), 0.05)


def test_the_command_prints_trials_and_time(tmp_path: Path, pilot: Callable[..., Path]) -> None:
    run = pilot(VALUES, resolution=0.001)
    (tmp_path / "pilot.yaml").write_text(EXPERIMENT)
    said = vmvc("plan", "pilot.yaml", "--power", "results/pilot", "--relative-ci", "2%", cwd=tmp_path)
    assert said.code == 0
    assert "trials for a median known within ±2%" in said.out
    assert "nan" not in said.out
    made = vmvc("plan", "pilot.yaml", "--power", run, "--json", cwd=tmp_path).out.splitlines()
    lines = [json.loads(line) for line in made]
    (cost,) = [line for line in lines if line["quantity"] == "startup.ready" and "seconds" in line]
    assert cost["trials"] >= 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--relative-ci", "5%"], "--relative-ci goes with --power RUN"),
        (["--power", "results", "--relative-ci", "0%"], "expected a percentage above 0%, got '0%'"),
        (["--power", "results", "--relative-ci", "0.05"], "expected a percentage between 0% and 100%"),
        (["--power", "nothing"], "nothing: holds no run"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "pilot.yaml").write_text(EXPERIMENT)
    said = vmvc("plan", "pilot.yaml", *arguments, cwd=tmp_path)
    assert said.code == 2
    assert message in said.err
