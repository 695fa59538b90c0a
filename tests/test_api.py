"""A run in Python: the numbers of its files, to the digit; and runs in a list or beside each other."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vmvc
from tests.claimed import around
from tests.command import vmvc as command
from tests.compared import READY, run
from tests.report import runs as made
from vmvc import results
from vmvc.errors import MissingSdk, ResultsError
from vmvc.runs import overviews

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("api") / "results/first/one"
    made.make(place, backends=("docker",), levels=("1GiB",), failing={3: "too late"}, claims=made.CLAIMS[1:])
    results.rebuild(place)
    return place


def test_importing_the_package_loads_no_library() -> None:
    code = "import vmvc, sys; print(sorted({'numpy', 'pandas', 'polars', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_readings_are_the_rows_of_the_file(folder: Path) -> None:
    found = vmvc.open_run(folder)
    with (folder / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == [results.number(one.value or 0) for one in found.readings()]
    frame = found.frame(library="polars")
    assert frame.columns == list(rows[0])
    assert frame["value"].to_list() == [float(row["value"]) for row in rows]
    assert frame["guest.memory"].unique().to_list() == ["1GiB"]


def test_the_summary_is_that_of_the_file(folder: Path) -> None:
    found = vmvc.open_run(folder)
    stored = json.loads((folder / "summary.json").read_text())
    assert json.loads(found.summary.model_dump_json(exclude_none=True)) == stored
    frame = found.frame("summary", "polars")
    assert frame["median"].to_list() == [row.get("median") for row in stored["rows"]]


def test_trials_and_events(folder: Path) -> None:
    found = vmvc.open_run(folder.parent)
    assert found.folder == folder
    assert (found.frame("trials", "polars")["reason"].to_list()).count("too late") == 1
    ready = {one.trial: one.after for one in found.events() if one.event == "ready"}
    values = {one.trial: one.value for one in found.readings() if one.quantity == "ready"}
    assert ready == values
    assert len(found.verdicts) == 2
    assert found.facts["run"] == found.id
    assert found.experiment.startswith("name: made")
    assert "<th>claim fast</th>" in found._repr_html_()


def test_a_missing_library_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingSdk, match="pip install pandas"):
        vmvc.open_run(folder).frame()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no run"):
        vmvc.open_run(tmp_path)


def test_the_example_of_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"\n## In Python\n\n```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(folder.parents[2])
    names: dict[str, object] = {}
    exec(block[1], names)
    assert len(names["points"]) > 0  # type: ignore[arg-type]


def test_runs_are_listed_with_their_state_and_unreadable_ones_named(tmp_path: Path) -> None:
    made.make(tmp_path / "e/a", backends=("docker",), claims=made.CLAIMS[1:])
    made.make(tmp_path / "e/b", backends=("docker",), until=3)
    run(tmp_path / "e/c", {READY: [1.0]}, version=2)
    (tmp_path / "e/d").mkdir()
    (tmp_path / "e/d/run.json").write_text("{}")
    found = {Path(one.folder).name: one for one in overviews(tmp_path)}
    assert [one.state for one in found.values()] == [
        "finished", "running or interrupted", "unreadable", "unreadable",
    ]  # fmt: skip
    assert sum(found["a"].verdicts.values()) == 2
    assert (found["b"].measured, found["b"].planned) == (3, found["a"].planned)
    assert "of version 2" in found["c"].reason
    assert "No such file" in found["d"].reason


def test_the_command_lists_and_compares_with_its_exit_codes(tmp_path: Path) -> None:
    run(tmp_path / "results/e/a", {READY: around(1, 0.01)})
    run(tmp_path / "results/e/b", {READY: around(2, 0.01)})
    said = command("list", "runs", cwd=tmp_path)
    assert said.code == 0
    assert len(said.out.splitlines()) == 3
    a, b = "results/e/a", "results/e/b"
    said = command("compare", a, b, "--fail-on", "worse", "--output", "out.md", cwd=tmp_path)
    assert said.code == 1
    assert "slower (worse)" in said.out
    assert "slower (worse)" in (tmp_path / "out.md").read_text()
    said = command("compare", b, a, "--fail-on", "worse", "--json", cwd=tmp_path)
    assert said.code == 0
    assert json.loads(said.out)["runs"][0]["rows"][0]["verdict"] == "faster"
    for bad in ((a, a), (a, "nowhere"), (a, b, "--tolerance", "5"), (a, b, "--output", "out.md")):
        assert command("compare", *bad, cwd=tmp_path).code == 2
