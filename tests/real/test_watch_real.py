"""A run on a real engine, watched: its table on a terminal, and where it is, from another process."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.command import Said, vmvc
from tests.terminal import Terminal

pytestmark = [pytest.mark.real("docker"), pytest.mark.timeout(300)]

EXPERIMENT = """\
name: watched
backends: [docker]
metrics: {startup: {}, memory: {settle: 1500ms}}
trials: {count: 3, warmup: 0, timeout: 90s}
"""


def test_a_real_run_is_drawn_and_tells_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(EXPERIMENT)
    told: list[Said] = []

    def look(seen: Terminal) -> None:
        if not told and any(re.match(r"docker +1/3", line) for line in seen.screen):
            told.append(vmvc("status", "results/watched", cwd=tmp_path))

    terminal = Terminal(80)
    lock = {
        "VMVC_LOCK": str(tmp_path / "lock"),
        **({"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}),
    }
    assert terminal.run(["run", path], tmp_path, look=look, timeout=240, **lock) == 0, terminal.screen
    assert told, terminal.screens[-5:]
    assert told[0].code == 0
    assert re.search(r"trials: [12] of 3 done", told[0].out), told[0].out
    assert re.search(r"now: trial [23] docker: \w+ for ", told[0].out), told[0].out
    assert any(re.search(r"trial \d docker: observe", line) for seen in terminal.screens for line in seen)
    assert any(line.startswith("watched: 3 of 3 trials measured") for line in terminal.scrolled)
    said = vmvc("status", "results/watched", cwd=tmp_path)
    assert ": finished\n" in said.out
    assert vmvc("validate", next((tmp_path / "results/watched").iterdir()), cwd=tmp_path).code == 0
    terminal.close()
