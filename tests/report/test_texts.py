"""Markdown, LaTeX and CSV: the numbers of the summary to the digit, and what others say as plain text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.report import runs
from vmvc.records import FindingRecord
from vmvc.report import view_of
from vmvc.report.markdown import escape, fenced, markdown
from vmvc.report.page import page
from vmvc.report.tables import NUMBER_COLUMNS, latex, numbers_csv, tex
from vmvc.report.view import View
from vmvc.sheet import number

TOLD = FindingRecord(code="x", severity="warning", what="docker: one|two", remedy="*three*")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    return view_of(
        runs.make(tmp_path_factory.mktemp("made") / "run", failing={5: "a|b\n# c"}, findings=[TOLD])
    )


def test_every_number_is_the_same_in_page_markdown_and_latex(view: View) -> None:
    html, text, table = page(view), markdown(view), latex(view)
    for cell in view.cells.values():
        assert f">{cell.median}<" in html
        assert f"| {cell.key} | {cell.median} | {cell.interval} |".replace("_", "\\_") in text
        if cell.key in view.headlines:
            assert f" & {cell.median}" in table
            assert f"{cell.median} \\[{cell.interval}\\]" in text


def test_csv_holds_the_values_of_the_summary(view: View) -> None:
    rows = list(csv.DictReader(io.StringIO(numbers_csv(view))))
    assert tuple(rows[0]) == NUMBER_COLUMNS
    for row, cell in zip(rows, view.cells.values(), strict=True):
        wanted = (cell.row.median, cell.row.low)
        assert (row["median"], row["low"]) == tuple(
            "" if value is None else number(value) for value in wanted
        )


def test_absent_values_are_empty_cells_with_a_reason(tmp_path: Path) -> None:
    nothing = view_of(runs.make(tmp_path / "run", until=0))
    rows = list(csv.DictReader(io.StringIO(numbers_csv(nothing))))
    assert {row["median"] for row in rows} == {""}
    assert {row["reason"] for row in rows} == {"8 of 8: not measured yet"}
    assert " & -- & --" in latex(nothing)
    assert "| process | none |" in markdown(nothing)


def test_markdown_shows_what_others_say_as_it_is(view: View) -> None:
    text = markdown(view)
    assert "ready: a\\|b \\# c" in text
    assert "| warning | docker: one\\|two | \\*three\\* |" in text
    assert escape("<b> *x* [y](z) | `c`\n# d") == "\\<b\\> \\*x\\* \\[y\\](z) \\| \\`c\\` \\# d"


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert list(fenced("a\n````\nb\n", "yaml")) == ["`````yaml", "a", "````", "b", "`````", ""]


def test_every_table_row_has_as_many_cells_as_its_head(view: View) -> None:
    width = 0
    for line in markdown(view).splitlines():
        cells = line.replace("\\|", "").count("|")
        if not line.startswith("|"):
            width = 0
            continue
        width = width or cells
        assert cells == width, line


def test_latex_sets_special_characters(view: View) -> None:
    assert tex("a_b & 50% {x} ~ ^ \\ µs") == (
        r"a\_b \& 50\% \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \textmu{}s"
    )
    table = latex(view)
    assert table.count(r"\begin{") == table.count(r"\end{") == 2
    assert r"kvm (emulated)" in table
    for line in table.splitlines():
        if line.endswith(r" \\"):
            assert line.count(" & ") == len(view.headlines)


def test_verdicts_and_ratios_stand_in_markdown(tmp_path: Path) -> None:
    made = view_of(runs.make(tmp_path / "run", claims=[{**runs.CLAIMS[1], "says": "It is <fast>"}]))
    text = markdown(made)
    assert "❌ **Refuted:** It is \\<fast\\>" in text
    assert escape(made.verdicts[0].sentence) in text
    for one in made.ratios:
        if one.key in made.headlines:
            assert f"| {one.ratio} | {one.interval} | {one.difference} | {one.chance} |" in text
