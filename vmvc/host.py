"""This host -> facts, findings, and what else it did during a trial.

Facts that a host does not show are left out.
"""

from __future__ import annotations

import psutil


def mem_available() -> int:
    """Return the bytes that programs could still get without swapping (``MemAvailable`` on Linux)."""
    return psutil.virtual_memory().available
