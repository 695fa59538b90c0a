"""What reports cost: time and size of a typical one, and of a million readings beside reading them alone."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from statistics import median

from tests.command import VMVC
from tests.report import runs
from vmvc.cli.text import write
from vmvc.units import show_bytes, show_seconds

CONSOLE = "[    0.000000] Linux version 6.1.0\n" * 60


def bench_a_typical_report(tmp_path: Path) -> None:
    backends, levels = ("process", "docker", "kvm", "gvisor"), ("128MiB", "256MiB", "512MiB", "1GiB", "2GiB")
    folder = runs.make(tmp_path / "run", backends=backends, levels=levels, count=29, console=CONSOLE)
    again = _seconds("show", "--rebuild", folder)
    taken = [_seconds("report", folder) for _ in range(5)]
    rows = [
        ["vmvc report, 20 conditions, 600 trials", show_seconds(median(taken)), "under 2 s"],
        ["report.html", show_bytes((folder / "report.html").stat().st_size), "under 3 MB"],
        ["vmvc show", show_seconds(median(_seconds("show", folder) for _ in range(5))), "under 0.5 s"],
        ["vmvc show --rebuild: statistics and all", show_seconds(again), ""],
    ]
    print()
    write(["what", "measured", "promise"], rows)


def bench_a_report_of_a_million_readings(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", count=16_000, console="")
    again, shown, drawn = (_seconds(*one, folder) for one in (("show", "--rebuild"), ("show",), ("report",)))
    rows = [
        ["vmvc show --rebuild, 48,003 trials, 1,008,063 readings", show_seconds(again), ""],
        ["vmvc show", show_seconds(shown), ""],
        ["vmvc report", show_seconds(drawn), ""],
        ["report.html", show_bytes((folder / "report.html").stat().st_size), "under 3 MB"],
    ]
    print()
    write(["what", "measured", "promise or ratio"], rows)


def _seconds(*arguments: str | Path) -> float:
    begun = time.perf_counter()
    subprocess.run([VMVC, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
