"""vmvc: virtual machine versus container, as declarative experiments on real engines.

Reading order for a newcomer: ``spec`` (what a file may say), ``contract`` (what a plug-in is), ``plan``
(what will run), ``trial`` (how one life of an instance runs), ``runner`` (the loop), ``journal`` and
``results`` (what is kept), ``claims`` (what it says), ``cli`` (the commands).

``load``, ``run``, ``load_experiment``, ``Experiment`` and ``Run`` are for code and notebooks; they are
imported when they are asked for (``api``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmvc.api import Run, load, load_experiment, run
    from vmvc.spec import Experiment

__all__ = ["Experiment", "Run", "__version__", "load", "load_experiment", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("vmvc.api"), name)
