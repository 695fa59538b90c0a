"""This host -> its facts, what may spoil numbers here, and what else it did during a trial.

Linux shows most; what a host does not show is left out, never invented.
"""

from __future__ import annotations

from vmvc.host.counters import Noise, noise, noise_between, noise_findings, swapped_in, woken
from vmvc.host.description import boot_id, facts, ksm, mem_available
from vmvc.host.energy import Counters as EnergyCounters
from vmvc.host.energy import counters as energy_counters
from vmvc.host.energy import joules
from vmvc.host.judgement import findings, judge, memory_floor
from vmvc.host.kernel_log import KernelLog
from vmvc.host.state import State

__all__ = [
    "EnergyCounters",
    "KernelLog",
    "Noise",
    "State",
    "boot_id",
    "energy_counters",
    "facts",
    "findings",
    "joules",
    "judge",
    "ksm",
    "mem_available",
    "memory_floor",
    "noise",
    "noise_between",
    "noise_findings",
    "swapped_in",
    "woken",
]
