"""``vmvc bundle`` hands a run on; ``vmvc run BUNDLE`` runs it again and compares; others read it."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

import vmvc as package
from tests.command import vmvc

EXPERIMENT = """\
name: handed-on
backends: {one: {kind: fake, options: {start: %s}}}
metrics: [startup]
trials: {count: 8, warmup: 0}
claims:
  - {id: quick, says: It starts at once, metric: startup.started, backend: one, median: {below: 2s}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``a.zip``, the bundle of a run in it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "e.yaml").write_text(EXPERIMENT % "20ms")
    said = vmvc("run", "e.yaml", cwd=folder, env={**os.environ, "VMVC_LOCK": str(folder / "lock")})
    assert said.code == 0, said.err
    said = vmvc("bundle", "results/handed-on", "--output", "a.zip", cwd=folder)
    assert (said.code, said.out) == (0, "a.zip\n"), said.err
    assert "states no licence" in said.err
    return folder


def runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("results/handed-on/*/journal.jsonl"))


def test_a_bundle_is_run_again_and_compared(made: Path, tmp_path: Path) -> None:
    said = vmvc("run", made / "a.zip", cwd=tmp_path)
    assert said.code == 0, said.err
    again = runs(tmp_path)[0]
    assert (again / "experiment.yaml").read_text() == EXPERIMENT % "20ms"
    first = runs(made)[0].name
    assert f"handed-on {again.name} against handed-on {first}, tolerance 5%:" in said.out
    assert "quick: It starts at once" in said.out
    assert len(list((tmp_path / "results" / ".bundles").iterdir())) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


def test_json_ends_with_summary_and_comparison(made: Path, tmp_path: Path) -> None:
    said = vmvc("run", made / "a.zip", "--json", cwd=tmp_path)
    *_, summary, compared = (json.loads(line) for line in said.out.splitlines())
    assert summary["run"] == runs(tmp_path)[0].name == compared["runs"][0]["run"]


def test_what_got_worse_fails_where_that_was_asked_for(made: Path, tmp_path: Path) -> None:
    rewritten = _with_experiment(made / "a.zip", EXPERIMENT % "300ms", tmp_path / "slow.zip")
    said = vmvc("run", rewritten, "--fail-on", "worse", cwd=tmp_path)
    assert said.code == 1, said.out + said.err
    assert "quantities are worse" in said.err


def _with_experiment(path: Path, source: str, output: Path) -> Path:
    """Put another experiment beside the bundled run, with its digest."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(output, "w") as new:
        held = {name: old.read(name) for name in old.namelist()}
        before = hashlib.sha256(held["inputs/experiment.yaml"]).hexdigest()
        held["inputs/experiment.yaml"] = source.encode()
        lines = held["manifest-sha256.txt"].decode().splitlines()
        after = f"{hashlib.sha256(source.encode()).hexdigest()}  inputs/experiment.yaml"
        held["manifest-sha256.txt"] = "".join(
            f"{after if line == f'{before}  inputs/experiment.yaml' else line}\n" for line in lines
        ).encode()
        for name, data in held.items():
            new.writestr(name, data)
    return output


def test_the_commands_read_a_bundle_like_a_folder(made: Path, tmp_path: Path) -> None:
    folder = runs(made)[0]
    for command in ("claims", "show"):
        ours = vmvc(command, made / "a.zip", "--json", cwd=tmp_path)
        assert (ours.code, ours.out) == (0, vmvc(command, folder, "--json", cwd=tmp_path).out), ours.err
    assert vmvc("validate", made / "a.zip", cwd=tmp_path).out == f"{made / 'a.zip'}: good\n"
    assert vmvc("report", made / "a.zip", "--output", "r.md", cwd=tmp_path).code == 0
    assert (tmp_path / "r.md").read_bytes() == (folder / "report.md").read_bytes()
    assert package.load(made / "a.zip").id == folder.name
    assert list(tmp_path.iterdir()) == [tmp_path / "r.md"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("report", "a.zip"), "a bundle, which is not written to"),
        (("show", "a.zip", "--rebuild"), "a bundle, which is not written to"),
        (("plan", "a.zip"), "this is a ZIP file"),
        (("bundle", "a.zip", "--output", "b.zip"), "is a bundle already"),
        (("bundle", "results/handed-on", "--output", "a.zip"), "exists already"),
        (("bundle", ".", "--output", "b.zip"), "holds no run"),
        (("bundle", "e.yaml", "--output", "b.zip"), "holds no run"),
        (("bundle", "gone", "--output", "b.zip"), "holds no run"),
        (("bundle", "results/handed-on", "--output", "no/such/b.zip"), "no/such"),
        (
            ("bundle", "results/handed-on", "--output", "b.zip", "--licence", "x"),
            "expected one SPDX identifier",
        ),
        (("bundle", "results/handed-on", "--output", "b.zip", "--largest", "x"), "expected a size"),
        (("run", "broken.zip"), "the bundle is broken"),
        (("run", "other.zip"), "no bundle"),
    ],
)
def test_what_cannot_be_is_refused_in_plain_words(made: Path, arguments: tuple[str, ...], says: str) -> None:
    (made / "broken.zip").write_bytes((made / "a.zip").read_bytes()[:5000])
    with zipfile.ZipFile(made / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    said = vmvc(*arguments, cwd=made)
    assert said.code in (2, 3), said.err
    assert says in said.err
    assert "bug" not in said.err
    assert not (made / "b.zip").exists()


def test_an_unfinished_run_is_handed_on_only_as_it_is(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for path in runs(made)[0].iterdir():
        if path.is_file() and path.name != "SHA256SUMS":  # A run that was killed has none.
            (folder / path.name).write_bytes(path.read_bytes())
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:-1]))
    said = vmvc("bundle", folder, "--output", "b.zip", cwd=tmp_path)
    assert said.code == 2
    assert "is not finished: 7 of 8 trials are recorded" in said.err
    said = vmvc("bundle", folder, "--output", "b.zip", "--as-it-is", cwd=tmp_path)
    assert said.code == 0
    assert "is not finished" in said.err
