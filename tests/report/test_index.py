"""The index of a folder of results: every run, each quantity run after run, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.claimed import around
from tests.command import vmvc
from tests.compared import READY, changed, run
from tests.report import runs as made
from tests.report.test_page import HOSTILE, Page
from vmvc import results
from vmvc.errors import ResultsError
from vmvc.report import index
from vmvc.report.history import MOST_CELLS, history_of
from vmvc.units import show


def later(day: int, path: str = "host/threads", value: object = 8) -> Mapping[str, Any]:
    return {**changed(path, value), "wall": f"2026-11-{day}T10:00:00+00:00"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "results"
    for day, middle in ((23, 1.2), (21, 1.0), (22, 1.1)):
        run(place / f"claimed/{day}", {READY: around(middle, 0.05)}, facts=later(day))
    run(
        place / "claimed/24",
        {READY: around(9, 0.05)},
        facts=later(24, "backends/docker/facts/emulated", True),
    )
    return place


def test_medians_stand_in_the_order_of_time_to_the_digit(folder: Path) -> None:
    page = Page(index.page_of(folder))
    (story,) = page.payload["stories"]
    assert [one["run"] for one in story["runs"]] == ["21", "22", "23", "24"]
    assert story["conditions"] == ["docker", "docker (emulated)"]
    (quantity,) = [one for one in story["quantities"] if one["key"] == "startup.ready"]
    for run_, condition, median, low, high, words in quantity["rows"]:
        row = next(
            one
            for one in results.summary_of(folder / f"claimed/{21 + run_}").rows
            if (one.condition, one.quantity) == ("docker", "ready")
        )
        assert (median, low, high) == (row.median, row.low, row.high)
        assert row.median is not None
        assert words.startswith(show(row.median, "s"))
        assert condition == (1 if run_ == 3 else 0)
    assert "1.2 s" in page.words


def test_hosts_get_letters(tmp_path: Path) -> None:
    for day, threads in ((21, 8), (22, 4), (23, 8)):
        run(tmp_path / f"e/{day}", {READY: around(1, 0.05)}, facts=later(day, "host/threads", threads))
    run(tmp_path / "e/24", {READY: around(1, 0.05)}, facts=None)
    found = history_of(tmp_path)
    letters = {past.overview.run: past.place for past in found.stories[0].pasts}
    assert letters == {"21": "A", "22": "B", "23": "A", "24": ""}
    assert [place.words for place in found.places] == [
        "8 threads, Linux 6.1, vmvc 0.1.0", "4 threads, Linux 6.1, vmvc 0.1.0",
    ]  # fmt: skip


def test_what_cannot_be_read_is_listed_with_the_reason(folder: Path) -> None:
    run(folder / "claimed/newer", {READY: [1.0]}, version=2)
    (folder / "claimed/begun").mkdir()
    (folder / "claimed/begun/run.json").write_text("{}")
    torn = run(folder / "claimed/torn", {READY: around(1, 0.05)}, facts=later(25)) / "journal.jsonl"
    torn.write_bytes(torn.read_bytes()[:-9])
    edited = run(folder / "claimed/edited", {READY: around(1, 0.05)}, facts=later(26)) / "journal.jsonl"
    edited.write_text(edited.read_text().replace('"measured"', '"well"', 1))
    states = {one.overview.run: one.overview for one in history_of(folder).stories[0].pasts}
    assert states["torn"].state == "running or interrupted"
    assert {name for name, one in states.items() if one.state == "unreadable"} == {"newer", "begun", "edited"}
    text = index.page_of(folder)
    assert "of version 2" in text
    assert "not a record" in text


def test_another_definition_is_not_put_into_the_same_picture(folder: Path) -> None:
    path = folder / "claimed/22/journal.jsonl"
    head, *rest = path.read_text().splitlines(keepends=True)
    fields = json.loads(head)
    for one in fields["quantities"]:
        one["says"] = "Something else."
    path.write_text("".join([json.dumps(fields) + "\n", *rest]))
    story = history_of(folder).stories[0]
    assert {point.past.overview.run for point in story.points["startup.ready"]} == {"21", "23", "24"}
    assert any("run 2: startup.ready is not drawn: another definition" in text for text in story.apart)
    assert "is not drawn" in index.page_of(folder)


def test_runs_without_a_single_value_are_listed(tmp_path: Path) -> None:
    made.make(tmp_path / "made/none", until=0)
    text = index.page_of(tmp_path)
    assert "No run of it has values that can be shown." in text
    assert "running or interrupted" in text


def test_of_very_many_medians_those_asked_for_first_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_CELLS > 1000
    monkeypatch.setattr("vmvc.report.history.MOST_CELLS", 3)
    story = history_of(folder).stories[0]
    assert [one.quantity for one in story.quantities] == ["ready", "pss"]
    left = story.left_out
    assert left > 0
    assert f"{left} quantities are left out to keep this page small" in index.page_of(folder)


def test_hostile_names_are_text_and_links_stay_within(tmp_path: Path) -> None:
    made.make(tmp_path / "made/<b>&'\" x", title=HOSTILE, about={"wall": HOSTILE}, backends=("docker",))
    (tmp_path / "made/<b>&'\" x/report.html").write_text("")
    page = Page(index.page_of(tmp_path))
    assert not [one for tag, one in page.elements if tag in ("img", "b", "iframe")]
    links = [
        one["href"] for tag, one in page.elements if tag == "a" and not (one["href"] or "").startswith("#")
    ]
    assert links == ["made/%3Cb%3E%26%27%22%20x/report.html"]
    assert len(page.scripts) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("results",), 0, "results/index.html"),
        (("results", "--output", "all.html"), 0, "all.html"),
        (("results", "--output", "all.md"), 2, "expected a file that ends in .html"),
        (("results", "--output", "there.html"), 2, "there.html: exists already"),
        (("results/claimed",), 0, "results/claimed/24/report.html"),
        (("empty",), 2, "empty: holds no run"),
        (("nowhere",), 2, "nowhere: holds no run"),
    ],
)
def test_the_command(folder: Path, arguments: Sequence[str], code: int, message: str) -> None:
    (folder.parent / "empty").mkdir()
    (folder.parent / "there.html").write_text("mine")
    said = vmvc("report", *arguments, cwd=folder.parent)
    assert (said.code, message in said.out + said.err) == (code, True), said


def test_a_page_of_somebody_else_is_not_replaced(folder: Path) -> None:
    path = folder / "index.html"
    path.write_text("<html>my own index</html>")
    said = vmvc("report", "results", cwd=folder.parent)
    assert (said.code, said.err) == (
        2, "results/index.html: exists already\n  hint: add --force to replace it\n",
    )  # fmt: skip
    assert path.read_text() == "<html>my own index</html>"
    assert vmvc("report", "results", "--force", cwd=folder.parent).code == 0
    assert vmvc("report", "results", cwd=folder.parent).code == 0


def test_a_folder_of_runs_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no run"):
        history_of(tmp_path)


def test_runs_stand_in_the_order_of_their_begin_not_of_their_names(tmp_path: Path) -> None:
    for name, day in (("a", 22), ("b", 21)):
        run(tmp_path / f"e/{name}", {READY: around(1, 0.05)}, facts=later(day))
    assert [past.overview.run for past in history_of(tmp_path).stories[0].pasts] == ["b", "a"]
