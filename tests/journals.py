"""Experiments -> a corpus of runs, one folder a version of vmvc, that every later version must still read.

``make journals`` adds the folder of the version at hand, before its release; folders of older versions are
never touched again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import vmvc
from tests.command import vmvc as run
from vmvc import results
from vmvc.records_summary import Summary

FOLDER: Final = Path(__file__).parent / "files" / "journals"
KEPT: Final = ("experiment.yaml", "run.json", "journal.jsonl")
EXPECTED: Final = "expected.json"
EXPERIMENTS: Final[Mapping[str, str]] = {
    "everything": """\
name: everything
title: Every kind of line, but for a stop rule's
backends:
  steady: {kind: fake, options: {start: 2ms, jitter: 50%, disk: {virtual: 1MiB, unique: 64KiB}}}
  shaky: {kind: fake, options: {fail: {start: it shakes}, recovers: 1, fault_rate: 50%}}
  broken: {kind: fake, options: {fail: {start: it is broken}}}
factors:
  guest.memory: [64MiB, 128MiB]
  exclude: [{backend: broken, guest.memory: 128MiB}]
  include: [{backend: steady, guest.memory: 256MiB, guest.cpus: 2}]
metrics: {startup: {}, shutdown: {}, disk: {}, density: {instances: 5, settle: 0s, idle: 1s}}
trials: {count: 6, warmup: 1, retries: 1, order: interleaved}
claims:
  - {id: quick, says: It starts at once, metric: startup.started, backend: steady, median: {below: 2s}}
  - {id: slower, says: It shakes, metric: startup.ready, ratio: {of: shaky, to: steady, above: 10}}
  - {id: works, says: It works, metric: startup.ready, backend: shaky, success: {above: 50%}}
""",
    "resumed": """\
name: resumed
backends: {one: {kind: fake, options: {fail: {start: once}, fault_trials: [4], recovers: 1}}}
metrics: [startup]
trials: {until: {metric: startup.started, relative_ci: 50%, min: 6, max: 12}, on_failure: stop}
""",
}


def expectation(summary: Summary) -> dict[str, Any]:
    """Return what a reader of any later version must find, to the digit."""
    return {
        "trials": summary.trials,
        "measured": summary.measured,
        "failed": summary.failed,
        "rows": [
            {
                "condition": row.condition,
                "quantity": f"{row.metric}.{row.quantity}",
                "unit": row.unit,
                "n": row.n,
            }
            | ({} if row.median is None else {"median": row.median})
            for row in summary.rows
        ],
    }


def record(parent: Path) -> None:
    """Write the corpus of this version below ``parent``."""
    for name, text in EXPERIMENTS.items():
        target = parent / vmvc.__version__ / name
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "e.yaml").write_text(text)
            env = {**os.environ, "VMVC_LOCK": str(folder / "lock")}
            run("run", "e.yaml", "--quiet", cwd=folder, env=env)
            made = next(folder.glob(f"results/{name}/*/journal.jsonl")).parent
            if name == "resumed":
                run("run", "--resume", made, "--quiet", cwd=folder, env=env)
            target.mkdir(parents=True)
            for one in KEPT:
                shutil.copy(made / one, target / one)
        about = expectation(results.summary_of(target))
        (target / EXPECTED).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    if (FOLDER / vmvc.__version__).exists():
        sys.exit(f"{FOLDER / vmvc.__version__}: exists; a corpus is never changed once it was released")
    record(FOLDER)
