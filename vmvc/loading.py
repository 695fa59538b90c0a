"""An experiment file -> Experiment and plug-ins, or every fault in it at once, each with file:line:column."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from vmvc.complaints import judge
from vmvc.contract import Backend, Guest, Metric
from vmvc.crosscheck import crosscheck
from vmvc.entries import excluded, included
from vmvc.errors import Fault, InputError
from vmvc.factors import applies, put, target
from vmvc.notation import LARGEST, MOST, in_order, read_tree
from vmvc.spec import Entry, Experiment, GuestSpec, Level
from vmvc.spec_machine import merged
from vmvc.wording import did_you_mean

STDIN: Final = Path("-")
_CACHED: Final = 1024


@dataclass(frozen=True)
class Loaded:
    """A good experiment with the plug-ins that it names; ``folder`` anchors its relative paths.

    ``given`` is the file as it stands, without defaults.
    """

    experiment: Experiment
    source: bytes
    folder: Path
    backends: Mapping[str, type[Backend]]
    metrics: tuple[Metric, ...]
    given: Mapping[str, Any] = field(repr=False)
    _backend: Callable[[str, str], Backend] = field(init=False, repr=False, compare=False)
    _guest: Callable[[str], Guest] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_backend", lru_cache(_CACHED)(self._make_backend))
        object.__setattr__(self, "_guest", lru_cache(_CACHED)(self._make_guest))

    def axes(self, backend: str) -> Mapping[str, tuple[Level, ...]]:
        """Return the factors that apply to that backend, with their levels, in file order."""
        factors = self.experiment.factors.axes.items()
        return {path: levels for path, levels in factors if applies(path, backend)}

    @property
    def include(self) -> tuple[Entry, ...]:
        """The listed conditions, each for its ``backend``."""
        return included(self.experiment.factors, list(self.experiment.backends))

    @property
    def exclude(self) -> tuple[Entry, ...]:
        """The combinations that are left out, each for its ``backend``."""
        return excluded(self.experiment.factors, list(self.experiment.backends))

    def bind(self, backend: str, factors: Mapping[str, Level]) -> tuple[Backend, Guest]:
        """Return the backend and the guest at these levels; the same levels give the same objects.

        Raises: KeyError where the experiment has no such backend; ValidationError (a ``ValueError``) where
        a level is not one of the experiment's.
        """
        given = self.given["backends"]
        settings = given[backend] if isinstance(given, dict) else {}
        options = settings.get("options", {})
        guest: Mapping[str, Any] = merged(self.given.get("guest", {}), settings.get("guest", {}))
        for path, level in factors.items():
            name, keys = target(path)
            if name is None:
                guest = put(guest, keys, level)
            elif name == backend:
                options = put(options, keys, level)
        return self._backend(backend, json.dumps(options)), self._guest(json.dumps(guest))

    def _make_backend(self, name: str, options: str) -> Backend:
        kind = self.backends[name]
        return kind(name, kind.options_model.model_validate_json(options))

    def _make_guest(self, settings: str) -> Guest:
        spec = GuestSpec.model_validate_json(settings)
        if spec.machine is not None:
            return Guest(
                image=None,
                cpus=None,
                memory=None,
                ready=spec.ready,
                folder=self.folder,
                machine=spec.machine,
                attach=spec.attach,
                address=spec.address,
                ssh=spec.ssh,
            )
        return Guest(
            image=self.experiment.image(spec.image),
            cpus=spec.cpus,
            memory=spec.memory,
            pids=spec.pids,
            ready=spec.ready,
            command=spec.command,
            env=spec.env,
            boot=spec.boot,
            folder=self.folder,
            ssh=spec.ssh,
            reach=tuple(dict.fromkeys(port for metric in self.metrics for port in metric.ports())),
        )


def read(path: Path) -> Loaded:
    """Load a file; ``-`` is standard input.

    Raises: InputError with every fault; EngineError where the file is good and a plug-in cannot be imported.
    """
    try:
        if path == STDIN:
            return loads(sys.stdin.buffer.read(LARGEST + 1), "stdin", Path.cwd())
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise InputError(_unreadable(path, error)) from error
    if text.startswith(b"PK\x03\x04"):
        hint = "vmvc run takes it where it is a bundle"
        raise InputError(Fault("this is a ZIP file", str(path), hint=hint))
    return loads(text, str(path), path.absolute().parent)


def loads(text: bytes, source: str, folder: Path, *, references: bool = True) -> Loaded:
    """Load what a file holds; ``source`` is its name in messages, ``folder`` anchors its relative paths.

    Without ``references``, other runs that claims name are not looked at.

    Raises: InputError with every fault; EngineError where the text is good and a plug-in cannot be imported.
    """
    root, faults = read_tree(text, source)
    if root is None:
        raise InputError(faults)
    experiment, shape = judge(Experiment, root, source)
    found = crosscheck(root, source, folder if references else None)
    faults = in_order([*faults, *shape, *found.faults])
    if experiment is None or faults:
        raise InputError([*faults[:MOST], *([_more(source)] if len(faults) > MOST else [])])
    if found.missing:
        raise found.missing[0]
    metrics = tuple(found.measures.values())
    return Loaded(experiment, text, folder, found.backends, metrics, root.plain())


def _more(source: str) -> Fault:
    return Fault("there are more faults than these", source, hint="cure these first")


def _unreadable(path: Path, error: OSError | ValueError) -> Fault:
    match error:
        case FileNotFoundError():
            names = (file.name for file in path.parent.glob("*.y*ml")) if path.parent.is_dir() else ()
            tip = did_you_mean(path.name, names)
            return Fault("there is no such file", str(path), hint=tip if tip.startswith("did") else "")
        case IsADirectoryError():
            return Fault("this is a folder", str(path), hint="name the experiment file in it")
        case PermissionError():
            return Fault("this user may not read the file", str(path), hint=f"chmod +r {path}")
        case _:
            return Fault(f"the file cannot be read: {error}", str(path))
