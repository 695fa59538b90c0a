"""A run's folder -> every place where its files do not fit their schemas or one another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from vmvc import checksums, journal, results, schema
from vmvc.errors import Fault, ResultsError


def audit(folder: Path) -> Iterator[Fault]:
    """Yield the faults of the folder's journal, summary and claims; none where all are as vmvc wrote them."""
    lines = folder / "journal.jsonl"
    found = False
    for fault in _faults_of_journal(lines):
        found = True
        yield fault
    if not found:
        judged = {"summary.json", "claims.json"}
        yield from (one for one in checksums.changed(folder) if Path(one.source).name not in judged)
        yield from _faults_of_derived(folder, "summary", _summary)
        yield from _faults_of_derived(folder, "claims", _claims)


def _summary(lines: Path) -> str:
    return results.made(lines)[0].model_dump_json(exclude_none=True, indent=1) + "\n"


def _claims(lines: Path) -> str:
    return results.claims_json(results.verdicts(lines))


def _faults_of_derived(folder: Path, name: str, make: Callable[[Path], str]) -> Iterator[Fault]:
    path = folder / f"{name}.json"
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    yield from _faults(Draft202012Validator(schema.SCHEMAS[name]()), text, str(path), None)
    try:
        again = make(folder / "journal.jsonl")
    except ResultsError as error:
        yield Fault(error.what, hint=error.hint)
    else:
        if text != again:
            hint = f"vmvc show --rebuild {folder}"
            yield Fault("is not what the journal says", str(path), hint=hint)


def _faults_of_journal(path: Path) -> Iterator[Fault]:
    validator = Draft202012Validator(schema.SCHEMAS["journal"]())
    try:
        journal.head(path)
    except ResultsError as error:
        yield Fault(error.what, hint=error.hint)
        return
    changed = set(journal.changed(path))
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if number in changed:
                what = "changed since it was written, or a line before it is gone"
                yield Fault(what, str(path), number, hint="restore the file from a copy")
            if not line.endswith("\n"):
                hint = f"vmvc run --resume {path.parent}"
                yield Fault("the last line is torn: the run was killed", str(path), number, hint=hint)
                return
            yield from _faults(validator, line, str(path), number)


def _faults(validator: Any, text: str, source: str, line: int | None) -> Iterator[Fault]:
    try:
        value = json.loads(text)
    except ValueError as error:
        yield Fault(f"is not JSON: {error}", source, line, hint="restore the file from a copy")
        return
    for wrong in sorted(validator.iter_errors(value), key=lambda wrong: list(map(str, wrong.absolute_path))):
        where = ".".join(str(part) for part in wrong.absolute_path)
        message = wrong.message if len(wrong.message) <= 300 else f"{wrong.message[:300]}..."
        yield Fault(f"{where}: {message}" if where else message, source, line)
