"""Who made a thing, as a name and as labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LABEL: Final = "vmvc"
"""Label, metadata prefix and name prefix of everything that vmvc makes."""


@dataclass(frozen=True, slots=True)
class Tag:
    """Who made a thing: its run, its trial (0: not of a trial), its owner ``host:pid:start``, and its member.

    ``member``: 0 for the trial's own instance, from 2 up for the further ones of a fleet. Everything that a
    backend makes carries the tag, so that a dead run can be swept without harm to others.
    """

    run: str
    trial: int
    owner: str
    member: int = 0

    @property
    def name(self) -> str:
        """A name that is safe as container, domain, file and host name: ``vmvc-RUN-TRIAL``, then ``-mN``."""
        return f"{LABEL}-{self.run}-{self.trial}" + (f"-m{self.member}" if self.member else "")

    def labels(self) -> dict[str, str]:
        """Return the tag as text; those of a trial's own instance are among those of its members too.

        So whoever looks for labels must compare tags, not labels.
        """
        return {
            LABEL: "instance",
            f"{LABEL}.run": self.run,
            f"{LABEL}.trial": str(self.trial),
            f"{LABEL}.owner": self.owner,
            **({f"{LABEL}.member": str(self.member)} if self.member else {}),
        }

    def same_trial(self, other: Tag) -> bool:
        """Say whether both are of one trial: its own instance or a member of its fleet."""
        return (self.run, self.trial, self.owner) == (other.run, other.trial, other.owner)

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Tag | None:
        """Read back ``labels``; ``None`` where they are not those of a tag."""
        try:
            tag = cls(
                run=labels[f"{LABEL}.run"],
                trial=int(labels[f"{LABEL}.trial"]),
                owner=labels[f"{LABEL}.owner"],
                member=int(labels.get(f"{LABEL}.member", "0")),
            )
        except (KeyError, ValueError):
            return None
        return tag if labels.get(LABEL) == "instance" else None
