"""Every file in experiments/ is a good one."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from vmvc.loading import read
from vmvc.notation import read_tree
from vmvc.plan import Plan
from vmvc.schema import experiment_schema

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_loads_and_plans(path: Path) -> None:
    loaded = read(path)
    axes = {name: loaded.axes(name) for name in loaded.experiment.backends}
    names = tuple(metric.name for metric in loaded.metrics)
    plan = Plan(axes, (names,), loaded.experiment.trials)
    assert len(plan) >= len(axes)
    for condition in plan.conditions:
        backend, guest = loaded.bind(condition.backend, condition.factors)
        assert backend.name == condition.backend
        assert guest.folder == path.parent


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_keeps_to_the_schema(path: Path) -> None:
    root, _ = read_tree(path.read_bytes(), path.name)
    assert root is not None
    assert [
        error.message for error in Draft202012Validator(experiment_schema()).iter_errors(root.plain())
    ] == []


def test_the_first_experiment_has_three_lines() -> None:
    first = next(path for path in EXPERIMENTS if path.stem == "first")
    assert len(first.read_text().splitlines()) == 3
