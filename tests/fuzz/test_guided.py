"""The coverage-guided fuzzer runs, finds nothing in a short time, and would find what is wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None and not os.environ.get("CI"),
    reason="atheris has no wheel for this Python or system",
)


def guided(folder: Path, *options: str, plant: str = "") -> subprocess.CompletedProcess[str]:
    """Run it; ``plant``: Python that runs first."""
    run = "runpy.run_module('tests.fuzz.guided', run_name='__main__', alter_sys=True)"
    script = f"import runpy\n{plant}\n{run}"
    found = folder / "found"
    found.mkdir()
    return subprocess.run(
        [sys.executable, "-c", script, f"-artifact_prefix={folder}/", "-seed=1", *options, str(found)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_some_files_find_nothing(tmp_path: Path) -> None:
    done = guided(tmp_path, "-runs=500")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units: 500" in done.stderr


PLANTED = {
    "an exception that is no fault": "raise KeyError(text)",
    "a loop without an end": "import time; time.sleep(60)",
    "memory without a bound": "import time; kept = b'x' * 800_000_000; time.sleep(3)",
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found(tmp_path: Path, what: str) -> None:
    plant = f"""
import vmvc.notation as notation
good = notation._decode
def bad(source, name):
    text = good(source, name)
    if "claims" in text:
        {PLANTED[what]}
    return text
notation._decode = bad
"""
    limits = ("-timeout=2", "-rss_limit_mb=500")
    done = guided(tmp_path, "-runs=1000", *limits, plant=plant)
    assert done.returncode != 0
    assert [path.name.split("-")[0] for path in tmp_path.glob("*-*")], done.stderr[-2000:]
