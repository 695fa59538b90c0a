"""A run in Python: the numbers of its files, to the digit; and runs in a list or beside each other."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import vmvc
from tests.claimed import around
from tests.command import vmvc as command
from tests.compared import READY, run
from tests.report import runs as made
from vmvc import results
from vmvc.api import Kind
from vmvc.errors import InputError, MissingSdk, ResultsError
from vmvc.records import FindingRecord
from vmvc.runs import overviews
from vmvc.sheet import number
from vmvc.units import show

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "experiments").glob("*.yaml"))


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
    found = vmvc.load(folder)
    with (folder / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == [number(one.value or 0) for one in found.readings()]
    frame = found.frame(library="polars")
    assert frame.columns == list(rows[0])
    assert frame["value"].to_list() == [float(row["value"]) for row in rows]
    assert frame["guest.memory"].unique().to_list() == ["1GiB"]


def test_the_summary_is_that_of_the_file(folder: Path) -> None:
    found = vmvc.load(folder)
    stored = json.loads((folder / "summary.json").read_text())
    assert json.loads(found.summary.model_dump_json(exclude_none=True)) == stored
    frame = found.frame("summary", "polars")
    assert frame["median"].to_list() == [row.get("median") for row in stored["rows"]]


def test_trials_and_events(folder: Path) -> None:
    found = vmvc.load(folder.parent)
    assert found.folder == folder
    assert (found.frame("trials", "polars")["reason"].to_list()).count("too late") == 1
    ready = {one.trial: one.after for one in found.events() if one.event == "ready"}
    values = {one.trial: one.value for one in found.readings() if one.quantity == "ready"}
    assert ready == values
    assert len(found.verdicts) == 2
    assert found.facts["run"] == found.id
    assert found.experiment.startswith("name: made")
    assert "<th>claim fast</th>" in found._repr_html_()


KINDS: tuple[Kind, ...] = ("readings", "trials", "events", "summary")


@pytest.mark.parametrize("kind", KINDS)
def test_pandas_and_polars_hold_the_same(folder: Path, kind: Kind) -> None:
    run = vmvc.load(folder)
    ours, theirs = run.frame(kind, "pandas"), run.frame(kind, "polars")
    assert list(ours.columns) == theirs.columns
    assert len(ours) == len(theirs) > 0
    for name in theirs.columns:
        values = [
            None if absent else value for value, absent in zip(ours[name], ours[name].isna(), strict=True)
        ]
        assert values == theirs[name].to_list(), name
    if kind == "readings":
        assert ours.groupby(["condition", "metric", "quantity"])["value"].median().notna().all()


def test_columns_keep_their_type_where_all_is_absent(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    made.make(tmp_path / "run", backends=("docker",), count=2)
    frame = vmvc.load(tmp_path / "run").frame("summary", "polars")
    assert frame["p99"].dtype == polars.Float64
    assert frame["needs"].dtype == polars.Int64
    assert frame["reason"].dtype == polars.String
    assert vmvc.load(tmp_path / "run").frame("summary")["p99"].isna().all()


def test_exported_tables_read_back_the_same(folder: Path, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    said = command("export", folder, "--output", "out", cwd=tmp_path)
    assert said.code == 0, said.err
    run = vmvc.load(folder)
    for kind in KINDS:
        back = polars.read_parquet(tmp_path / f"out/{kind}.parquet")
        assert back.equals(run.frame(kind, "polars"))
    arguments = ("export", folder, "--format", "csv", "--table", "readings", "--output", "out")
    assert command(*arguments, cwd=tmp_path).code == 0
    assert (tmp_path / "out/readings.csv").read_bytes() == (folder / "measurements.csv").read_bytes()
    said = command(*arguments, cwd=tmp_path)
    assert (said.code, "exists already" in said.err) == (2, True)
    assert command(*arguments, "--force", cwd=tmp_path).code == 0


def test_a_notebook_shows_the_summary_escaped(tmp_path: Path) -> None:
    doubt = FindingRecord(code="x", severity="warning", what="<script>alert(1)</script>")
    made.make(tmp_path / "run", backends=("docker", "kvm"), findings=[doubt])
    shown = vmvc.load(tmp_path / "run")._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    row = next(one for one in vmvc.load(tmp_path / "run").summary.rows if one.quantity == "ready")
    assert f"<td>{show(row.median or 0, 's')}</td>" in shown
    assert "more rows" in shown


# --- experiments in code ----------------------------------------------------------------------------------

GIVEN: dict[Any, Any] = {
    "name": "coded",
    "backends": {"fake": {"options": {"ready": "1ms"}}},
    "metrics": ["startup"],
    "trials": {"count": 2, "warmup": 0},
}


def test_an_experiment_in_code_runs_as_its_file_would(tmp_path: Path) -> None:
    run = vmvc.run(GIVEN, results=tmp_path)
    assert run.summary.measured == 2
    assert run.changed == ()
    assert (run.folder / "report.html").exists()
    assert json.loads(run.experiment) == GIVEN
    assert run.facts["experiment"]["trials"]["timeout"] == "3m"
    again = vmvc.run(run.folder / "experiment.yaml", results=tmp_path, trials=1)
    assert again.summary.trials == 1


def test_a_run_in_a_thread_has_no_signals_and_measures(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(vmvc.run, GIVEN, results=tmp_path).result()
    assert run.summary.measured == 2


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_a_model_gives_the_experiment_that_it_was_read_from(path: Path) -> None:
    loaded = vmvc.load_experiment(path)
    again = vmvc.load_experiment(loaded.experiment, folder=path.parent)
    assert again.experiment == loaded.experiment
    given = vmvc.load_experiment(loaded.given, folder=path.parent)
    assert given.experiment == loaded.experiment


def test_faults_are_those_of_the_file_at_their_keys(tmp_path: Path) -> None:
    bad = {
        "name": "a b",
        "backends": ["fake", "dokcer"],
        "metrics": ["startup"],
        "guest": {"memroy": "1GiB"},
        "trials": {"count": 0},
    }
    with pytest.raises(InputError) as coded:
        vmvc.load_experiment(bad)
    path = tmp_path / "x.yaml"
    path.write_text(json.dumps(bad))
    with pytest.raises(InputError) as filed:
        vmvc.load_experiment(path)
    assert [(one.what, one.hint) for one in coded.value.faults] == [
        (one.what, one.hint) for one in filed.value.faults
    ]
    assert [one.where for one in coded.value.faults] == [
        "experiment: name", "experiment: backends[1]", "experiment: guest.memroy", "experiment: trials.count",
    ]  # fmt: skip


class Loop(dict[str, object]):
    """Holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self["guest"] = self


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            {**GIVEN, "guest": {"memory": Decimal(3)}},
            "guest.memory: expected what a file can say, got Dec",
        ),
        ({**GIVEN, "title": None}, "experiment: title: expected what a file can say, got nothing"),
        ({"name": "x", 3: 4}, "experiment: expected text as a key, got 3"),
        ({**GIVEN, "trials": {"pause": float("nan")}}, "experiment: trials.pause: expected a finite number"),
        ({**GIVEN, "title": "\ud800"}, "experiment: title: expected text, got half a character"),
        (Loop(), "nested deeper than"),
        ([1, 2], "experiment"),
        (3, "experiment"),
        (b"name: x", "expected what a file can say"),
        ({}, "experiment"),
    ],
)
def test_what_no_file_could_say_is_one_clear_fault(bad: Any, words: str) -> None:
    with pytest.raises(InputError) as raised:
        vmvc.load_experiment(bad)
    assert words in str(raised.value)


def test_nothing_to_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only: selects no condition"):
        vmvc.run(GIVEN, results=tmp_path, only=["docker"])


def test_a_missing_library_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingSdk, match="pip install pandas"):
        vmvc.load(folder).frame()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no run"):
        vmvc.load(tmp_path)


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
