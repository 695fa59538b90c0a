"""What may spoil a number, as data with a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """``info``: worth knowing; ``warning``: may spoil a number; ``error``: nothing can run."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may spoil a number (or stop the run), with its remedy.

    ``code`` is stable and machine-readable (``docker.unreachable``); ``remedy`` is one action.
    """

    code: str
    severity: Severity
    what: str
    remedy: str = ""
