"""The image cache's disk is full while an image is made: words, and a whole image once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import VMVC

EXPERIMENT = """\
name: full
guest: {image: tiny, command: [sleep, "60"], ready: {exec: {command: ["true"]}}}
backends: [process]
metrics: [startup]
trials: {count: 1, warmup: 0, timeout: 30s}
"""

pytestmark = [pytest.mark.real("root"), pytest.mark.xdist_group("bare host")]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "cache"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("room", [0, 100_000, 1_000_000], ids=str)
def test_a_full_image_cache_costs_the_run_and_no_image(tmp_path: Path, small: Path, room: int) -> None:
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    filler = small / "filler"
    free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
    filler.write_bytes(bytes(free - room))
    for _ in range(2):
        full = run(tmp_path, small)
        assert full.returncode == 3, full.stderr
        assert "No space left on device" in full.stderr
        assert "Traceback" not in full.stderr
    filler.unlink()
    again = run(tmp_path, small)
    assert again.returncode == 0, again.stderr
    assert "1 of 1 trials measured" in again.stdout


def run(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VMVC, "run", "e.yaml", "--plain"],
        cwd=folder, env={**os.environ, "VMVC_CACHE": str(cache)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
