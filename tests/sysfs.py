"""A scratch tree that looks like the settings of a host."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CPU: Final = "sys/devices/system/cpu"
FILES: Final = {
    f"{CPU}/cpufreq/policy0/scaling_governor": b"powersave\n",
    f"{CPU}/cpufreq/policy0/scaling_available_governors": b"performance powersave\n",
    f"{CPU}/cpufreq/policy0/energy_performance_preference": b"balance_performance\n",
    f"{CPU}/cpufreq/policy1/scaling_governor": b"schedutil",
    f"{CPU}/cpufreq/policy10/scaling_governor": b"performance\n",
    f"{CPU}/intel_pstate/no_turbo": b"0\n",
    f"{CPU}/cpufreq/boost": b"1\n",
    "proc/sys/kernel/randomize_va_space": b"2\n",
    **{
        f"{CPU}/cpu{number}/topology/core_cpus_list": b"0,2\n" if number in (0, 2) else b"1,3\n"
        for number in range(4)
    },
}
"""A host of two cores with two threads each."""
TUNED: Final = {
    f"{CPU}/cpufreq/policy0/energy_performance_preference": b"performance\n",
    f"{CPU}/cpufreq/policy0/scaling_governor": b"performance\n",
    f"{CPU}/cpufreq/policy1/scaling_governor": b"performance\n",
    f"{CPU}/intel_pstate/no_turbo": b"1\n",
    "proc/sys/kernel/randomize_va_space": b"0\n",
}
"""What governor, turbo and aslr change."""


def plant(root: Path) -> Path:
    """Write the tree."""
    for name, value in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(value)
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Return what every file of the tree holds."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }
