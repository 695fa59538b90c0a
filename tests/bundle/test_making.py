"""A run that is whole becomes one file, the same bytes each time; what would mislead a reader is refused."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report import runs
from vmvc import bundle, report, results
from vmvc.errors import InputError, ResultsError


def whole(folder: Path, **about: object) -> Path:
    """Write a run as it is after its last trial."""
    runs.make(folder, **about)  # type: ignore[arg-type]
    results.rebuild(folder)
    for name in report.DERIVED:
        (folder / name).write_text("what it says is no matter here")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return whole(tmp_path / "run", claims=runs.CLAIMS)


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def text(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def test_two_bundles_of_one_run_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        bundle.make(folder, tmp_path / name, authors=["Ada"], licence="CC-BY-4.0")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_it_holds_the_run_byte_for_byte_and_a_digest_of_every_file(folder: Path, tmp_path: Path) -> None:
    made = bundle.make(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(tmp_path / "out")
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / "run" / path.relative_to(folder)).read_bytes() == path.read_bytes()
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "manifest-sha256.txt"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == made.files == len(names(made.path)) - 2  # the list, and run/logs/


def test_the_table_for_evaluators_says_what_to_run_and_what_to_expect(folder: Path, tmp_path: Path) -> None:
    made = bundle.make(folder, tmp_path / "a.zip")
    rows = list(csv.DictReader(io.StringIO(text(made.path, "claims.csv"))))
    verdicts = json.loads((folder / "claims.json").read_bytes())
    assert [row["claim"] for row in rows] == [one["id"] for one in verdicts]
    assert [row["expected"] for row in rows] == [one["sentence"] for one in verdicts]
    assert rows[0]["command"] == "vmvc run BUNDLE --only kvm --only process"
    assert [row["tolerance"] for row in rows] == [
        "the whole 95% interval lies above 10",
        "the whole 95% interval lies below 0.01",
        "the whole 95% interval lies between 0.268 and 0.269",
    ]
    assert float(rows[1]["value"]) == verdicts[1]["value"]
    for name in ("CLAIMS.md", "README.md"):
        assert text(made.path, name).count("vmvc run BUNDLE --only docker") == 2


def test_what_it_takes_to_measure_again_is_in_it(folder: Path, tmp_path: Path) -> None:
    made = bundle.make(folder, tmp_path / "a.zip")
    readme = text(made.path, "README.md")
    for told in ('"packages": ["nginx-light"]', "docker, version | 27.1", "kvm, qemu version | 9.0", "A CPU"):
        assert told in readme, told
    assert "pydantic==" in text(made.path, "constraints.txt")
    assert "Apache License" in text(made.path, "software/LICENSE")


def edit_journal(folder: Path) -> None:
    path = folder / "journal.jsonl"
    path.write_text(path.read_text().replace('"wall":', '"wal1":', 1))


def edit_number(folder: Path) -> None:
    path = folder / "summary.json"
    path.write_text(path.read_text().replace('"n": 8', '"n": 9', 1))


def tear(folder: Path) -> None:
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])


def edit_experiment(folder: Path) -> None:
    (folder / "experiment.yaml").write_text(runs.SOURCE + "# more\n")


def lose(folder: Path) -> None:
    (folder / "measurements.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (edit_journal, "wal1"),
        (edit_number, "is not what the journal says"),
        (tear, "torn"),
        (tear, "is not finished: 26 of 27"),
        (edit_experiment, "was edited since the run was started"),
        (lose, "is missing"),
    ],
)
def test_what_would_mislead_is_refused(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=says):
        bundle.make(folder, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"until": 5}, "is not finished: 5 of 27"),
        ({"failing": dict.fromkeys(range(1, 28), "too late")}, "no trial was measured"),
        ({"failing": dict.fromkeys(range(4, 28), "too late")}, "no trial was measured"),
    ],
)
def test_a_run_without_an_end_or_a_success_is_refused(
    tmp_path: Path, about: dict[str, object], says: str
) -> None:
    folder = whole(tmp_path / "run", **about)
    with pytest.raises(InputError, match=says):
        bundle.make(folder, tmp_path / "a.zip")


def test_as_it_is_the_bundle_says_what_is_wrong(tmp_path: Path) -> None:
    folder = whole(tmp_path / "run", until=5)
    made = bundle.make(folder, tmp_path / "a.zip", as_it_is=True)
    assert "although" in text(made.path, "README.md")
    assert "is not finished: 5 of 27" in text(made.path, "README.md")
    assert str(tmp_path) not in text(made.path, "README.md")
    assert "FailedActionStatus" in text(made.path, "ro-crate-metadata.json")
    assert json.loads(text(made.path, "bundle.json"))["doubts"] == [
        "the run is not finished: 5 of 27 trials are recorded"
    ]


def test_a_link_in_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "logs" / "more.console").symlink_to(tmp_path / "secret")
    with pytest.raises(ResultsError, match="is a link"):
        bundle.make(folder, tmp_path / "a.zip")
    assert list(tmp_path.glob("*a.zip*")) == []


@pytest.mark.parametrize("licence", ["mine", "MIT OR Apache-2.0", "=1"])
def test_a_licence_that_spdx_does_not_know_is_refused(folder: Path, tmp_path: Path, licence: str) -> None:
    with pytest.raises(InputError, match="SPDX"):
        bundle.make(folder, tmp_path / "a.zip", licence=licence)


# --- files that the experiment names ----------------------------------------------------------------------

DISKS = """\
name: made
images:
  beside: {disk: beside.qcow2}
  above: {disk: ../shared/above.qcow2}
  far: {disk: %s}
  large: {disk: large.qcow2}
  gone: {disk: gone.qcow2}
guest: {image: beside}
backends: [libvirt]
metrics: [startup]
"""


def test_small_files_come_along_and_the_others_are_named(tmp_path: Path) -> None:
    place = tmp_path / "lab" / "mine"
    place.mkdir(parents=True)
    (tmp_path / "lab" / "shared").mkdir()
    far = tmp_path / "far.qcow2"
    paths = {"beside": place / "beside.qcow2", "above": place / "../shared/above.qcow2", "far": far}
    for name, path in paths.items():
        path.write_text(name)
    (place / "large.qcow2").write_text("x" * 2000)
    folder = whole(tmp_path / "run", source=DISKS % far, backends=("libvirt",), about={"folder": str(place)})
    made = bundle.make(folder, tmp_path / "a.zip", largest=1000)
    assert text(made.path, "inputs/above/beside.qcow2") == "beside"
    assert text(made.path, "inputs/shared/above.qcow2") == "above"
    assert "inputs/above/experiment.yaml" in names(made.path)
    left = {one.where: one for one in made.left}
    assert set(left) == {"images.far.disk", "images.large.disk", "images.gone.disk"}
    assert left["images.large.disk"].sha256 == hashlib.sha256(b"x" * 2000).hexdigest()
    assert "absolute" in left["images.far.disk"].reason
    assert left["images.gone.disk"].sha256 is None
    readme = text(made.path, "README.md")
    for one in made.left:
        assert one.path in readme
        assert one.sha256 is None or one.sha256 in readme
    assert "changed after the run began" in readme
