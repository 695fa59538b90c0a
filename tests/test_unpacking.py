"""A bundle comes from anybody: nothing in it is believed, and nothing is written outside its folder."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from vmvc import unpacking
from vmvc.errors import InputError, ResultsError

GOOD: Mapping[str, bytes] = {
    "run/journal.jsonl": b"",
    "inputs/experiment.yaml": b"name: a\n",
    "bundle.json": json.dumps({"version": 1, "experiment": "inputs/experiment.yaml"}).encode(),
    "ro-crate-metadata.json": b"{}",
}


def pack(path: Path, files: Mapping[str, bytes] = GOOD, *more: tuple[zipfile.ZipInfo, bytes]) -> Path:
    """Write a bundle with a true list of digests, but for what comes last."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        digests = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
        archive.writestr("manifest-sha256.txt", digests)
        for entry, data in more:
            archive.writestr(entry, data)
    return path


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_good_one_lies_in_a_folder_named_by_its_digest(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip")
    found = unpacking.unpack(path, tmp_path / "out")
    assert found.folder == tmp_path / "out" / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert found.experiment.read_bytes() == GOOD["inputs/experiment.yaml"]
    assert found.run == found.folder / "run"
    assert unpacking.unpack(path, tmp_path / "out") == found
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_what_was_edited_after_unpacking_is_told(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip")
    unpacking.unpack(path, tmp_path / "out").experiment.write_text("name: b\n")
    with pytest.raises(InputError, match=r"inputs/experiment\.yaml: was changed"):
        unpacking.unpack(path, tmp_path / "out")


LINK = stat.S_IFLNK | 0o777
DEVICE = stat.S_IFCHR | 0o666


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../outside",
            "run/../../outside",
            "/outside",
            "//outside",
            "run//outside",
            "./outside",
            "run/./outside",
        ),
        *("..\\outside", "C:outside", "run/a\nb", "run/\x1b[2Jb", "a" * 1001, "RUN/journal.jsonl", "."),
    ],
)
def test_names_that_lead_astray_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "a.zip", {**GOOD, name: b"x"})
    before = everything(tmp_path)
    with pytest.raises(InputError) as caught:
        unpacking.unpack(path, tmp_path / "deep" / "er" / "out")
    assert "Traceback" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert everything(tmp_path) == before | {"deep", "deep/er", "deep/er/out"}


@pytest.mark.parametrize("mode", [LINK, DEVICE, stat.S_IFSOCK, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path: Path, mode: int) -> None:
    entry = zipfile.ZipInfo("run/logs")
    entry.external_attr = mode << 16
    path = pack(tmp_path / "a.zip", GOOD, (entry, b"/etc"))
    with pytest.raises(InputError, match="neither a file nor a folder"):
        unpacking.unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(tmp_path / "a.zip", GOOD, (zipfile.ZipInfo("run/journal.jsonl"), b"other"))
    with pytest.raises(InputError, match="twice"):
        unpacking.unpack(path, tmp_path / "out")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    path = pack(tmp_path / "a.zip", {**GOOD, "run/zeros": bytes(10_000)})
    assert path.stat().st_size < 2000
    with pytest.raises(InputError, match="unpacks to"):
        unpacking.unpack(path, tmp_path / "out")


def test_a_bomb_that_lies_about_its_size_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "a.zip", {**GOOD, "run/zeros": bytes(5_000_000)})
    data = path.read_bytes()
    path.write_bytes(data.replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(ResultsError, match="broken"):
        unpacking.unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 10)
    path = pack(tmp_path / "a.zip", {**GOOD, **{f"run/{number}": b"" for number in range(10)}})
    with pytest.raises(InputError, match="more than 10 files"):
        unpacking.unpack(path, tmp_path / "out")


def test_encrypted_and_strangely_packed_files_are_refused(tmp_path: Path) -> None:
    for flag, method, says in ((1, 8, "encrypted"), (0, 12, "compressed by a method")):
        path = pack(tmp_path / f"{method}.zip")
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\x01\x02")  # the last entry of the list
        data[at + 8] |= flag
        data[at + 10] = method
        path.write_bytes(data)
        with pytest.raises(InputError, match=says):
            unpacking.unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"run/journal.jsonl": b"{}"}, "was changed"),
        ({"run/more": b""}, "was added"),
        ({"run/journal.jsonl": None}, "is missing"),
    ],
)
def test_a_bundle_that_was_changed_is_told_file_by_file(
    tmp_path: Path, files: Mapping[str, bytes | None], says: str
) -> None:
    path = pack(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**held, **files}.items():
            if data is not None:
                archive.writestr(name, data)
    with pytest.raises(InputError, match=says):
        unpacking.unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"version": 2, "experiment": "inputs/experiment.yaml"}, "of version 2, this vmvc reads version 1"),
        ({"version": 1, "experiment": "../../outside"}, "has no experiment"),
        ({"version": 1, "experiment": "gone"}, "has no experiment"),
        ({"version": 1, "experiment": 7}, "has no experiment"),
        ({"version": 1}, "has no experiment"),
        ([], "of version None"),
    ],
)
def test_another_version_or_no_experiment(tmp_path: Path, about: object, says: str) -> None:
    path = pack(tmp_path / "a.zip", {**GOOD, "bundle.json": json.dumps(about).encode()})
    with pytest.raises(ResultsError, match=says):
        unpacking.unpack(path, tmp_path / "out")


@pytest.mark.parametrize("data", [b"{", b"[" * 100_000, b"\xff\xfe", b""])
def test_a_description_that_is_no_json(tmp_path: Path, data: bytes) -> None:
    path = pack(tmp_path / "a.zip", {**GOOD, "bundle.json": data})
    with pytest.raises(ResultsError, match="broken"):
        unpacking.unpack(path, tmp_path / "out")


def test_some_other_zip_file(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a": b""})
    with pytest.raises(InputError, match="is a ZIP file, but no bundle"):
        unpacking.unpack(path, tmp_path / "out")


def test_every_cut_and_every_flipped_byte_is_told_or_harmless(tmp_path: Path) -> None:
    data = pack(tmp_path / "a.zip").read_bytes()
    path = tmp_path / "b.zip"
    changed = [data[:length] for length in range(4, len(data), 7)]
    changed += [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(0, len(data), 3)]
    before = everything(tmp_path) | {"b.zip", "out"}
    for one in changed:
        path.write_bytes(one)
        try:
            found = unpacking.unpack(path, tmp_path / "out")
        except (InputError, ResultsError):
            continue
        assert {name: (found.folder / name).read_bytes() for name in GOOD} == GOOD
    assert {name for name in everything(tmp_path) if not name.startswith("out/")} == before
