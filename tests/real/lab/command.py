"""The vmvc of the lab, where it is not installed: words of the command -> a process's arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def vmvc(*words: str | Path) -> list[str]:
    return [sys.executable, "-c", "from vmvc.cli import main; main()", *map(str, words)]


def trials(results: Path) -> list[dict[str, Any]]:
    """Return what the journals below a folder have of trials, so far."""
    lines = [line for path in results.rglob("journal.jsonl") for line in path.read_text().splitlines()]
    return [record for record in map(json.loads, lines) if record["record"] == "trial"]
