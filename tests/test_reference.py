"""Claims on another run: what does not compare is refused before the first trial, and what does is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.claimed import write
from vmvc.contract import Quantity
from vmvc.errors import InputError, ResultsError
from vmvc.loading import loads
from vmvc.reference import Wanted, check, read

READY = Quantity("ready", "s", "lower", "startup.ready.")
CONDITION = "docker guest.memory=1GiB"
AXES = {"docker": {"guest.memory": ["1GiB", "2GiB"]}}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    values = {(CONDITION, "startup.ready"): [1.0, None, 3.0]}
    write(folder, [], values, axes=AXES, resolution=0.1, options={"startup": {"settle": "1s"}})
    return folder


def wanted(**changes: object) -> Wanted:
    fields = {
        "backend": "docker",
        "axes": {"guest.memory": ("1GiB",)},
        "metric": "startup",
        "quantity": READY,
    }
    return Wanted(**{**fields, **changes})  # type: ignore[arg-type]


def test_values_and_their_resolution_are_kept(other: Path) -> None:
    check(other, wanted())
    found = read(other, "c", "startup", "ready", {CONDITION, "docker guest.memory=2GiB"})
    assert (found.claim, found.run) == ("c", "r1")
    assert {name: (one.values, one.resolution) for name, one in found.samples.items()} == {
        CONDITION: ((1.0, 3.0), 0.1)
    }


def test_warm_ups_are_not_among_them(tmp_path: Path) -> None:
    write(tmp_path, [], {("docker", "startup.ready"): [1.0]}, trial={"warmup": True})
    assert read(tmp_path, "c", "startup", "ready", {"docker"}).samples == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantity": Quantity("gone", "s", "lower", "")}, "has not measured startup.gone"),
        ({"quantity": Quantity("ready", "s", "lower", "Else.")}, "another definition of startup.ready"),
        (
            {"quantity": Quantity("ready", "B", "lower", "startup.ready.")},
            "another definition of startup.ready",
        ),
        ({"backend": "kvm"}, "has no backend 'kvm'"),
        ({"axes": {}}, "sweeps guest.memory on docker, this experiment nothing"),
        ({"axes": {"guest.memory": ("4GiB",)}}, "has no guest.memory=4GiB on docker"),
        ({"options": {"settle": "2s"}}, "measured startup with another settle"),
    ],
)
def test_what_does_not_compare(other: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ResultsError, match=words) as caught:
        check(other, wanted(**changes))
    assert caught.value.hint


def test_the_same_options_compare_and_so_do_unknown_ones(other: Path, tmp_path: Path) -> None:
    check(other, wanted(options={"settle": "1s"}))
    write(tmp_path, [], {(CONDITION, "startup.ready"): [1.0]}, axes=AXES)
    check(tmp_path, wanted(options={"settle": "1s"}))


EXPERIMENT = """name: first
backends: [fake]
metrics: [startup]
claims:
  - {id: a, says: x, metric: startup.ready, backend: fake, reference: {run: other, within: 10%}}
"""


@pytest.mark.parametrize(
    ("journal", "words"),
    [
        (None, "claims[0].reference.run: other holds no run: No such file or directory"),
        ("", "claims[0].reference.run: journal.jsonl:1: the journal holds no run"),
        ("{}\n", "claims[0].reference.run: journal.jsonl:1: not a record"),
        ('{"record":"run","version":7}\n', "the run's folder is of version 7, this vmvc reads version 1"),
    ],
)
def test_a_folder_that_is_no_run_is_told_with_its_place(
    tmp_path: Path, journal: str | None, words: str
) -> None:
    if journal is not None:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "journal.jsonl").write_text(journal)
    with pytest.raises(InputError) as caught:
        loads(EXPERIMENT.encode(), "x.yaml", tmp_path)
    assert str(caught.value).startswith("x.yaml:5:77: ")
    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    loads(EXPERIMENT.encode(), "x.yaml", tmp_path, references=False)


def test_a_journal_that_is_damaged_later_is_refused(other: Path) -> None:
    shutil.copy(other / "journal.jsonl", other / "copy")
    with (other / "journal.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(ResultsError, match="not a record"):
        read(other, "c", "startup", "ready", {CONDITION})
