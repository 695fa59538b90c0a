"""`vmvc --help` against importing the libraries that it stands on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.bench.pairs import measure, show


def _seconds(*argv: str) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def bench_help_is_little_more_than_its_libraries() -> None:
    vmvc = str(Path(sys.executable).with_name("vmvc"))
    pairs = measure(
        lambda: _seconds(vmvc, "--help"),
        lambda: _seconds(sys.executable, "-c", "import click, pydantic, yaml"),
        30,
    )
    show("vmvc --help / importing click, pydantic, yaml", pairs, "at most 1.1")
