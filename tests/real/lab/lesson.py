"""The lesson in a small form: a user's machine and vmvc's own image on VirtualBox, from file to results."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

from tests.real.lab import machine_virtualbox
from tests.real.lab.command import vmvc

EXPERIMENT = """\
name: lesson-small
guest: {image: tiny, cpus: 1, memory: 192MiB, ready: {http: {port: 80, interval: 2s}}}
backends:
  same-image: {kind: virtualbox, options: {kernel_arguments: [mitigations=off, nokaslr]}}
  mine:
    kind: virtualbox
    guest: {machine: %s, ready: {console: {pattern: boot sector speaks}}}
metrics: {startup: {}, memory: {settle: 1s}, disk: {}}
trials: {count: 1, warmup: 0, timeout: 20m, stop_timeout: 60s}
"""


def test_the_lesson_gives_time_memory_and_size(tmp_path: Path) -> None:
    with machine_virtualbox.TestVirtualBoxMachine().off() as guest:
        file = tmp_path / "lesson-small.yaml"
        file.write_text(EXPERIMENT % json.dumps(guest.machine))
        done = subprocess.run(
            vmvc("run", file, "--results", tmp_path / "results"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = (tmp_path / "results" / "lesson-small").glob("*/run.json")
        rows = list(csv.DictReader((run.parent / "measurements.csv").read_text().splitlines()))
        for name in ("startup.ready", "memory.pss", "memory.host_drop", "disk.allocated"):
            got = {
                row["backend"]
                for row in rows
                if f"{row['metric']}.{row['quantity']}" == name and row["value"]
            }
            assert got == {"same-image", "mine"}, name
        assert "emulated by QEMU" in run.read_text(), "the record does not say that its host is emulated"
