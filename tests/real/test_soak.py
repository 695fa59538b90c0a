"""A long run on a real engine: memory, threads and file handles of vmvc stay as they were.

``VMVC_SOAK`` says for how many minutes (default: half a one; ``make soak`` runs an hour).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import psutil
import pytest

from tests.command import VMVC, vmvc
from tests.real.left import left_behind

MINUTES: Final = float(os.environ.get("VMVC_SOAK", "0.5"))
FLAT: Final = 4 * 2**20
"""Bytes by which a process may grow from the first third of a run to the last one."""

EXPERIMENT = """\
name: soak
backends: [docker]
metrics: {startup: {}, shutdown: {}, memory: {settle: %s}, disk: {}, isolation: {}}
trials: {count: 100000, warmup: 0, timeout: 60s}
"""

pytestmark = [pytest.mark.real("docker"), pytest.mark.timeout(MINUTES * 60 + 300)]


class Weight(NamedTuple):
    """What one process of vmvc holds at one instant; memory in bytes."""

    memory: int
    threads: int
    handles: int


def test_hours_of_trials_cost_no_more_than_minutes(tmp_path: Path) -> None:
    path = tmp_path / "soak.yaml"
    path.write_text(EXPERIMENT % ("2s" if MINUTES > 2 else "100ms"))
    weights: dict[str, list[Weight]] = {"parent": [], "worker": []}
    with subprocess.Popen(
        [VMVC, "run", path, "--quiet"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        for seen in _seen(running, time.monotonic() + MINUTES * 60, every=min(10.0, MINUTES)):
            for name, weight in seen.items():
                weights[name].append(weight)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 130, out + err
    assert "Traceback" not in err

    (folder,) = (tmp_path / "results" / "soak").iterdir()
    journal = (folder / "journal.jsonl").read_text().splitlines()
    trials = sum(json.loads(line)["record"] == "trial" for line in journal)
    print(f"\n{trials} trials in {MINUTES:g} minutes")
    for name, series in weights.items():
        # The first trials fill caches: what must not grow is what comes after them.
        settled = series[len(series) // 10 :]
        first, last = settled[: len(settled) // 3], settled[-len(settled) // 3 :]
        before, after = (
            Weight(*(int(median(one)) for one in zip(*part, strict=True))) for part in (first, last)
        )
        print(f"{name}: {before} -> {after}")
        assert after.memory - before.memory < FLAT, name
        assert after.threads <= before.threads + 1, name
        assert after.handles <= before.handles + 2, name
    assert trials >= MINUTES * 6
    assert vmvc("validate", folder, cwd=tmp_path).code == 0
    assert left_behind(folder.name) == []


def _seen(running: subprocess.Popen[str], until: float, every: float) -> Iterator[Mapping[str, Weight]]:
    """Weigh the command and the process that runs its trials, while both are there."""
    parent = psutil.Process(running.pid)
    while time.monotonic() < until:
        assert running.poll() is None, running.communicate()
        workers = parent.children()
        if workers:
            yield {
                "parent": _weight(parent),
                "worker": _weight(max(workers, key=lambda one: one.memory_info().rss)),
            }
        time.sleep(every)


def _weight(process: psutil.Process) -> Weight:
    return Weight(process.memory_info().rss, process.num_threads(), process.num_fds())
