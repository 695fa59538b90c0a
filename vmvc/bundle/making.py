"""A run's folder -> its bundle, written in one step."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from vmvc import durable
from vmvc.bundle import citation, claims, readme, software
from vmvc.bundle.archive import Archive
from vmvc.bundle.inputs import Input
from vmvc.bundle.judgement import doubts
from vmvc.bundle.material import Material, gather
from vmvc.errors import Fault, InputError, ResultsError, StorageError
from vmvc.unpacking import ABOUT, LOGS, METADATA, RUN, VERSION

LARGEST: Final = 64 * 2**20
"""Bytes up to which a file that the experiment names comes along."""


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle that was written.

    ``left``: files that did not come along; ``doubts``: what the bundle says against itself.
    """

    path: Path
    files: int
    left: tuple[Input, ...]
    doubts: tuple[Fault, ...]


def make(
    folder: Path,
    output: Path,
    *,
    authors: Sequence[str] = (),
    licence: str = "",
    as_it_is: bool = False,
    largest: int = LARGEST,
) -> Made:
    """Write a run's bundle; the same run, options and installed packages give the same bytes.

    ``as_it_is``: also where it is not finished, edited or without a success, which the bundle then tells.

    Raises: InputError naming all that speaks against the run; ResultsError where it cannot be read;
    StorageError where the file cannot be written.
    """
    licence = _spdx(licence)
    found = tuple(doubts(folder))
    if found and not as_it_is:
        more = Fault(
            "this run was not bundled",
            str(folder),
            hint="cure that, or add --as-it-is: the bundle then says it",
        )
        raise InputError([*found, more])
    stuff = gather(folder, authors=authors, licence=licence, doubts=found, largest=largest)
    try:
        with durable.writing(output) as file, zipfile.ZipFile(cast(IO[bytes], file.buffer), "w") as archive:
            bundle = Archive(archive)
            _fill(bundle, stuff)
            bundle.close()
    except OSError as error:
        raise StorageError(
            f"{error.filename or output}: {error.strerror or error}",
            hint="make room, or choose another --output",
        ) from error
    return Made(
        output, len(bundle.files), tuple(one for one in stuff.inputs.files if one.place is None), found
    )


def _fill(bundle: Archive, stuff: Material) -> None:
    from vmvc.bundle.crate import metadata

    bundle.folder(LOGS)
    for path in _run_files(stuff.folder):
        bundle.file(f"{RUN}/{path.relative_to(stuff.folder).as_posix()}", path)
    bundle.file(stuff.inputs.experiment, stuff.folder / "experiment.yaml")
    for one in stuff.inputs.files:
        if one.place is not None:
            bundle.file(one.place, one.source.resolve())
    bundle.text("README.md", readme.readme(stuff))
    bundle.text("CLAIMS.md", f"# Claims of {stuff.head.name}\n\n{claims.table_markdown(stuff)}")
    bundle.text("claims.csv", claims.table_csv(stuff))
    bundle.text("constraints.txt", software.constraints())
    bundle.text(citation.NAME, citation.of_run(stuff))
    bundle.text(f"software/{citation.NAME}", citation.of_vmvc())
    bundle.text("software/LICENSE", software.licence())
    bundle.text(ABOUT, _about(stuff))
    bundle.text(METADATA, metadata(stuff, bundle.files))


def _run_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run, but for hidden ones; a link is refused, since what it leads to is no result.

    Raises: ResultsError.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ResultsError(
                f"{path}: is a link, which no run makes", hint="remove it, or put the file in its place"
            )
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _about(stuff: Material) -> str:
    inputs = [
        {
            "path": one.path,
            "where": one.where,
            "place": one.place,
            "size": one.size,
            "sha256": one.sha256,
            "reason": one.reason,
            "note": one.note,
        }
        for one in stuff.inputs.files
    ]
    about = {
        "version": VERSION,
        "run": stuff.head.run,
        "name": stuff.head.name,
        "vmvc": stuff.facts.get("vmvc"),
        "experiment": stuff.inputs.experiment,
        "inputs": [{key: value for key, value in one.items() if value not in (None, "")} for one in inputs],
        "doubts": list(dict.fromkeys(one.what for one in stuff.doubts)),
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"


def _spdx(licence: str) -> str:
    """Return the identifier as SPDX writes it.

    Raises: InputError where it is none.
    """
    if not licence:
        return ""
    try:
        found = str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression as error:
        found = ""
        cause: Exception | None = error
    else:
        cause = None
    if not found or " " in found:
        raise InputError(
            Fault(
                f"--licence: expected one SPDX identifier, got {licence!r}",
                hint="such as CC-BY-4.0 or CC0-1.0",
            )
        ) from cause
    return found
