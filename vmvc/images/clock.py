"""This host's time stamp counter -> the kernel argument that spares an emulated guest its calibration.

An emulated CPU shows the host's counter. A guest calibrates it by an emulated timer, which fails on a busy
host; the machine type microvm has no second timer to fall back on, and its kernel then hangs without a word.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import statistics
import time
from functools import cache
from pathlib import Path
from typing import Final

# rdtsc; shl rdx, 32; or rax, rdx; ret
_READ: Final = bytes.fromhex("0f31 48c1e220 4809d0 c3")
_ROUNDS: Final = 5
_SECONDS: Final = 0.02


@cache
def emulated_clock() -> str:
    """Return ``tsc_early_khz=N`` for emulated guests; nothing where this host's counter is not constant."""
    rate = tsc_khz()
    return "" if rate is None else f"tsc_early_khz={rate}"


def tsc_khz() -> int | None:
    """Measure the counter for a tenth of a second; ``None`` where it cannot be read or is not constant."""
    if platform.machine() not in ("x86_64", "AMD64") or "constant_tsc" not in _cpu_flags():
        return None
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None  # a host that forbids memory which is both written and run
    code.write(_READ)
    counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    rates: list[float] = []
    for _ in range(_ROUNDS):
        at, ticks = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), counter()
        time.sleep(_SECONDS)
        later, more = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), counter()
        rates.append((more - ticks) * 1e6 / (later - at))
    return round(statistics.median(rates))


def _cpu_flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return next((line.split() for line in lines if line.startswith("flags")), [])
