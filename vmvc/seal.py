"""summary.json, claims.json and their journal -> both again, without making them, where none was changed.

Intervals by bootstrap take seconds; what stands in the file already is the same to the byte. The seal is a
digest of the journal, of vmvc's version and of all else in the file, so a summary that is old, torn or edited
by hand does not fit it and is made anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

import vmvc
from vmvc.errors import ResultsError
from vmvc.records_claims import VERDICTS, VerdictRecord
from vmvc.records_summary import Summary


def sealed(summary: Summary, journal: Path) -> Summary:
    """Return the summary with its seal.

    Raises: ResultsError where the journal cannot be read.
    """
    try:
        with journal.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise ResultsError(f"{journal}: {error.strerror}") from error
    bare = summary.model_copy(update={"seal": ""})
    digest.update(f"\n{vmvc.__version__}\n{bare.model_dump_json(exclude_none=True)}".encode())
    return summary.model_copy(update={"seal": digest.hexdigest()})


def stored(folder: Path) -> Summary | None:
    """Return what summary.json says; ``None`` where it is not there, or not what was made of the journal.

    Raises: ResultsError where the journal cannot be read.
    """
    try:
        summary = Summary.model_validate_json((folder / "summary.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return summary if summary.seal and summary == sealed(summary, folder / "journal.jsonl") else None


def digest(text: str) -> str:
    """Return the digest by which a summary knows the verdicts that were made with it."""
    return hashlib.sha256(text.encode()).hexdigest()


def stored_verdicts(folder: Path) -> tuple[VerdictRecord, ...] | None:
    """Return what claims.json says; ``None`` where it is not there, or not what was made of the journal.

    Raises: ResultsError where the journal cannot be read.
    """
    try:
        text = (folder / "claims.json").read_text(encoding="utf-8")
        found = VERDICTS.validate_json(text)
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    summary = stored(folder)
    return found if summary is not None and summary.claims == digest(text) else None
