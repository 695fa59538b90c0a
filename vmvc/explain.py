"""A run's records -> the lesson's tables for this host: layers, comparison, mechanisms; no engine is asked.

Every cell is either what was recorded, with its place, or the reason why it is not known. What a word of the
lesson means here is said once, in the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from vmvc import confinement, journal, results
from vmvc.conditions import conditions_of
from vmvc.errors import ResultsError
from vmvc.plan import Condition
from vmvc.recorded import Make, Recorded, size
from vmvc.records_explain import Explained, ExplainedCell, ExplainedColumn, ExplainedRow, ExplainedTable
from vmvc.records_journal import RunRecord
from vmvc.records_summary import Summary
from vmvc.runs import facts_of

MOST: Final = 8
"""Conditions up to which each has a column; of more, the first of each backend has."""
SHORT: Final = 12
"""Characters of a digest that are shown."""
EMULATED: Final = (
    "{} ran emulated (tcg), without hardware virtualisation: its times are not those of a VM on KVM"
)


class Question(NamedTuple):
    """One row before it is filled: a text from records, or one figure."""

    name: str
    says: str
    answer: Make | str


def explained(folder: Path) -> Explained:
    """Return the tables of a run's folder.

    Raises: ResultsError.
    """
    head, summary = journal.head(folder / "journal.jsonl"), results.summary_of(folder)
    try:
        return tables(head, facts_of(folder), summary)
    except ResultsError as error:
        made = tables(head, {}, summary)
        return made.model_copy(update={"notes": (f"facts of host and engines: {error.what}", *made.notes)})


def tables(head: RunRecord, about: Mapping[str, Any], summary: Summary) -> Explained:
    """Return the tables from what is read already; ``about``: run.json, empty where there is none."""
    conditions, notes = _columns(head)
    rows = {(row.condition, f"{row.metric}.{row.quantity}"): row for row in summary.rows}
    columns = [Recorded(about, rows, condition) for condition in conditions]
    described = tuple(_column(one) for one in columns)
    emulated = dict.fromkeys(one.backend for one in described if one.emulated)
    notes += [EMULATED.format(" and ".join(emulated))] if emulated else []
    if summary.measured < summary.trials:
        notes.append(f"{summary.measured} of {summary.trials} planned trials are measured")
    return Explained(
        run=head.run,
        name=head.name,
        columns=described,
        tables=tuple(
            ExplainedTable(
                name=name,
                title=title,
                rows=tuple(
                    ExplainedRow(
                        name=row.name, says=row.says, cells=tuple(_cell(one, row.answer) for one in columns)
                    )
                    for row in questions
                ),
            )
            for name, title, questions in (
                ("layers", "What stands below the application", LAYERS),
                ("comparison", "What it costs and what it gives", COMPARISON),
                ("mechanisms", "Namespaces, cgroups and union file system, as found", MECHANISMS),
            )
        ),
        notes=tuple(notes),
    )


def _columns(head: RunRecord) -> tuple[Sequence[Condition], list[str]]:
    first: dict[str, Condition] = {}
    few: list[Condition] = []
    count = 0
    for condition in conditions_of(head):
        count += 1
        first.setdefault(condition.backend, condition)
        if count <= MOST:
            few.append(condition)
    if count <= MOST:
        return few, []
    note = f"of {count} conditions the first of each backend is shown; summary.csv has all"
    return list(first.values()), [note]


def _column(one: Recorded) -> ExplainedColumn:
    return ExplainedColumn(
        condition=one.condition.id,
        backend=one.condition.backend,
        kind=one.kind,
        isolation=one.isolation,
        emulated=_emulated(one),
    )


def _emulated(one: Recorded) -> bool:
    return one.ask("backends", one.condition.backend, "facts", "emulated") == "yes"


def _cell(one: Recorded, answer: Make | str) -> ExplainedCell:
    return one.number(answer) if isinstance(answer, str) else one.cell(answer)


def _all(*parts: str, between: str = ", ") -> str:
    return between.join(filter(None, parts))


# --- layers -----------------------------------------------------------------------------------------------


def _hardware(one: Recorded) -> str:
    threads, memory = one.of_host("threads"), one.find("host", "memory")
    return _all(
        one.of_host("cpu"),
        threads and f"{threads} threads",
        size(memory),
        "itself a virtual machine" if one.of_host("virtualised") == "yes" else "",
    )


def _host_system(one: Recorded) -> str:
    return _all(one.of_host("distribution"), one.of_host("kernel"))


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
    how = "emulated (tcg)" if _emulated(one) else str(facts.get("accelerator", ""))
    cpus, memory = one.asked("cpus"), one.asked("memory")
    virtual = f"a machine {facts.get('machine', '')} of {cpus} CPU and {size(memory)}".replace("  ", " ")
    return _all(", ".join(versions), how, virtual)


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
        return _all(f"image {name}, built in", _digest(one))
    packages = recipe.get("packages")
    base = next((str(recipe[key]) for key in ("base", "oci", "disk") if key in recipe), "")
    with_ = f" with {' '.join(map(str, packages))}" if packages else ""
    return _all(f"image {name}: {base}{with_}", _digest(one))


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


# --- comparison -------------------------------------------------------------------------------------------


def _portability(one: Recorded) -> str:
    """Say what the guest needs elsewhere, as far as it is recorded: it is not tried."""
    platform, cpu = one.of_guest("image_platform"), one.of_host("architecture")
    match one.isolation:
        case "none":
            return f"files for {cpu} and a Linux kernel; no limit, no image format" if cpu else ""
        case "container":
            return f"an engine for OCI images and a Linux kernel for {platform or cpu}" if platform else ""
        case "vm":
            kernel = one.of_guest("kernel_package")
            brings = f"; brings its kernel {kernel}" if kernel else "; brings its kernel on its disk"
            return f"a hypervisor for {cpu} machines{brings}" if cpu else ""
    return ""


def _security(one: Recorded) -> str:
    shared = one.constant("isolation.shares_kernel")
    own = [one.constant(f"isolation.{name}_ns") for name in confinement.NAMESPACES]
    if shared is None or None in own:
        return ""
    seccomp, capabilities = one.constant("isolation.seccomp"), one.constant("isolation.capabilities")
    mapped, lsm = one.constant("isolation.user_mapped"), one.constant("isolation.lsm")
    return _all(
        "shares the host's kernel" if shared else "its own kernel",
        f"{sum(one == 1 for one in own)} of {len(own)} namespaces apart",
        "" if seccomp is None else f"seccomp {('off', 'strict', 'filter')[int(seccomp)]}",
        "" if capabilities is None else f"{capabilities:.0f} capabilities",
        "" if mapped is None else ("root is not" if mapped else "root is") + " root on the host",
        "" if lsm is None else "confined by an LSM" if lsm else "no LSM",
    )


COMPARISON: Final = (
    Question("start-up", "Time from request until it answers: median and 95% interval.", "startup.ready"),
    Question("memory", "Proportional share of its own processes (PSS).", "memory.pss"),
    Question("size", "Blocks on the host for it and all that it stands on.", "disk.allocated"),
    Question("size of one more", "Blocks that only this instance takes.", "disk.unique"),
    Question("density", "How many this host's memory would carry, predicted.", "density.capacity"),
    Question("density, tried", "How many ran at the same time.", "density.instances"),
    Question("portability", "What it needs elsewhere; told, not tried.", _portability),
    Question(
        "security",
        "What stands between guest and host (of a machine: its hypervisor too); nothing was attacked.",
        _security,
    ),
)


# --- mechanisms -------------------------------------------------------------------------------------------


def _namespace(name: str) -> Callable[[Recorded], str]:
    def say(one: Recorded) -> str:
        own = one.constant(f"isolation.{name}_ns")
        if own is None:
            return ""
        if own and one.constant("isolation.shares_kernel") == 0:
            return "apart, by a kernel of its own"
        return "its own" if own else "the host's"

    return say


def _cgroups(one: Recorded) -> str:
    layout = one.of_host("cgroup")
    if one.isolation == "none":
        return f"none of its own; the host's are {layout}" if layout else ""
    version, driver = one.of_engine("cgroup_version"), one.of_engine("cgroup_driver")
    if version:
        return _all(
            f"v{version.removeprefix('v')}", driver and f"driver {driver}", layout and f"host {layout}"
        )
    if one.figure("memory.cgroup_current") is not None:
        return _all("its hypervisor has a cgroup", layout and f"host {layout}")
    return ""


def _limits(one: Recorded) -> str:
    cpus, memory = one.asked("cpus"), one.asked("memory")
    if cpus is None or memory is None:
        return ""
    asked = f"{cpus} CPU, {size(memory)}"
    match one.isolation:
        case "none":
            return f"none: {asked} are asked for and not held"
        case "container":
            return f"{asked}, by cgroups"
        case "vm":
            return f"{asked}, as the machine's own size"
    return ""


def _kept(one: Recorded) -> str:
    """Say what hogs received where they asked for more."""
    received, reached = one.figure("limits.cpu_received"), one.figure("limits.memory_reached")
    if received is None and reached is None:
        return ""
    killed = one.figure("limits.memory_killed")
    end = "" if killed is None else " and was killed" if killed else " and was refused more"
    pids = one.figure("limits.pids_reached")
    return _all(
        "" if received is None else f"busy loops got {received:.2f} CPU",
        "" if reached is None else f"one program got {size(reached)}{end}",
        "" if pids is None else f"{pids:.0f} processes were started",
    )


def _union(one: Recorded) -> str:
    driver = one.of_engine("storage_driver")
    if driver:
        on, store = one.of_engine("storage_filesystem"), one.of_engine("image_store")
        return _all(f"{driver}{f' on {on}' if on else ''}", store and f"image store: {store}")
    if one.isolation == "none":
        roots = {
            "overlay": "overlay over the unpacked image",
            "copy": "none: every instance copies the image",
            "host": "none: the host's own files",
        }
        return roots.get(one.of_guest("root"), "")
    xml = one.of_guest("domain_xml")
    if not xml:
        return ""
    if "<backingStore" in xml:
        return "none in the guest: each machine has a qcow2 overlay on a read-only disk"
    return "none: its root file system is in its memory (initramfs)"


def _mechanisms() -> Iterator[Question]:
    for name in confinement.NAMESPACES:
        yield Question(f"{name} namespace", "Whether it is the guest's own.", _namespace(name))
    yield Question("cgroups", "How the host's kernel accounts for it.", _cgroups)
    yield Question("limits", "What is asked for, and what holds it.", _limits)
    yield Question("limits, tried", "What hogs in the guest received that asked for more.", _kept)
    yield Question("union file system", "How instances share one image.", _union)


MECHANISMS: Final = tuple(_mechanisms())
