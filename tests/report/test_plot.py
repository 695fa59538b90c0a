"""Plots for papers: in every form, with the data that they show beside them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

import pytest

from tests.report import runs
from vmvc.errors import InputError
from vmvc.report import view_of
from vmvc.report.plot import plot
from vmvc.report.view import View


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    return view_of(runs.make(tmp_path_factory.mktemp("made") / "run"))


@pytest.mark.parametrize(("form", "magic"), [("svg", b"<svg"), ("pdf", b"%PDF-"), ("png", b"\x89PNG\r\n")])
def test_forms_are_what_they_are_called(view: View, form: str, magic: bytes) -> None:
    assert plot(view, "startup.ready", "points", form).image.startswith(magic)


@pytest.mark.parametrize("kind", ["points", "ecdf", "order", "phases"])
def test_a_plot_names_conditions_and_units(view: View, kind: Literal["points"]) -> None:
    drawn = plot(view, "startup.ready", kind, "svg").image.decode()
    assert "docker" in drawn
    assert "(s)" in drawn
    assert "kvm (emulated)" in drawn
    assert drawn == plot(view, "startup.ready", kind, "svg").image.decode()


def test_its_data_are_the_values_of_the_journal(view: View) -> None:
    rows = list(csv.DictReader(io.StringIO(plot(view, "startup.ready", "points", "svg").csv)))
    series = view.series["docker", "startup.ready"]
    mine = [(int(row["trial"]), float(row["value"])) for row in rows if row["condition"] == "docker"]
    assert mine == list(zip(series.trials, series.values, strict=True))
    assert {row["unit"] for row in rows} == {"s"}


def test_the_order_holds_warm_ups_too(view: View) -> None:
    rows = list(csv.DictReader(io.StringIO(plot(view, "disk.unique", "order", "svg").csv)))
    assert sum(row["warm"] == "warm-up" for row in rows) == 3
    assert len(rows) == 27


def test_what_is_not_measured_cannot_be_drawn(view: View, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)startup\.redy: the run does not measure.*startup\.ready"):
        plot(view, "startup.redy", "points", "svg")
    nothing = view_of(runs.make(tmp_path / "run", until=0))
    with pytest.raises(InputError, match="no value of it"):
        plot(nothing, "startup.ready", "points", "svg")
    with pytest.raises(InputError, match="no trial of this run became ready"):
        plot(nothing, "startup.ready", "phases", "svg")


def test_ratios_and_fleets_have_their_numbers_beside_them(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", metrics=(*runs.METRICS, "density"), work=runs.WORK))
    rows = list(csv.DictReader(io.StringIO(plot(view, "encode.frames", "ratios", "svg").csv)))
    ratios = [one.row for one in view.ratios if one.key == "encode.frames"]
    assert [(row["condition"], float(row["ratio"]), float(row["ratio_low"])) for row in rows] == [
        (one.condition, one.ratio, one.ratio_low) for one in ratios
    ]
    drawn = plot(view, "startup.ready", "fleet", "svg")
    assert b"host memory taken" in drawn.image
    told = [(one.condition, one.instance, one.median) for one in view.fleets if one.what == "taken"]
    assert [
        (row["condition"], int(row["instance"]), float(row["median"]))
        for row in csv.DictReader(io.StringIO(drawn.csv))
    ] == [("kvm" if name.startswith("kvm") else name, instance, median) for name, instance, median in told]


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", backends=("docker",)))
    with pytest.raises(InputError, match="no trial of this run let a fleet grow"):
        plot(view, "startup.ready", "fleet", "svg")
    with pytest.raises(InputError, match=r"no ratio of startup\.ready to the baseline"):
        plot(view, "startup.ready", "ratios", "svg")
