"""A guest that is a machine which exists already -> what its numbers must not be taken for."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.contract import Finding, Guest, Severity


def findings(guest: Guest) -> Iterator[Finding]:
    """Say that such a machine is not the image of the others, and what one that runs on does not show."""
    if guest.machine is None:
        return
    yield Finding(
        "guest.existing-machine",
        Severity.WARNING,
        f"the machine {guest.machine!r} exists already: its system, CPUs, memory and disks are its own, not "
        "the image, CPUs and memory that the other backends have",
        "compare it with them as one whole with another, or run the same image on all backends",
    )
    if guest.attach:
        yield Finding(
            "guest.attached",
            Severity.INFO,
            f"the machine {guest.machine!r} is only observed, not started or stopped: startup and shutdown "
            "have no values, and its trials are looks at one life",
            "remove guest.attach and shut the machine down where its start is to be measured",
        )
