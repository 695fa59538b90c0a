"""Phases, fleets, workloads, isolation and drift: what the sections show is what the journal holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.edited import unchecked
from tests.report import runs
from tests.report.test_page import Page
from vmvc import journal, results
from vmvc.contract import EVENTS
from vmvc.records_journal import TrialRecord
from vmvc.report import phases, view_of
from vmvc.report.markdown import markdown
from vmvc.report.page import page
from vmvc.report.view import Condition, View


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.make(
        tmp_path_factory.mktemp("made") / "run",
        metrics=(*runs.METRICS, "density", "isolation"),
        work=runs.WORK,
        events={"kernel": 0.75, "lights": 0.8},
    )


@pytest.fixture(scope="module")
def view(full: Path) -> View:
    return view_of(full)


@pytest.fixture(scope="module")
def charts(view: View) -> dict[str, Any]:
    return {one["id"]: one for one in Page(page(view)).payload["fixed"]}


def test_every_recorded_event_ends_a_phase_known_or_not(view: View, full: Path) -> None:
    found = {one.name: one.end for one in view.phases if one.condition == "docker"}
    assert list(found) == [
        *("create", "start", "until first output", "until the kernel's first line", "until lights"),
        "until ready",
    ]
    trials = [one for one in journal.read(full / "journal.jsonl") if isinstance(one, TrialRecord)]
    after = [
        (one.events["lights"].at_ns - one.events["requested"].at_ns) / 1e9
        for one in trials
        if one.backend == "docker" and not one.warmup
    ]
    assert found["until lights"] == median(after)


def test_every_event_before_ready_has_a_phase_of_its_own() -> None:
    before = EVENTS[1 : EVENTS.index("ready")]
    assert {phases.phase_of(event) for event in (*before, "ready")} <= set(phases.names())
    assert len(set(phases.names())) == len(phases.names())


@pytest.mark.parametrize(
    ("instants", "names"),
    [
        ({"ready": [1.0, 1.0], "console": [0.5]}, ["until ready"]),
        ({"ready": [1.0], "gone": [4.0], "image_ready": [-3.0], "requested": [0.0]}, ["until ready"]),
        ({"ready": [1.0], "console": [2.0]}, ["until ready"]),
        ({"console": [0.5]}, []),
        (
            {"ready": [1.0], "started": [0.5], "console": [0.2]},
            ["until first output", "start", "until ready"],
        ),
    ],
)
def test_only_what_every_trial_has_before_it_was_ready_ends_a_phase(
    instants: dict[str, list[float]], names: list[str]
) -> None:
    condition = Condition("docker", "docker", "docker", "#000")
    assert [one.name for one in phases.phases({"docker": instants}, [condition])] == names


def test_the_waterfall_has_a_colour_for_each_phase(charts: dict[str, Any]) -> None:
    chart = charts["chart-waterfall"]
    scale = chart["chart"]["layer"][0]["encoding"]["color"]["scale"]
    assert {row["phase"] for row in chart["sets"]["phases"]} == set(scale["domain"])
    assert len(set(scale["range"])) == len(scale["domain"])


def test_a_fleet_has_its_slope_with_the_interval(view: View, charts: dict[str, Any]) -> None:
    line = next(one for one in view.lines if (one.condition, one.what) == ("docker", "memory"))
    rows = {key: view.cells["docker", f"density.memory_{key}"].row.median for key in ("slope", "slope_low")}
    assert (line.slope, line.low) == (rows["slope"], rows["slope_low"])
    drawn = [row for row in charts["chart-fleet-taken"]["sets"]["lines"] if row["c"] == "docker"]
    assert [row["i"] for row in drawn] == [1, 5]
    assert drawn[1]["v"] * 2**20 == pytest.approx(4 * line.slope)
    assert drawn[1]["low"] < drawn[1]["v"] < drawn[1]["high"]
    assert charts["chart-fleet-ready"]["sets"]["lines"] == []
    text = markdown(view)
    assert f"| docker | memory | {line.text} | {line.interval} | {line.fixed} | 8 |" in text


def test_workloads_stand_beside_the_bare_host(view: View, charts: dict[str, Any], full: Path) -> None:
    assert view.workloads == ("encode.frames", "encode.latency")
    assert view.bare
    drawn = {(row["k"], row["c"]): row["v"] for row in charts["chart-workloads"]["sets"]["ratios"]}
    told = {
        (f"{one.metric}.{one.quantity}", one.condition): one.ratio
        for one in results.summarise(full / "journal.jsonl").comparisons
        if one.metric == "encode" and one.quantity != "size"
    }
    label = {"docker": "docker", "kvm": "kvm (emulated)"}
    assert drawn == {(key, label[condition]): ratio for (key, condition), ratio in told.items()}
    assert charts["chart-workloads"]["chart"]["layer"][1]["encoding"]["x"]["scale"] == {"type": "log"}
    text = page(view)
    assert "<h2>The same work, beside the bare host</h2>" in text
    assert "## The same work, beside the bare host" in markdown(view)


def test_without_a_bare_host_workloads_say_what_they_stand_beside(tmp_path: Path) -> None:
    view = view_of(runs.make(tmp_path / "run", backends=("docker", "kvm"), work=runs.WORK))
    assert not view.bare
    assert "This run has no bare host to compare with: ratios are those to docker." in page(view)


def test_facts_are_words_and_counts_are_numbers(view: View) -> None:
    facts = {one.key: one for one in view.isolation}
    assert facts["isolation.pid_ns"].words == ("no", "yes", "yes")
    assert facts["isolation.pid_ns"].says.startswith("Yes where the guest's process numbers")
    assert facts["isolation.devices"].words == ("0", "1", "1")
    assert "| isolation.pid\\_ns | no | yes | yes |" in markdown(view)


def test_facts_that_were_not_found_or_differ_say_so(tmp_path: Path) -> None:
    folder = runs.make(
        tmp_path / "run", backends=("docker",), metrics=("isolation",), without="isolation.lsm"
    )
    path = unchecked(folder / "journal.jsonl")
    first = '"quantity":"pid_ns","value":1.0'
    lines = path.read_text().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(first, first.replace("1.0", "0.0"))
    path.write_text("".join(lines))
    facts = {one.key: one.words for one in view_of(folder).isolation}
    assert facts["isolation.pid_ns"] == ("not in every trial (8)",)
    assert facts["isolation.lsm"] == ("not known: 8 of 8: not measured yet",)


def test_drift_stands_beside_the_order_of_trials(view: View) -> None:
    told = {one["key"]: one["drift"] for one in Page(page(view)).payload["quantities"]}
    row = view.cells["docker", "startup.ready"].row
    assert row.tau is not None
    assert row.lag1 is not None
    label, n, tau, p, lag, notes = told["startup.ready"][1]
    assert (label, n, tau, lag, notes) == ("docker", "8", f"{row.tau:.2f}", f"{row.lag1:.2f}", "")
    assert p


def test_iterations_within_trials_are_told_beside_the_value(view: View) -> None:
    cell = view.cells["docker", "encode.latency"]
    assert cell.nested == ""
    figures = {"iterations": 5, "sd_within": 0.002, "sd_between": 0.01, "iterations_best": 2}
    told = replace(cell, row=cell.row.model_copy(update=figures))
    words = "5 iterations a trial, standard deviation 2 ms within and 10 ms between trials; 2 would be best"
    assert told.nested == words
    cells = {**view.cells, ("docker", "encode.latency"): told}
    assert words in page(replace(view, cells=cells))
