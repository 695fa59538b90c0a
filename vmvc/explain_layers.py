"""What stands below the application: hardware, systems, image, as recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from vmvc.explain_question import Question, joined
from vmvc.recorded import Recorded, size

SHORT: Final = 12
"""Characters of a digest that are shown."""


def _hardware(one: Recorded) -> str:
    threads, memory = one.of_host("threads"), one.find("host", "memory")
    return joined(
        one.of_host("cpu"),
        threads and f"{threads} threads",
        size(memory),
        "itself a virtual machine" if one.of_host("virtualised") == "yes" else "",
    )


def _host_system(one: Recorded) -> str:
    return joined(one.of_host("distribution"), one.of_host("kernel"))


def _virtualisation(one: Recorded) -> str:
    match one.isolation:
        case "none":
            one.find("backends", one.condition.backend, "isolation")
            return "none: a process of the host"
        case "container":
            engine, runtime = one.of_engine("version"), one.of_engine("runtime")
            by = f"{one.kind} {engine}, {runtime} {one.of_engine('runtime_version')}".strip(" ,")
            return f"{by}: the host's kernel keeps processes apart"
        case "vm":
            return _machine(one)
    return ""


def _machine(one: Recorded) -> str:
    path = ("backends", one.condition.backend, "facts")
    facts = one.find(*path)
    if not isinstance(facts, Mapping):
        return ""
    versions = [f"{key.removesuffix('_version')} {facts[key]}" for key in facts if key.endswith("version")]
    how = "emulated (tcg)" if one.emulated else str(facts.get("accelerator", ""))
    cpus, memory = one.asked("cpus"), one.asked("memory")
    virtual = f"a machine {facts.get('machine', '')} of {cpus} CPU and {size(memory)}".replace("  ", " ")
    return joined(", ".join(versions), how, virtual)


def _guest_system(one: Recorded) -> str:
    shared = one.constant("isolation.shares_kernel")
    if one.isolation in ("none", "container") and shared != 0:
        proof = ", proved by equal boot ids" if shared == 1 else ""
        kernel = one.of_host("kernel")
        return f"none of its own: the host's kernel {kernel}{proof}" if kernel else ""
    package, version = one.of_guest("kernel_package"), one.of_guest("kernel_version")
    if package:
        return f"a kernel of its own: {package} {version}".rstrip() + (", proved" if shared == 0 else "")
    return "a kernel of its own, proved by another boot id" if shared == 0 else ""


def _binaries(one: Recorded) -> str:
    if one.machine:
        return f"those of the machine {one.of_guest('existing_machine')}, which vmvc did not make"
    name = one.asked("image")
    if name is None:
        return ""
    path = ("experiment", "images", str(name))
    recipe = one.find(*path) if one.ask(*path) else None
    if not isinstance(recipe, Mapping):
        return joined(f"image {name}, built in", _digest(one))
    packages = recipe.get("packages")
    base = next((str(recipe[key]) for key in ("base", "oci", "disk") if key in recipe), "")
    with_ = f" with {' '.join(map(str, packages))}" if packages else ""
    return joined(f"image {name}: {base}{with_}", _digest(one))


def _digest(one: Recorded) -> str:
    """Return the beginning of the digest of the root file system, or else of the backend's image of it."""
    names = ("root_digest", "image_digest", "image")
    known = [name for name in names if one.ask("conditions", one.condition.id, "facts", name)]
    if not known:
        return ""
    return one.of_guest(known[0]).rpartition(":")[2][:SHORT]


def _application(one: Recorded) -> str:
    if one.machine:
        return f"what the machine {one.of_guest('existing_machine')} starts of itself"
    command = one.asked("command") or _list(one.of_guest("command"))
    if isinstance(command, list | tuple):
        return " ".join(map(str, command))
    # That no command is asked for is recorded, too.
    return "the image's own command" if one.find("experiment", "guest") is not None else ""


def _list(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


LAYERS: Final = (
    Question("hardware", "What all of it runs on.", _hardware),
    Question("host system", "The system that the hardware boots.", _host_system),
    Question("virtualisation layer", "What stands between guest and host.", _virtualisation),
    Question("guest OS", "The kernel that the application calls.", _guest_system),
    Question("binaries", "Programs and libraries: the root file system, and its digest.", _binaries),
    Question("application", "The command that is run.", _application),
)
