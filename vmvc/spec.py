"""The experiment as a file says it: frozen Pydantic models that know no plug-in.

Field names are the YAML keys and descriptions are the JSON Schema's; seconds and bytes inside, units at
the edge. ``None`` stands for an absent key only: a file may not say ``null`` (``vmvc.loading`` refuses it).
What only a plug-in can judge (options, quantities, factor paths) stays raw here; ``vmvc.loading`` checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vmvc.spec_claims import Claim
from vmvc.spec_factors import Entry as Entry
from vmvc.spec_factors import Factors as Factors
from vmvc.spec_host import Require, Setting, listed_once
from vmvc.spec_images import BUILT_IN_IMAGES as BUILT_IN_IMAGES
from vmvc.spec_images import DiskImage as DiskImage
from vmvc.spec_images import Image as Image
from vmvc.spec_images import OciImage as OciImage
from vmvc.spec_images import RecipeImage as RecipeImage
from vmvc.spec_machine import (
    ALONE,
    BROUGHT,
    MACHINE,
    NAMED,
    Address,
    MachineName,
    Ssh,
    with_a_machine,
    without_what_it_brings,
)
from vmvc.spec_model import MOST_FACTORS as MOST_FACTORS
from vmvc.spec_model import NAME as NAME
from vmvc.spec_model import Level as Level
from vmvc.spec_model import Model, Name
from vmvc.spec_names import MOST_NAMES, NamesToo
from vmvc.spec_ready import Console as Console
from vmvc.spec_ready import Exec as Exec
from vmvc.spec_ready import Http as Http
from vmvc.spec_ready import Ready as Ready
from vmvc.spec_ready import ReadyConsole as ReadyConsole
from vmvc.spec_ready import ReadyExec as ReadyExec
from vmvc.spec_ready import ReadyHttp as ReadyHttp
from vmvc.spec_ready import ReadyTcp as ReadyTcp
from vmvc.spec_ready import Tcp as Tcp
from vmvc.spec_trials import Trials as Trials
from vmvc.spec_trials import Until as Until
from vmvc.spec_values import Argument as Argument
from vmvc.spec_values import Command as Command
from vmvc.spec_values import EnvName as EnvName
from vmvc.spec_values import GuestPath as GuestPath
from vmvc.spec_values import Port as Port
from vmvc.units import Size

SCHEMA: Final = "vmvc/1"
MOST_CLAIMS: Final = 1000
_MACHINE: Final = (
    "A machine that exists already, by its name, instead of an image: it is started, measured, stopped, and "
    "left as it was found."
)
_ATTACH: Final = "The machine runs already: only observe it, neither start nor stop it."
_ADDRESS: Final = "Where this host reaches the machine's ports; by default the backend finds out."
_SSH: Final = (
    "Run commands in a machine by SSH. In one of an image, vmvc brings server and key: `{}`. In a machine or "
    "disk of yours, `{}` takes all from ssh's own configuration."
)


class GuestSpec(Model):
    """What is asked for, the same on every backend."""

    model_config = ConfigDict(json_schema_extra=dict(NAMED))

    image: Name = Field(default="tiny", description="An image under `images`, or the built-in `tiny`.")
    cpus: int = Field(default=1, ge=1, le=1024, description="CPUs the guest may use.")
    memory: Size = Field(default=256 * 2**20, description="Memory limit of a container, memory of a machine.")
    pids: int | None = Field(
        default=None,
        ge=16,
        le=2**22,
        description="Most processes and threads at a time, where the backend can hold that; else no limit.",
    )
    command: Command | None = Field(
        default=None, description="Command to run (argv); by default the image's own."
    )
    env: Mapping[EnvName, Argument] = Field(
        default_factory=dict, description="Environment variables for the command."
    )
    boot: Literal["command", "systemd"] = Field(
        default="command",
        description="How a machine boots: straight into the command, or through the distribution's systemd.",
    )
    ready: Ready = Field(
        default=ReadyHttp(http=Http(port=80)), description="The probe that says when the instance is ready."
    )
    machine: MachineName | None = Field(default=None, description=_MACHINE, examples=["ubuntu-vm"])
    attach: bool = Field(default=False, description=_ATTACH)
    address: Address | None = Field(default=None, description=_ADDRESS, examples=["192.168.122.7"])
    ssh: Ssh | None = Field(default=None, description=_SSH)

    @model_validator(mode="after")
    def _machine(self) -> GuestSpec:
        return with_a_machine(without_what_it_brings(self))

    @model_serializer(mode="wrap")
    def _what_counts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        for key in MACHINE if self.machine is None else BROUGHT:
            written.pop(key, None)
        return written


class GuestOverride(Model):
    """What differs from `guest` on one backend."""

    model_config = ConfigDict(json_schema_extra=dict(ALONE))

    image: Name | None = Field(default=None, description="Another image for this backend.")
    cpus: int | None = Field(default=None, ge=1, le=1024, description="CPUs for this backend.")
    memory: Size | None = Field(default=None, description="Memory for this backend.")
    pids: int | None = Field(
        default=None, ge=16, le=2**22, description="Most processes and threads for this backend."
    )
    command: Command | None = Field(default=None, description="Command for this backend.")
    env: Mapping[EnvName, Argument] | None = Field(default=None, description="Environment for this backend.")
    boot: Literal["command", "systemd"] | None = Field(default=None, description="Boot for this backend.")
    ready: Ready | None = Field(default=None, description="Probe for this backend.")
    machine: MachineName | None = Field(default=None, description=_MACHINE, examples=["ubuntu-vm"])
    attach: bool | None = Field(default=None, description=_ATTACH)
    address: Address | None = Field(default=None, description=_ADDRESS, examples=["192.168.122.7"])
    ssh: Ssh | None = Field(default=None, description=_SSH)

    @model_validator(mode="after")
    def _machine(self) -> GuestOverride:
        return without_what_it_brings(self)


class BackendSpec(Model):
    """One backend of the experiment."""

    kind: Name | None = Field(
        default=None, description="Kind of backend; by default the name it has in this file."
    )
    options: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="The backend's own options (`vmvc list backends` names them)."
    )
    guest: GuestOverride = Field(
        default_factory=GuestOverride, description="Differences from `guest` on this backend."
    )


class Experiment(Model):
    """A declarative comparison of backends on one image."""

    schema_: Literal["vmvc/1"] = Field(
        default=SCHEMA, alias="schema", description="Version of this language."
    )
    name: Name = Field(description="Short name; also the name of the folder under results/.")
    title: str = Field(default="", max_length=300, description="Title for people.")
    images: Annotated[Mapping[Name, Image], Field(max_length=100)] = Field(
        default_factory=dict, description="Root file systems, by name."
    )
    guest: GuestSpec = Field(default_factory=GuestSpec, description="What runs, the same on every backend.")
    backends: Annotated[
        Mapping[Name, BackendSpec], Field(min_length=1, max_length=MOST_NAMES), NamesToo(BackendSpec)
    ] = Field(description="Backends to compare: a list of names, or a mapping of names to settings.")
    factors: Factors = Field(
        default_factory=Factors,
        description="Settings to sweep: `guest.KEY`, `backends.NAME.options.KEY`, `trials.cache` or "
        "`trials.image` -> list of levels. Every combination is a condition; `include` adds some, `exclude` "
        "drops some.",
    )
    metrics: Annotated[
        Mapping[Name, Mapping[str, JsonValue]],
        Field(min_length=1, max_length=MOST_NAMES),
        NamesToo(dict),
    ] = Field(description="What to measure: a list of names, or a mapping of names to options.")
    trials: Trials = Field(default_factory=Trials, description="How often, in which order, how patiently.")
    require: Require = Field(
        default_factory=Require, description="What the host must be like before the first trial."
    )
    tune: Annotated[
        tuple[Setting, ...], Field(json_schema_extra={"uniqueItems": True}), AfterValidator(listed_once)
    ] = Field(
        default=(),
        description="Settings of the host to change for the time of the run and to put back as they were "
        "found: `governor` (performance), `turbo` (off), `aslr` (off), `cpus` (guest and prober on CPUs of "
        "their own).",
    )
    claims: Annotated[tuple[Claim, ...], Field(max_length=MOST_CLAIMS)] = Field(
        default=(), description="Hypotheses; the run ends with a verdict on each."
    )

    def image(self, name: str) -> Image:
        """Return the image of that name, from the file or built in.

        Raises: KeyError where there is none.
        """
        return self.images[name] if name in self.images else BUILT_IN_IMAGES[name]
