"""What mmdebstrap complains about becomes one action; the recipe becomes a script that finishes the root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vmvc.images import debian
from vmvc.spec import RecipeImage


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("E: Unable to locate package no-such-thing\n", "no package 'no-such-thing'"),
        ("E: Package 'libfoo' has no installation candidate\n", "no package 'libfoo'"),
        (
            "E: The repository 'there nosuch Release' does not have a Release file.\n",
            "no Debian suite 'nosuch'",
        ),
        ("vmvc: no init script for ngnix, there are: nginx udev\n", "service 'ngnix'; there are: nginx udev"),
        ("W: GPG error: there: NO_PUBKEY 0E98404D386FA1D9\n", "debian-archive-keyring"),
        ("something else\n", ""),
    ],
)
def test_complaints_become_one_action(said: str, hint: str) -> None:
    found = debian.hint_of(said, "nosuch", root=True)
    assert hint in found
    assert bool(found) == bool(hint)


def test_the_script_is_sound_and_quotes_what_it_is_given(tmp_path: Path) -> None:
    image = RecipeImage(
        base="debian:bookworm", services=("nginx",), files={"/srv/a b/$HOME 'x'.txt": "#!/bin/sh\n`id`\n"}
    )
    script = debian.customize(image, "0" * 64, tmp_path)
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert "'/srv/a b/$HOME '\"'\"'x'\"'\"'.txt'" in script
    assert any(path.read_text() == "#!/bin/sh\n`id`\n" for path in tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
def test_the_machines_own_sources_are_of_the_suite_asked_for() -> None:
    for line in debian.sources("bookworm"):
        assert line.split()[0] == "deb"
        assert line.split()[2] in ("bookworm", "bookworm-updates", "bookworm-security")
    assert debian.sources("nosuchsuite") == []
