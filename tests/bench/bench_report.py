"""What reports cost: time and size of a typical one, and of a million readings beside reading them alone."""

from __future__ import annotations

import resource
import subprocess
import sys
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
        [
            "vmvc show, CPU time",
            show_seconds(median(_cpu(VMVC, "show", folder) for _ in range(5))),
            "under 0.5 s",
        ],
        [
            "vmvc report, CPU time",
            show_seconds(median(_cpu(VMVC, "report", folder) for _ in range(3))),
            "under 2 s",
        ],
        ["vmvc show --rebuild: statistics and all", show_seconds(again), ""],
    ]
    print()
    write(["what", "measured", "promise"], rows)


def bench_a_report_of_a_million_readings(tmp_path: Path) -> None:
    """Measure CPU time, every process of its own: start-up, reading, parsing and drawing are all in it."""
    folder = runs.make(tmp_path / "run", count=16_000, console="")
    again, shown, drawn = (
        _cpu(VMVC, *one, folder) for one in (("show", "--rebuild"), ("show",), ("report",))
    )
    journal = _cpu(
        sys.executable, "-c", f"import polars; polars.read_ndjson({str(folder / 'journal.jsonl')!r})"
    )
    table = _cpu(
        sys.executable, "-c", f"import polars; polars.read_csv({str(folder / 'measurements.csv')!r})"
    )
    rows = [
        ["polars reads journal.jsonl", show_seconds(journal), ""],
        ["polars reads measurements.csv", show_seconds(table), f"{table / journal:.2f} of it"],
        ["vmvc report, from journal.jsonl", show_seconds(drawn), f"{drawn / journal:.2f} of it, under 2"],
        ["vmvc show", show_seconds(shown), f"{shown / journal:.2f} of it"],
        ["vmvc show --rebuild", show_seconds(again), f"{again / journal:.2f} of it"],
        ["report.html", show_bytes((folder / "report.html").stat().st_size), "under 3 MB"],
    ]
    print()
    write(["48,003 trials, 1,008,063 readings, CPU time", "measured", "promise or ratio"], rows)


def bench_an_index_of_many_runs(tmp_path: Path) -> None:
    for number in range(20):
        runs.make(tmp_path / f"results/made/{number:03}", claims=runs.CLAIMS)
        subprocess.run([VMVC, "show", "--rebuild", tmp_path / f"results/made/{number:03}"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    taken = _cpu(VMVC, "report", tmp_path / "results")
    size = show_bytes((tmp_path / "results/index.html").stat().st_size)
    print()
    write(
        ["what", "measured"],
        [["vmvc report, an index of 20 runs", show_seconds(taken)], ["index.html", size]],
    )


def _cpu(*command: str | Path) -> float:
    """Return the CPU seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(command), check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _seconds(*arguments: str | Path) -> float:
    begun = time.perf_counter()
    subprocess.run([VMVC, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
