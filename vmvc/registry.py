"""A name -> the class of a backend or metric: a built-in table first, then entry points.

Nothing is imported until it is asked for, so one missing SDK breaks only what needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final, TypeVar

from vmvc.contract import Backend, Metric
from vmvc.errors import EngineError, MissingSdk

BACKENDS: Final[Mapping[str, str]] = {
    "docker": "vmvc.backends.docker:DockerBackend",
    "fake": "vmvc.backends.fake:FakeBackend",
    "libvirt": "vmvc.backends.libvirt:LibvirtBackend",
    "process": "vmvc.backends.process:ProcessBackend",
    "virtualbox": "vmvc.backends.virtualbox:VirtualBoxBackend",
}
METRICS: Final[Mapping[str, str]] = {
    "boot": "vmvc.metrics.boot:Boot",
    "burst": "vmvc.metrics.burst:Burst",
    "density": "vmvc.metrics.density:Density",
    "disk": "vmvc.metrics.disk:Disk",
    "energy": "vmvc.metrics.energy:Energy",
    "interference": "vmvc.metrics.interference:Interference",
    "isolation": "vmvc.metrics.isolation:Isolation",
    "limits": "vmvc.metrics.limits:Limits",
    "memory": "vmvc.metrics.memory:Memory",
    "shutdown": "vmvc.metrics.shutdown:Shutdown",
    "startup": "vmvc.metrics.startup:Startup",
    "workload": "vmvc.metrics.workload:Workload",
}
SDKS: Final[Mapping[str, str]] = {"docker": "vmvc", "libvirt": "vmvc[libvirt]"}
"""Top-level module of an SDK -> the requirement that installs it."""

_Plugin = TypeVar("_Plugin", Backend, Metric)


def backend_kinds() -> tuple[str, ...]:
    """Return the names of all backends, built in and third party, sorted."""
    return _names(BACKENDS, "vmvc.backends")


def metric_names() -> tuple[str, ...]:
    """Return the names of all metrics, built in and third party, sorted."""
    return _names(METRICS, "vmvc.metrics")


def backend_class(kind: str) -> type[Backend]:
    """Import the backend of that kind.

    Raises: KeyError where there is none; MissingSdk, EngineError where it cannot be imported.
    """
    return _load(kind, BACKENDS, "vmvc.backends", Backend)  # type: ignore[type-abstract]


def metric_class(name: str) -> type[Metric]:
    """Import the metric of that name.

    Raises: KeyError where there is none; MissingSdk, EngineError where it cannot be imported.
    """
    return _load(name, METRICS, "vmvc.metrics", Metric)  # type: ignore[type-abstract]


def _points(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _names(table: Mapping[str, str], group: str) -> tuple[str, ...]:
    return tuple(sorted({*table, *_points(group)}))


def _load(name: str, table: Mapping[str, str], group: str, base: type[_Plugin]) -> type[_Plugin]:
    try:
        if name in table:
            module, _, attribute = table[name].partition(":")
            found = getattr(import_module(module), attribute)
        else:
            found = _points(group)[name].load()
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        raise MissingSdk(
            f"'{name}' needs the Python package '{top}', which is not installed",
            hint=f"pip install '{SDKS.get(top, top)}'",
        ) from error
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"the plug-in '{name}' cannot be imported: {error}", hint="reinstall the package that provides it"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise EngineError(
            f"the plug-in '{name}' is not a {base.__name__}", hint="report it to the package that provides it"
        )
    return found
