"""The dictionary of results: fresh, whole, and true of what a run really leaves."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.command import vmvc
from vmvc.dictionary import FILES, _with_parts, dictionary, unit_of
from vmvc.host import description
from vmvc.records_about import About
from vmvc.registry import METRICS, metric_class

COMMITTED = Path(__file__).parents[1] / "schemas/RESULTS.md"
TEXT = """\
name: tiny
backends: [fake]
metrics:
  startup: {}
  memory: {settle: 10ms}
  density: {instances: 4, settle: 10ms, idle: 10ms}
trials: {count: 2}
"""
DICTIONARY = dictionary()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real run's folder, on the scripted backend."""
    place = tmp_path_factory.mktemp("run")
    (place / "tiny.yaml").write_text(TEXT)
    assert vmvc("run", "tiny.yaml", "--quiet", cwd=place).code == 0
    (found,) = place.glob("results/tiny/*")
    return found


def section(title: str) -> str:
    """Return the part of the dictionary below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DICTIONARY, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def test_the_committed_dictionary_is_fresh() -> None:
    assert COMMITTED.read_text() == DICTIONARY, "cure: make schemas"


@pytest.mark.parametrize("name", ["measurements.csv", "summary.csv", "series-density.csv"])
def test_every_column_of_a_real_run_is_told(folder: Path, name: str) -> None:
    with (folder / name).open() as file:
        columns = next(csv.reader(file))
    told = section(f"`{name if 'density' not in name else 'series-METRIC.csv'}`")
    own = {"instance", "ready", "ready_resolution", "disk", "available"} if "density" in name else set()
    assert [column for column in columns if f"| `{column}` |" not in told and column not in own] == []


def test_run_json_has_the_declared_keys_and_no_other(folder: Path) -> None:
    facts = json.loads((folder / "run.json").read_text())
    About.model_validate(facts)
    assert set(facts) == set(About.model_fields)
    with pytest.raises(ValueError, match="Extra inputs"):
        About.model_validate({**facts, "moon": "full"})


@pytest.mark.parametrize("name", ["journal.jsonl", "summary.json", "claims.json"])
def test_every_key_of_a_real_run_is_told(folder: Path, name: str) -> None:
    text = (folder / name).read_text()
    records = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)
    for record in records if isinstance(records, list) else [records]:
        for key in record:
            assert f"| `{key}` |" in section(f"`{name}`"), key


def test_every_fact_of_this_host_is_told() -> None:
    assert set(description.facts()) <= set(description.SAYS)
    assert all(f"| `{name}` |" in section("Facts of the host") for name in description.SAYS)


def test_every_quantity_is_told_with_its_unit() -> None:
    for name in METRICS:
        for one in metric_class(name).quantities:
            assert f"| `{name}.{one.name}` | `{one.unit}` | {one.better} |" in section("Quantities")


@pytest.mark.parametrize("model", _with_parts([model for models in FILES.values() for model in models]))
def test_every_key_has_a_meaning(model: Any) -> None:
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name}"
        assert unit_of(name, field)
    assert f"### {model.__name__}\n" in DICTIONARY


@pytest.mark.parametrize(
    ("file", "key", "unit", "absent"),
    [
        ("`summary.csv`", "low", "`unit`", "absent below n = 6"),
        ("`summary.csv`", "tau_p", "1 (a share)", "absent where tau is"),
        ("`summary.csv`", "n", "1", "always there"),
        ("`measurements.csv`", "value", "`unit`", "there is no value; `journal.jsonl` says why"),
        ("`journal.jsonl`", "at_ns", "ns", "always there"),
        ("`journal.jsonl`", "pause", "s", "always there"),
        ("`journal.jsonl`", "failure", "`Failure`", "absent where it did not"),
        ("`journal.jsonl`", "axes", "as in the experiment", "always there"),
        ("`summary.json`", "slope", "`unit` per `level_unit`", "absent where levels are text"),
    ],
)
def test_units_and_absences(file: str, key: str, unit: str, absent: str) -> None:
    row = re.search(rf"^\| `{key}` \| ([^|]*) \| .* \| ([^|]*) \|$", section(file), re.MULTILINE)
    assert row is not None
    assert (row[1], row[2]) == (unit, absent)


def test_the_command_prints_and_writes_it(tmp_path: Path) -> None:
    assert vmvc("schema", "--dictionary", cwd=tmp_path).out == DICTIONARY
    said = vmvc("schema", "--write", "out", cwd=tmp_path)
    assert "out/RESULTS.md" in said.out.splitlines()
    assert (tmp_path / "out/RESULTS.md").read_text() == DICTIONARY
