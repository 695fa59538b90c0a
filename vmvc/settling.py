"""Options left to a backend -> what it decides once for a whole run, also where that is taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vmvc.contract import Backend, Scalar
from vmvc.errors import ResultsError

Settled = Mapping[str, Mapping[str, Scalar]]
"""Backend, by its name -> option -> what was decided."""


def decided(backends: Mapping[str, Backend], ask: Callable[[Backend], Mapping[str, Scalar]]) -> Settled:
    """Return what each backend decides now."""
    return {name: ask(backend) for name, backend in backends.items()}


def recorded(folder: Path) -> Settled:
    """Return what was decided when the run began; nothing for runs of older versions.

    Raises: ResultsError.
    """
    path = folder / "run.json"
    try:
        about: Mapping[str, Any] = json.loads(path.read_bytes())["backends"]
        return {name: dict(one.get("settled", {})) for name, one in about.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}", hint="restore it from a copy") from error


def holding(backend: Backend, first: Backend, settled: Settled) -> Backend:
    """Return the backend with what was decided, where its options leave it open as ``first``'s do."""
    open_to = first.options.model_dump()
    own = backend.options.model_dump()
    update = {key: value for key, value in settled.get(backend.name, {}).items() if own[key] == open_to[key]}
    if not update:
        return backend
    return type(backend)(backend.name, backend.options.model_copy(update=update))
