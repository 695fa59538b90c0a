"""Cells stay what they are, but for text that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest

from vmvc.sheet import SheetWriter, safe


@pytest.mark.parametrize(
    "cell", ["", "a", "-1", "+1.5e-9", "-0.25", "1e9", "x=1", "nan", "-inf", "'", "a\nb", "ü"]
)
def test_numbers_and_plain_text_stay(cell: str) -> None:
    assert safe(cell) == cell


@pytest.mark.parametrize("cell", ["=1+1", "-1+1", "+a", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "=", "--1"])
def test_what_begins_like_a_formula_becomes_text(cell: str) -> None:
    assert safe(cell) == f"'{cell}"


def test_rows_are_read_back() -> None:
    text = io.StringIO()
    writer = SheetWriter(text)
    writer.row(["a", "b,c", 'd"e', "=f"])
    writer.rows([["1", "-2", "", "x\ny"], ["g"]])
    assert text.getvalue().endswith("\ng\n")
    found = list(csv.reader(io.StringIO(text.getvalue(), newline="")))
    assert found == [["a", "b,c", 'd"e', "'=f"], ["1", "-2", "", "x\ny"], ["g"]]
