"""What an experiment asks of its host: which findings it bears, and which settings it changes for the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from vmvc.spec_model import Model
from vmvc.units import Duration

Passing = Literal["warn", "wait", "stop"]
"""What to do about a finding that may pass by itself."""
Lasting = Literal["warn", "stop"]
"""What to do about a finding that stays until somebody changes something."""


def _passing(what: str) -> Any:
    return Field(default=None, description=f"{what}: warn, wait until it is over, or stop.")


def _lasting(what: str) -> Any:
    return Field(default=None, description=f"{what}: warn or stop.")


class Require(Model):
    """What the host must be like before the first trial; a finding without a word here is a warning."""

    busy: Passing | None = _passing(
        "Any of load, runnable, memory, steal, guests, temperature not named here"
    )
    settings: Lasting | None = _lasting("Any of governor, turbo, smt, thp, ksm, swap, clock not named here")
    load: Passing | None = _passing("The load of the last minute is high")
    runnable: Passing | None = _passing("Other tasks want a CPU just now")
    memory: Passing | None = _passing("Little memory is free")
    disk: Passing | None = _passing("Little disk is free")
    steal: Passing | None = _passing("The hypervisor takes CPU time away just now")
    guests: Passing | None = _passing("Other containers or virtual machines run")
    temperature: Passing | None = _passing("A CPU is close to the temperature at which it slows down")
    throttling: Lasting | None = _lasting("CPUs were slowed down since boot because they were too hot")
    governor: Lasting | None = _lasting("The CPU frequency governor is not `performance`")
    turbo: Lasting | None = _lasting("Turbo is on")
    smt: Lasting | None = _lasting("SMT is on")
    thp: Lasting | None = _lasting("Transparent huge pages are always on")
    ksm: Lasting | None = _lasting("KSM merges pages of guests")
    swap: Lasting | None = _lasting("Swap is in use")
    clock: Lasting | None = _lasting("A program steers the clock")
    virtualised: Lasting | None = _lasting("The host is itself a virtual machine")
    nested: Lasting | None = _lasting("Virtual machines here are nested")
    wait_timeout: Duration = Field(
        default=600.0, description="Longest time to wait, for all findings together; then the run stops."
    )

    @property
    def waits(self) -> bool:
        """Say whether there is anything to wait for."""
        return any(getattr(self, name) == "wait" for name in (*GROUPS, *CODES))

    def decision(self, code: str) -> Passing:
        """Return what to do about a finding; a word of its own counts before its group's."""
        own: Passing | None = getattr(self, code) if code in CODES else None
        group = next((name for name, codes in GROUPS.items() if code in codes), None)
        return own or (group and getattr(self, group)) or "warn"


GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "busy": ("load", "runnable", "memory", "steal", "guests", "temperature"),
    "settings": ("governor", "turbo", "smt", "thp", "ksm", "swap", "clock"),
}
"""Name for several findings -> their codes."""
CODES: Final = tuple(name for name in Require.model_fields if name not in (*GROUPS, "wait_timeout"))
"""Codes of the findings on a host, without their `host.`."""

Setting = Literal["governor", "turbo", "aslr", "cpus"]


def listed_once(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Accept settings that are listed once each."""
    if len(set(settings)) < len(settings):
        raise PydanticCustomError("listed_twice", "expected a list in which each setting stands once")
    return settings
