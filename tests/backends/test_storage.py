"""Folders are counted as du counts them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmvc.backends.storage import footprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * 10_000)
    os.link(folder / "file", folder / "sub" / "again")
    (folder / "link").symlink_to("/usr")
    with (folder / "holes").open("wb") as file:
        file.truncate(10 * 2**20)
    return folder


def test_blocks_are_those_of_du(folder: Path) -> None:
    du = subprocess.run(["du", "-sB1", folder], capture_output=True, text=True, check=True).stdout
    assert footprint([folder]).blocks == int(du.split()[0])


def test_content_counts_a_file_with_two_names_once_and_holes_in_full(folder: Path) -> None:
    assert footprint([folder]).content == 10_000 + len("/usr") + 10 * 2**20


def test_what_lies_in_two_folders_is_counted_once(folder: Path) -> None:
    assert footprint([folder, folder / "sub", folder]) == footprint([folder])


def test_a_folder_that_cannot_be_read_is_an_error_and_not_zero(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        footprint([folder, folder / "missing"])
