"""A run's material and the files of its bundle -> ro-crate-metadata.json.

Source: RO-Crate 1.1 and the Process Run Crate profile 0.5 (https://w3id.org/ro/wfrun/process/0.5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from docker.auth import resolve_repository_name
from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.model.person import Person
from rocrate.model.softwareapplication import SoftwareApplication
from rocrate.rocrate import ROCrate

from vmvc.attempts import troubles
from vmvc.bundle import citation
from vmvc.bundle.archive import Kept
from vmvc.bundle.material import Material
from vmvc.spec import OciImage
from vmvc.unpacking import ABOUT, LOGS, RUN

PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
TERMS: Final = "https://w3id.org/ro/terms/workflow-run/context"
SPDX: Final = "https://spdx.org/licenses"
_VERSIONS: Final = ("version", "qemu_version", "libvirt_version")
_TYPES: Final = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
    ".cff": "application/yaml",
    ".md": "text/markdown",
    ".html": "text/html",
    ".txt": "text/plain",
}
_SAYS: Final = {
    f"{RUN}/experiment.yaml": "The experiment, byte for byte as given",
    f"{RUN}/run.json": "Resolved experiment, plan, seed, host, engines, image digests, findings",
    f"{RUN}/journal.jsonl": "The record: one line for each attempt at a trial",
    f"{RUN}/measurements.csv": "One reading a row",
    f"{RUN}/iterations.csv": "One iteration within a trial a row",
    f"{RUN}/summary.json": "Statistics per condition and quantity, comparisons, trends and findings",
    f"{RUN}/summary.csv": "Statistics per condition and quantity",
    f"{RUN}/claims.json": "Verdicts on the claims",
    f"{RUN}/report.html": "The report for people",
    f"{RUN}/report.md": "The report in Markdown",
    "README.md": "What this is and how to measure it again",
    "CLAIMS.md": "Claim, command, expectation and tolerance",
    "claims.csv": "Claim, command, expectation and tolerance, with figures",
    "constraints.txt": "Versions of the Python packages",
    "CITATION.cff": "How to cite this run",
    "software/CITATION.cff": "How to cite vmvc",
    "software/LICENSE": "Licence of vmvc",
    ABOUT: "What vmvc needs to run this again",
}


def metadata(stuff: Material, files: Mapping[str, Kept]) -> str:
    """Return the metadata of a bundle with these files."""
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    _root(crate, stuff)
    entities = {name: _file(crate, name, kept) for name, kept in files.items() if not name.startswith(LOGS)}
    about = {"name": "logs", "description": "What guests printed, and the last words of the worker"}
    entities[LOGS] = crate.add_dataset(dest_path=LOGS, properties=about)
    used = [
        entity
        for name, entity in entities.items()
        if name == stuff.inputs.experiment or name.startswith("inputs/")
    ]
    made = [
        entity for name, entity in entities.items() if name.startswith(f"{RUN}/") and "experiment" not in name
    ]
    counts = stuff.summary
    status = "Failed" if stuff.doubts else "Completed"
    action = crate.add_action(
        _software(crate, stuff),
        identifier=f"#run-{stuff.head.run}",
        object=_one_or_all(used),
        result=_one_or_all(made),
        properties={
            "@type": "CreateAction",
            "name": f"Run {stuff.head.run} of the experiment {stuff.head.name}",
            "description": f"{counts.measured} trials measured, {counts.failed} failed"
            f"{troubles(0, counts.cleanup_failed)}, of {counts.trials}",
            "startTime": stuff.begin.isoformat(timespec="seconds"),
            "endTime": stuff.end.isoformat(timespec="seconds"),
            "actionStatus": f"http://schema.org/{status}ActionStatus",
        },
    )
    crate.root_dataset["mentions"] = action
    if stuff.doubts:
        action["error"] = "; ".join(dict.fromkeys(one.what for one in stuff.doubts))
    people = [
        crate.add(Person(crate, f"#author-{number}", {"name": name}))
        for number, name in enumerate(stuff.authors, 1)
    ]
    if people:
        crate.root_dataset["author"] = _one_or_all(people)
        action["agent"] = people[0]
    images = list(_container_images(crate, stuff))
    if images:
        action["containerImage"] = _one_or_all(images)
    return json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _root(crate: ROCrate, stuff: Material) -> None:
    root = crate.root_dataset
    root["name"] = f"{stuff.title} (run {stuff.head.run})"
    root["description"] = (
        f"One run of the vmvc experiment {stuff.head.name}: {', '.join(stuff.head.axes)} side by side on one "
        "host. Experiment, journal of every trial, results, report and environment."
    )
    root["datePublished"] = stuff.end.isoformat(timespec="seconds")
    root["license"] = _licence(crate, stuff)
    about = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    root["conformsTo"] = crate.add(ContextEntity(crate, PROFILE, about))
    root["identifier"] = stuff.head.run


def _licence(crate: ROCrate, stuff: Material) -> Entity:
    if stuff.licence:
        about = {
            "@type": "CreativeWork",
            "name": stuff.licence,
            "description": f"SPDX licence {stuff.licence}",
        }
        return crate.add(ContextEntity(crate, f"{SPDX}/{stuff.licence}", about))
    says = "Nobody stated a licence: ask who made the run before you publish it"
    about = {"@type": "CreativeWork", "name": "not stated", "description": says}
    return crate.add(ContextEntity(crate, "#licence", about))


def _file(crate: ROCrate, name: str, kept: Kept) -> Entity:
    about: dict[str, Any] = {
        "name": PurePosixPath(name).name,
        "contentSize": str(kept.size),
        "sha256": kept.sha256,
        "encodingFormat": _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream"),
    }
    if name in _SAYS:
        about["description"] = _SAYS[name]
    return crate.add_file(dest_path=name, properties=about)


def _software(crate: ROCrate, stuff: Material) -> Entity:
    version = str(stuff.facts.get("vmvc", "unknown"))
    vmvc = crate.add(
        SoftwareApplication(
            crate,
            _package("vmvc", version),
            {
                "name": citation.TITLE,
                "description": citation.ABSTRACT,
                "softwareVersion": version,
                "license": f"{SPDX}/{citation.LICENCE}",
            },
        )
    )
    engines = list(_engines(crate, stuff))
    if engines:
        vmvc["softwareRequirements"] = _one_or_all(engines)
    return vmvc


def _engines(crate: ROCrate, stuff: Material) -> Iterator[Entity]:
    seen = set()
    for about in stuff.backends.values():
        facts = about.get("facts")
        facts = facts if isinstance(facts, dict) else {}
        versions = {key: str(facts[key]) for key in _VERSIONS if key in facts}
        name = _package(str(about.get("kind")), *versions.values())
        if versions and name not in seen:
            seen.add(name)
            told = {
                "name": str(about.get("kind")),
                "description": ", ".join(f"{key} {value}" for key, value in versions.items()),
                "softwareVersion": "; ".join(versions.values()),
            }
            yield crate.add(SoftwareApplication(crate, name, told))


def _package(name: str, *versions: str) -> str:
    """Return the package URL of a software that lives in no registry."""
    return f"pkg:generic/{quote(name)}@{quote('-'.join(versions), safe='')}"


def _one_or_all(entities: Sequence[Entity]) -> Entity | Sequence[Entity]:
    """Return what compacted JSON-LD holds: a single one stands without a list."""
    return entities[0] if len(entities) == 1 else entities


def _container_images(crate: ROCrate, stuff: Material) -> Iterator[Entity]:
    for name, image in stuff.loaded.experiment.images.items():
        if isinstance(image, OciImage):
            reference, _, digest = image.oci.partition("@sha256:")
            registry, path = resolve_repository_name(reference)
            path, _, tag = path.partition(":")
            about = {
                "@type": "ContainerImage",
                "additionalType": {"@id": "https://w3id.org/ro/terms/workflow-run#DockerImage"},
                "registry": registry,
                "name": path,
                **({"tag": tag} if tag else {}),
                **({"sha256": digest} if digest else {}),
            }
            yield crate.add(ContextEntity(crate, f"#image-{name}", about))
