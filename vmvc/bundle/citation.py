"""How to cite vmvc, and a template of how to cite a run: Citation File Format 1.2."""

from __future__ import annotations

from typing import Any, Final

import yaml

import vmvc
from vmvc.bundle.material import Material

NAME: Final = "CITATION.cff"
TITLE: Final = "vmvc: virtual machine versus container"
ABSTRACT: Final = (
    "Declarative experiments that compare virtual machines, containers and the bare host on real engines, "
    "with numbers that can be defended."
)
LICENCE: Final = "Apache-2.0"
AUTHORS: Final = "The vmvc authors"
UNNAMED: Final = "AUTHORS OF THIS RUN"


def of_vmvc() -> str:
    """Return the project's own CITATION.cff."""
    return _dump(
        {
            "cff-version": "1.2.0",
            "message": "If you use vmvc, please cite it as below.",
            **_software(),
            "abstract": ABSTRACT,
            "license": LICENCE,
            "keywords": ["benchmark", "container", "virtual machine", "reproducibility", "teaching"],
        }
    )


def of_run(stuff: Material) -> str:
    """Return a CITATION.cff for the run; who was named by nobody is to be filled in."""
    about: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these measurements, please cite them as below.",
        "type": "dataset",
        "title": f"{stuff.title} (run {stuff.head.run})",
        "authors": [{"name": name} for name in stuff.authors or (UNNAMED,)],
        "date-released": stuff.end.date().isoformat(),
        "version": stuff.head.run,
        "keywords": ["benchmark", *stuff.backends],
        "references": [_software() | {"version": str(stuff.facts.get("vmvc", vmvc.__version__))}],
    }
    if stuff.licence:
        about["license"] = stuff.licence
    head = "" if stuff.authors else "# A template: name the authors, then cite it.\n"
    return head + _dump(about)


def _software() -> dict[str, Any]:
    return {
        "type": "software",
        "title": TITLE,
        "authors": [{"name": AUTHORS}],
        "version": vmvc.__version__,
    }


def _dump(about: dict[str, Any]) -> str:
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)
