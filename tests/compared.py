"""A few words -> the folders of runs that can be compared: a journal with values, and run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import claimed

FACTS: Mapping[str, Any] = {
    "vmvc": "0.1.0",
    "wall": "2026-11-24T12:00:00+00:00",
    "host": {"kernel": "Linux 6.1", "threads": 8},
    "backends": {
        "docker": {"kind": "docker", "options": {"network": "bridge"}, "facts": {"version": "27.1"}},
        "kvm": {"kind": "libvirt", "options": {}, "facts": {"emulated": False}},
    },
    "experiment": {
        "title": "Made",
        "images": {"web": {"base": "debian:bookworm"}},
        "guest": {"image": "web", "memory": "512MiB"},
        "backends": {"docker": {"guest": {}}, "kvm": {"guest": {"cpus": 2}}},
    },
    "conditions": {"docker": {"facts": {"image_digest": "sha256:1"}}},
}
READY = ("docker", "startup.ready")


def run(
    folder: Path, values: claimed.Values, *, facts: Mapping[str, Any] | None = FACTS, **head: Any
) -> Path:
    """Write a run's folder; its id is the folder's name."""
    folder.mkdir(parents=True)
    trials = sum(map(len, values.values()))
    claimed.write(folder, (), values, **{"run": folder.name, "trials": trials, **head})
    if facts is not None:
        (folder / "run.json").write_text(json.dumps(facts))
    return folder


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the facts with another value at the dotted path."""
    facts: dict[str, Any] = json.loads(json.dumps(FACTS))
    *parents, last = path.split("/")
    place = facts
    for name in parents:
        place = place[name]
    place[last] = value
    return facts
