"""Trials without an image: removed, had again and timed before the request; or refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc import attempts
from vmvc.cli.progress import Quiet
from vmvc.cli.summary import print_summary
from vmvc.contract import Backend
from vmvc.errors import EngineError, Unavailable
from vmvc.execution import Finished, start
from vmvc.loading import Loaded, loads
from vmvc.metrics.startup import Startup
from vmvc.planning import plan_of
from vmvc.records_summary import SummaryRow
from vmvc.trial import IMAGE_THERE


def load(folder: Path, options: str = "", trials: str = "image: absent", factors: str = "{}") -> Loaded:
    text = (
        f"name: first\nmetrics: [startup]\nfactors: {factors}\n"
        f"trials: {{count: 2, warmup: 0, order: interleaved, {trials}}}\n"
        f"backends: {{fake: {{options: {{state: {folder}/state, log: {folder}/log, {options}}}}}}}\n"
    )
    return loads(text.encode(), "x.yaml", folder)


def run(folder: Path, loaded: Loaded) -> Finished:
    return start(loaded, plan_of(loaded), folder / "results", Quiet())


def calls(folder: Path) -> list[str]:
    """Return the calls that are about the image, and where lives begin and end."""
    lines = [line.split()[0] for line in (folder / "log").read_text().splitlines()]
    return [line for line in lines if line in ("prepare", "forget", "fetch", "create", "destroy")]


def image_of(finished: Finished) -> list[SummaryRow]:
    return [row for row in finished.summary.rows if row.quantity == "image"]


def test_the_image_is_removed_before_each_trial_and_its_return_is_timed(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, "fetch: 50ms"))
    life = ["forget", "fetch", "create", "destroy"]
    assert calls(tmp_path) == ["prepare", "forget", "fetch", *life, *life]
    for trial in attempts.trials_of(finished.folder / "journal.jsonl"):
        asked, had, requested = (
            trial.events[name].at_ns for name in ("image_requested", "image_ready", "requested")
        )
        assert had - asked >= 50e6
        assert had <= requested
        values = {one.quantity: one.value for one in trial.readings}
        assert values["image"] == (had - asked) / 1e9
        assert values["ready"] == pytest.approx((trial.events["ready"].at_ns - requested) / 1e9)
    (row,) = image_of(finished)
    assert (row.n, row.reason) == (2, "")


def test_present_and_absent_can_be_compared(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, "", "seed: 1", "{trials.image: [present, absent]}"))
    life = ["create", "destroy"]
    both = [*life, "forget", "fetch", *life]
    assert calls(tmp_path)[-len(both) * 2 :] == [*both, *both]
    present, absent = image_of(finished)
    assert (present.n, present.reason) == (0, f"2 of 2: {IMAGE_THERE}")
    assert (absent.n, absent.reason) == (2, "")


def test_a_backend_that_cannot_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    loaded = load(tmp_path, "fail: {forget: it is in use}")
    with pytest.raises(EngineError, match=r"fake: trials\.image: absent is not possible: it is in use"):
        run(tmp_path, loaded)
    assert "create" not in calls(tmp_path)
    assert list((tmp_path / "results").rglob("*/*")) == []


def test_a_backend_cannot_unless_it_says_how() -> None:
    backend, guest = load(Path("/nowhere")).bind("fake", {})
    for call in (Backend.forget, Backend.fetch):
        with pytest.raises(Unavailable, match="the backend fake cannot"):
            call(backend, guest)


def test_an_image_that_does_not_come_back_costs_its_trial_only(tmp_path: Path) -> None:
    """The trial after it finds the image again: it is prepared anew, outside of what is timed."""
    loaded = load(
        tmp_path,
        "fail: {fetch: no space}, fault_fetches: [2]",
        "seed: 1",
        "{trials.image: [absent, present]}",
    )
    finished = run(tmp_path, loaded)
    trials = list(attempts.trials_of(finished.folder / "journal.jsonl"))
    assert [trial.outcome for trial in trials] == ["failed", "measured", "measured", "measured"]
    failure = trials[0].failure
    assert failure is not None
    assert (failure.phase, failure.error) == ("fetch", "ImageError")
    assert trials[0].readings == ()


def test_an_image_that_was_there_is_no_gap_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for trials, told in (("seed: 1", False), ("image: absent", True)):
        finished = run(tmp_path, load(tmp_path, "", trials))
        print_summary(finished.summary, Path("here"))
        said = capsys.readouterr().out
        assert "startup.ready" in said
        assert ("image" in said) is told


def test_the_last_quantity_of_a_start_is_its_image() -> None:
    assert [one.name for one in Startup.quantities][-3:] == ["ready", "pull", "image"]
