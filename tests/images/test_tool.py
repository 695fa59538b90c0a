"""A missing or failing program is one clear error; a static busybox is told from another."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from vmvc.errors import ImageError
from vmvc.images import packages, tool
from vmvc.images.busybox import is_static


def test_output_and_progress() -> None:
    told: list[str] = []
    said = tool.run([sys.executable, "-c", _TALK], doing="talk", progress=told.append)
    assert said == b"out\n"
    assert told == ["one", "two"]


_TALK = "import sys; print('out'); print('one\\ntwo', file=sys.stderr)"
_FAIL = "import sys; print('W: beside\\nE: the reason\\nI: the end', file=sys.stderr); sys.exit(3)"


def test_a_failure_says_what_was_being_done_and_the_complaint() -> None:
    with pytest.raises(ImageError) as caught:
        tool.run([sys.executable, "-c", _FAIL], doing="bake a cake", hint=lambda said: said.split()[0])
    assert "could not bake a cake" in caught.value.what
    assert "ended with 3: E: the reason" in caught.value.what
    assert "beside" not in caught.value.what
    assert caught.value.hint == "W:"


def test_a_full_disk_has_its_own_hint() -> None:
    code = "import sys; sys.exit('mke2fs: No space left on device')"
    with pytest.raises(ImageError) as caught:
        tool.run([sys.executable, "-c", code], doing="x")
    assert "free some space" in caught.value.hint


@pytest.mark.parametrize("program", sorted(tool.PACKAGES))
def test_a_missing_program_names_its_package(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ImageError, match=f"no program '{program}'") as caught:
        tool.find(program)
    assert caught.value.hint == f"sudo apt-get install {tool.PACKAGES[program]}"


def test_a_host_without_apt_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ImageError, match="no apt-get") as caught, packages.unpacked("busybox-static"):
        pass
    assert "Debian or Ubuntu" in caught.value.hint


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
def test_a_package_that_does_not_exist_is_named() -> None:
    with (
        pytest.raises(ImageError, match="could not download the package 'no-such-package'") as caught,
        packages.unpacked("no-such-package"),
    ):
        pass
    assert "apt-get update" in caught.value.hint


def test_static_programs_are_told_from_others(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert not is_static(tmp_path / "text")
    assert not is_static(tmp_path / "none")
    assert not is_static(Path("/bin/ls"))
    if Path("/bin/busybox").exists():
        assert is_static(Path("/bin/busybox"))
