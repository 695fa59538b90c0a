"""A run's material -> README.md of its bundle: what it is, what to expect, and how to measure again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import vmvc
from vmvc.attempts import troubles
from vmvc.bundle import citation
from vmvc.bundle.claims import cell, table_markdown
from vmvc.bundle.inputs import Input
from vmvc.bundle.material import Material
from vmvc.units import show_bytes, show_seconds
from vmvc.unpacking import ABOUT, DIGESTS, METADATA

_HOST: Final = (
    "distribution",
    "kernel",
    "architecture",
    "hardware",
    "virtualised",
    "cpu",
    "cores",
    "threads",
    "memory",
)
_ENGINE: Final = (
    "version",
    "runtime",
    "runtime_version",
    "qemu_version",
    "libvirt_version",
    "accelerator",
    "emulated",
)


def readme(stuff: Material) -> str:
    """Return the text, in Markdown."""
    return "\n".join(_lines(stuff)).rstrip() + "\n"


def _lines(stuff: Material) -> Iterator[str]:
    summary = stuff.summary
    yield f"# {cell(stuff.title)}"
    yield ""
    yield (
        f"Run `{stuff.head.run}` of the experiment `{stuff.head.name}`, measured by vmvc "
        f"{cell(_version(stuff))}: {summary.measured} trials measured, {summary.failed} failed"
        f"{troubles(0, summary.cleanup_failed)}, of {summary.trials}. "
        f"It began at {stuff.begin:%Y-%m-%d %H:%M} UTC and took "
        f"{show_seconds((stuff.end - stuff.begin).total_seconds())}."
    )
    if stuff.doubts:
        yield from ("", "**This run was bundled although:**", "")
        yield from (
            f"- {cell(_bare(stuff, str(one.where)))}: {cell(_bare(stuff, one.what))}" for one in stuff.doubts
        )
    yield from ("", "## Claims", "", table_markdown(stuff).rstrip())
    yield from ("", "## Measure again", "")
    yield from _again(stuff)
    yield from ("", "## Images", "")
    yield from _images(stuff)
    yield from ("", "## Host and engines", "")
    yield from _surroundings(stuff)
    yield from ("", "## Files", "")
    yield from _files(stuff)


def _again(stuff: Material) -> Iterator[str]:
    yield "1. Install vmvc, with the versions that the bundle was made with:"
    yield f"   `pip install 'vmvc[libvirt]=={vmvc.__version__}' -c constraints.txt`"
    yield "2. `vmvc doctor` says which engines work here, and what cures the others."
    yield "3. `vmvc run BUNDLE` runs the experiment again and compares the new run with this one."
    yield "   `vmvc show BUNDLE`, `vmvc claims BUNDLE` and `vmvc compare BUNDLE RUN` only read it."
    for one in stuff.inputs.files:
        if one.place is None:
            yield f"4. {_missing(one)}"


def _missing(one: Input) -> str:
    about = [] if one.sha256 is None else [f"sha256 `{one.sha256}`"]
    about += [] if one.size is None else [show_bytes(one.size)]
    told = f" ({', '.join(about)})" if about else ""
    return (
        f"Not in the bundle: `{_code(one.path)}` of `{one.where}`{told}: {cell(one.reason)}. "
        "Put it where the experiment names it."
    )


def _images(stuff: Material) -> Iterator[str]:
    experiment = stuff.facts.get("experiment")
    images = experiment.get("images") if isinstance(experiment, dict) else None
    if isinstance(images, dict) and images:
        for name, recipe in images.items():
            yield f"- `{name}`: `{_code(json.dumps(recipe, ensure_ascii=False))}`"
    else:
        yield "- `tiny`, built in: static busybox with a web server"
    yield from ("", "| condition | image as it was measured |", "|---|---|")
    conditions = stuff.facts.get("conditions")
    for condition, about in (conditions if isinstance(conditions, dict) else {}).items():
        facts = about.get("facts", {}) if isinstance(about, dict) else {}
        told = ", ".join(f"{key} `{_code(str(value))}`" for key, value in facts.items() if _names_image(key))
        yield f"| {cell(condition)} | {told or 'not known'} |"


def _names_image(key: str) -> bool:
    return "digest" in key or "kernel" in key or key in ("image", "image_id", "disk", "disk_format")


def _surroundings(stuff: Material) -> Iterator[str]:
    yield from ("| | |", "|---|---|")
    host = stuff.facts.get("host")
    yield from _table("host", host if isinstance(host, dict) else {}, _HOST)
    for name, about in stuff.backends.items():
        facts = about.get("facts")
        yield f"| {name} | {cell(str(about.get('kind')))}, isolation {cell(str(about.get('isolation')))} |"
        yield from _table(name, facts if isinstance(facts, dict) else {}, _ENGINE)
    yield from ("", "`run/run.json` has all of it.")


def _table(name: str, facts: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        if key in facts:
            value = (
                show_bytes(facts[key]) if key == "memory" and isinstance(facts[key], int) else str(facts[key])
            )
            yield f"| {name}, {key.replace('_', ' ')} | {cell(value)} |"


def _files(stuff: Material) -> Iterator[str]:
    yield from ("| file | content |", "|---|---|")
    yield "| `run/` | the run's folder, as `vmvc run` left it; start with `run/report.html` |"
    yield f"| `{stuff.inputs.experiment}` | the experiment, where its paths lead to its files |"
    for one in stuff.inputs.files:
        if one.place is not None:
            note = f"; {one.note}" if one.note else ""
            yield f"| `{_code(one.place)}` | `{one.where}`, sha256 `{one.sha256}`{note} |"
    yield "| `CLAIMS.md`, `claims.csv` | each claim, its command, what to expect and the tolerance |"
    yield "| `constraints.txt` | versions of the Python packages |"
    yield f"| `{citation.NAME}` | how to cite this run |"
    yield f"| `software/` | licence and {citation.NAME} of vmvc |"
    licence = f"`{stuff.licence}`" if stuff.licence else "not stated: ask who made it before you publish it"
    yield f"| `{METADATA}` | metadata: a Process Run Crate (RO-Crate 1.1). Licence of the run: {licence} |"
    yield f"| `{ABOUT}`, `{DIGESTS}` | for `vmvc run BUNDLE`; `sha256sum -c {DIGESTS}` checks every file |"


def _version(stuff: Material) -> str:
    return str(stuff.facts.get("vmvc", "of an unknown version"))


def _bare(stuff: Material, text: str) -> str:
    """Leave out where the run lay on the machine of who made the bundle."""
    return text.replace(f"{stuff.folder}/", "").replace(str(stuff.folder), "the run")


def _code(text: str) -> str:
    """Return text that can stand between backquotes, in a table too."""
    return "".join(one if one.isprintable() and one != "`" else " " for one in text).replace("|", "\\|")
