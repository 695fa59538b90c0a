"""``vmvc report``, ``vmvc plot`` and the reports of ``vmvc run``: whole paths, and bad input."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Said, vmvc
from tests.edited import unchecked
from tests.report import runs
from vmvc import cli

TEXT = "name: tiny\nbackends: [fake]\nmetrics: [startup]\ntrials: {count: 2}\n"


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Run a command in this process, so that SciPy is imported once for all of them."""

    def call(*arguments: str | Path) -> Said:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["vmvc", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return Said(int(end.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.make(tmp_path_factory.mktemp("made") / "run", backends=("docker",), count=9)


def test_a_run_leaves_reports_that_are_made_again_the_same(
    experiment: Callable[[str], Path], tmp_path: Path, here: Callable[..., Said]
) -> None:
    said = vmvc("run", experiment(TEXT), cwd=tmp_path, env=_with(PYTHONPROFILEIMPORTTIME="1"))
    assert said.code == 0
    _, after = said.err.split("3/3 fake: ")
    for name in ("numpy", "scipy", "jinja2", "altair"):
        line = re.compile(rf"\| +{name}$", re.MULTILINE)
        assert (len(line.findall(said.err)), len(line.findall(after))) == (1, 1), name
    (folder,) = (tmp_path / "results/tiny").iterdir()
    before = {name: (folder / name).read_bytes() for name in ("report.html", "report.md")}
    for name in before:
        (folder / name).unlink()
    assert here("show", "--rebuild", folder).code == 0
    assert {name: (folder / name).read_bytes() for name in before} == before
    (folder / "report.html").write_text("old")
    said = here("report", folder)
    assert said.out.splitlines() == [str(folder / "report.html"), str(folder / "report.md")]
    assert (folder / "report.html").read_bytes() == before["report.html"]


def test_a_report_that_cannot_be_drawn_never_loses_a_run(
    experiment: Callable[[str], Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    (broken / "jinja2").mkdir(parents=True)
    (broken / "jinja2/__init__.py").write_text("raise RuntimeError('out of ink')")
    said = vmvc("run", experiment(TEXT), "--quiet", cwd=tmp_path, env=_with(PYTHONPATH=str(broken)))
    assert said.code == 0
    (folder,) = (tmp_path / "results/tiny").iterdir()
    assert "warning: the report could not be drawn: RuntimeError: out of ink" in said.err
    assert f"hint: vmvc report {folder.relative_to(tmp_path)}" in said.err
    assert (folder / "summary.json").exists()


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.html", "<!doctype html>"), ("a.md", "# What"), ("a.tex", "% made"), ("a.csv", "condition,")],
)
def test_one_report_elsewhere(
    made: Path, tmp_path: Path, here: Callable[..., Said], name: str, begins: str
) -> None:
    said = here("report", made, "--output", name)
    assert (said.code, said.out) == (0, f"{name}\n")
    assert (tmp_path / name).read_text().startswith(begins)
    again = here("report", made, "--output", name)
    assert (again.code, again.err) == (2, f"{name}: exists already\n  hint: add --force to replace it\n")
    assert here("report", made, "--output", name, "--force").code == 0


def test_plots_have_their_data_beside_them(made: Path, tmp_path: Path, here: Callable[..., Said]) -> None:
    said = here("plot", made, "--metric", "disk.unique", "--kind", "ecdf")
    assert said.out == "disk.unique-ecdf.svg\ndisk.unique-ecdf.csv\n"
    assert here("plot", made, "--output", "x.pdf").out == "x.pdf\nx.csv\n"
    (tmp_path / "x.pdf").unlink()
    again = here("plot", made, "--output", "x.pdf")
    assert (again.code, again.err) == (2, "x.csv: exists already\n  hint: add --force to replace it\n")
    assert not (tmp_path / "x.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "nowhere"), "nowhere: holds no run"),
        (("report", "RUN", "--output", "x.doc"), "expected a file that ends in .html, .md, .tex or .csv"),
        (("report", "RUN", "--output", "no/such/x.md"), "no/such/x.md: cannot be written: No such file"),
        (("plot", "RUN", "--metric", "startup.redy"), "did you mean 'startup.ready'?"),
        (
            ("plot", "RUN", "--output", "x.gif"),
            "expected a file that ends in .svg, .pdf or .png, or --format",
        ),
        (("plot", "RUN", "--output", "x.csv", "--format", "svg"), "its data goes there"),
    ],
)
def test_bad_input_has_one_clear_message(
    made: Path, here: Callable[..., Said], arguments: tuple[str, ...], words: str
) -> None:
    said = here(*(str(made) if one == "RUN" else one for one in arguments))
    assert said.code in (2, 3)
    assert words in said.err


def test_damaged_runs_have_one_clear_message(made: Path, tmp_path: Path, here: Callable[..., Said]) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "copy"))
    path = unchecked(folder / "journal.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "{}\n", *lines[3:]]))
    assert f"{path}:4: not a record" in here("report", folder).err
    path.write_text("".join([*lines, lines[-1]]))
    assert "trial 10 is recorded twice" in here("report", folder).err
    path.write_text(lines[0].replace('"version":1', '"version":2', 1))
    assert "the run's folder is of version 2" in here("report", folder).err


def _with(**changes: str) -> dict[str, str]:
    return {**os.environ, **changes}
