"""The script of the backend ``fake``, as options: what takes how long, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from vmvc.backends.fake_machine import State
from vmvc.contract import Options
from vmvc.units import Duration, Percent, Size

Step = Literal["create", "start", "ready", "run", "stop", "destroy"]


class FakeDisk(Options):
    """Bytes that the fake backend claims to use."""

    virtual: Size | None = Field(default=None, description="Size that the guest sees.")
    allocated: Size | None = Field(default=None, description="Blocks in use.")
    shared: Size | None = Field(default=None, description="The part that other instances use too.")
    unique: Size | None = Field(default=None, description="What removing only this instance would free.")


class FakeOptions(Options):
    """The script."""

    create: Duration = Field(default=0.0, description="How long `create` takes.")
    start: Duration = Field(default=0.0, description="How long `start` takes.")
    fetch: Duration = Field(default=0.0, description="How long it takes to have a removed image again.")
    ready: Duration = Field(default=0.0, description="Time from the start until the guest answers.")
    stop: Duration = Field(
        default=0.0, description="How long the guest takes to end; beyond the timeout it is forced."
    )
    jitter: Percent = Field(
        default=0.0,
        description="Each of these times, and the disk's bytes, vary by up to this much, by the seed.",
    )
    seed: int = Field(default=1, ge=0, description="Seed of the jitter and of the failures.")
    fail: Mapping[Step | Literal["check", "prepare", "forget", "fetch"], str] = Field(
        default_factory=dict, description="Steps that fail, with the reason."
    )
    hang: Step | None = Field(
        default=None, description="The step that never returns (`ready`: never answers)."
    )
    crash: Step | None = Field(default=None, description="The step in which the whole process ends at once.")
    dies_after: Duration | None = Field(default=None, description="The guest ends of itself after this time.")
    fault_trials: tuple[int, ...] = Field(
        default=(), description="Trials in which fail, hang, crash and dies_after happen; by default all."
    )
    fault_fetches: tuple[int, ...] = Field(
        default=(), description="Which calls of `fetch` fail, from 1; by default all."
    )
    fault_members: tuple[int, ...] = Field(
        default=(),
        description="Members of a fleet in which these and destroy_fails happen: 0 is the trial's own "
        "instance, the others count from 2; by default all.",
    )
    fault_rate: Percent = Field(
        default=1.0, description="Share of those trials in which they happen, by the seed."
    )
    recovers: int | None = Field(
        default=None,
        ge=0,
        description="Attempts at a trial in which they happen; the next one goes well. By default all.",
    )
    destroy_fails: int = Field(
        default=0, ge=0, description="How many times `destroy` fails before it succeeds."
    )
    leak: bool = Field(default=False, description="`destroy` claims success but removes nothing.")
    console: tuple[str, ...] = Field(
        default=("fake guest: booting", "fake guest: ready"),
        description="Lines that the guest prints: all but the last at once, the last when it is ready.",
    )
    disk: FakeDisk | None = Field(default=None, description="Disk usage to claim; by default none is known.")
    machines: Mapping[str, State] = Field(
        default_factory=dict,
        description="Machines that exist already, for `guest.machine`, and the state they are found in.",
    )
    log: str | None = Field(default=None, description="File that gets a line `CALL NAME` for every call.")
    state: str | None = Field(
        default=None, description="Folder that holds what exists; by default in the cache."
    )
