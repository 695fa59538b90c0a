"""A backend of somebody else's, one file behind an entry point, is as good as a built-in one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import vmvc

PACKAGE = Path(__file__).parent / "files" / "third_party"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))


def test_it_is_listed_with_its_options(tmp_path: Path) -> None:
    said = vmvc("list", "backends", cwd=tmp_path)
    assert re.search(r"^pyserve +none +delay +\S", said.out, re.MULTILINE)


def test_its_options_are_validated_with_their_place(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    path = experiment(
        "name: third\nmetrics: [startup]\nbackends:\n  pyserve:\n    options:\n      dealy: 2s\n"
        "  other: {kind: pyserve, options: {delay: soon}}\n"
    )
    said = vmvc("validate", path, cwd=tmp_path)
    assert said.code == 2
    assert f"{path}:6:7: " in said.err
    assert "did you mean delay" in said.err.replace("'", "")
    assert f"{path}:7:43: " in said.err


def test_without_its_package_it_is_unknown(
    tmp_path: Path, experiment: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    path = experiment("name: third\nmetrics: [startup]\nbackends: [pyserve]\n")
    said = vmvc("validate", path, cwd=tmp_path)
    assert (said.code, f"{path}:3:12: " in said.err) == (2, True)


def test_it_runs_beside_a_built_in_one(tmp_path: Path, experiment: Callable[[str], Path]) -> None:
    path = experiment(
        "name: third\nmetrics: [startup, shutdown]\ntrials: {count: 2, warmup: 0}\nbackends:\n"
        f"  pyserve: {{options: {{delay: 300ms}}}}\n  fake: {{options: {{state: {tmp_path}/state}}}}\n"
    )
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 0, said.err
    (run,) = (tmp_path / "results" / "third").iterdir()
    rows = json.loads((run / "summary.json").read_text())["rows"]
    medians = {(row["condition"], row["quantity"]): row.get("median") for row in rows}
    assert 0.3 < medians["pyserve", "ready"] < 5
    assert medians["fake", "ready"] < 0.3
    assert medians["pyserve", "console"] is None
