"""What all shapes on disk share: their version, their base and a finding.

Field names are the keys of the files; descriptions go into ``schemas/`` and the README. A missing value is an
absent key or an entry under ``absent``, never 0. The shapes are in ``records_journal``, ``records_summary``,
``records_claims`` and so on, a file each.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from vmvc.contract import Finding
from vmvc.units import UNITS

VERSION: Final = 1
"""Version of every file in a run's folder; a folder of another version is refused."""
UNIT: Final = "One of " + ", ".join(f"`{unit}`" for unit in UNITS) + "."


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FindingRecord(Record):
    """Something that may spoil a number."""

    code: str = Field(description="Stable name of the finding.")
    severity: Literal["info", "warning", "error"] = Field(description="How bad it is.")
    what: str = Field(description="What was found.")
    remedy: str = Field(default="", description="What to do about it.")

    @classmethod
    def of(cls, finding: Finding) -> FindingRecord:
        return cls(
            code=finding.code, severity=finding.severity.value, what=finding.what, remedy=finding.remedy
        )
