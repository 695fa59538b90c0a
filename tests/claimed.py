"""Claims and values -> the verdicts of a synthetic run on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vmvc.records_claims import VerdictRecord
from vmvc.results import verdicts

QUANTITIES = {
    "startup.ready": "s",
    "memory.pss": "B",
    "isolation.shares_kernel": "1",
    "density.capacity": "1",
    "cpu.events": "1/s",
}
Values = Mapping[tuple[str, str], Sequence[float | None]]
"""Condition and quantity -> values in the order of trials; ``None``: the trial failed."""


def around(middle: float, spread: float, n: int = 10) -> list[float]:
    """Return n values, evenly spaced within ``spread`` of the middle, in an order that shows no trend."""
    ordered = [middle + spread * (2 * (i + 0.5) / n - 1) for i in range(n)]
    return [ordered[(i * 7 + n // 2) % n] for i in range(n)] if n % 7 else ordered


def claim(form: str, about: Any, **rest: Any) -> dict[str, Any]:
    """Return a claim as a file gives it, about ``docker`` where its form needs a backend."""
    given = {"id": "c", "says": "A claim", "metric": "startup.ready", form: about}
    if form not in ("ratio", "difference", "order"):
        given["backend"] = "docker"
    return {**given, **rest}


def write(
    folder: Path,
    claims: Sequence[Mapping[str, Any]],
    values: Values,
    *,
    axes: Mapping[str, Any] | None = None,
    resolution: float | None = None,
    trial: Mapping[str, Any] | None = None,
    **head: Any,
) -> Path:
    """Write the journal of a run with these claims and values; ``trial`` goes into every trial."""
    fields = {
        "record": "run",
        "version": 1,
        "run": "r1",
        "experiment_sha256": "0" * 64,
        "name": "claimed",
        "seed": 1,
        "count": 10,
        "trials": 10,
        "axes": axes if axes is not None else {condition.split()[0]: {} for condition, _ in values},
        "only": [],
        "quantities": [
            {
                "metric": name.partition(".")[0],
                "quantity": name.partition(".")[2],
                "unit": unit,
                "better": "lower",
                "says": f"{name}.",
            }
            for name, unit in QUANTITIES.items()
        ],
        "claims": claims,
    }
    trials = [
        {**one, "record": "trial", "trial": number, **(trial or {})}
        for number, one in enumerate(_trials(values, resolution), 1)
    ]
    path = folder / "journal.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in ({**fields, **head}, *trials)))
    return path


def _trials(values: Values, resolution: float | None) -> list[dict[str, Any]]:
    made = []
    for (condition, name), samples in values.items():
        metric, _, quantity = name.partition(".")
        backend, *levels = condition.split()
        for block, value in enumerate(samples, 1):
            reading = {"metric": metric, "quantity": quantity, "unit": QUANTITIES[name], "value": value}
            if resolution is not None:
                reading["resolution"] = resolution
            failure = {"phase": "ready", "error": "DeadlineExceeded", "reason": "too late"}
            made.append(
                {
                    "block": block,
                    "position": 1,
                    "warmup": False,
                    "backend": backend,
                    "condition": condition,
                    "factors": dict(level.split("=") for level in levels),
                    "metrics": [metric],
                    "instance": "i",
                    "wall": "2026-11-23T00:00:00.000+00:00",
                    "events": {},
                    **(
                        {"outcome": "failed", "failure": failure}
                        if value is None
                        else {"outcome": "measured"}
                    ),
                    **({} if value is None else {"readings": [reading]}),
                }
            )
    return made


def judge(
    folder: Path, claims: Sequence[Mapping[str, Any]], values: Values, **rest: Any
) -> list[VerdictRecord]:
    """Return the verdicts on the claims."""
    return list(verdicts(write(folder, claims, values, **rest)))
