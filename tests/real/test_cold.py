"""Cold starts on this very host: the cache is really dropped, and the disk really read."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc import attempts
from vmvc.cli.progress import Quiet
from vmvc.execution import start
from vmvc.loading import loads
from vmvc.planning import plan_of

EXPERIMENT = """\
name: cold
backends: [process, docker]
metrics: [startup]
guest: {memory: 64MiB, ready: {console: {pattern: here}}, command: [sh, -c, "echo here; exec sleep 60"]}
factors: {trials.cache: [warm, cold]}
trials: {count: 2, warmup: 0, stop_timeout: 1s}
"""

pytestmark = pytest.mark.quiet


@pytest.mark.real("docker", "root")
def test_a_cold_start_reads_what_a_warm_one_has_in_memory(tmp_path: Path) -> None:
    loaded = loads(EXPERIMENT.encode(), "cold.yaml", tmp_path)
    finished = start(loaded, plan_of(loaded), tmp_path / "results", Quiet())
    assert finished.summary.failed == 0
    codes = {finding.code for finding in finished.summary.findings}
    assert {"cache.below", "cache.rehearsed"} <= codes
    assert "cache.not-cold" not in codes
    read: dict[tuple[str, object], list[float]] = {}
    for trial in attempts.trials_of(finished.folder / "journal.jsonl"):
        key = (trial.backend, trial.factors["trials.cache"])
        read.setdefault(key, []).append(trial.proof["disk_read_bytes"])
    for backend in ("process", "docker"):
        assert min(read[backend, "cold"]) > 2**20
        assert min(read[backend, "warm"]) < min(read[backend, "cold"]) / 10
