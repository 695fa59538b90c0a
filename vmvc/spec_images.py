"""What runs, as a file says it: ONE root file system, by a recipe, a reference or a disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from vmvc.spec_model import Model
from vmvc.spec_values import Command, GuestPath, exactly_one_key


class RecipeImage(Model):
    """A root filesystem that vmvc builds itself, from busybox or from a Debian suite."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"base": {"const": "tiny"}}},
            "then": {"properties": {"packages": {"maxItems": 0}, "services": {"maxItems": 0}}},
        }
    )

    base: str = Field(
        pattern=r"^(tiny|debian:[a-z]{2,20})$",
        description="What to start from: `tiny` (static busybox with a web server) or `debian:SUITE`.",
        examples=["tiny", "debian:bookworm"],
    )
    packages: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]{0,99}$")], ...] = Field(
        default=(), description="Debian packages to install (only with a debian base)."
    )
    services: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9@_.-]{0,99}$")], ...] = Field(
        default=(), description="Services to run: by systemd where it boots, else by their init scripts."
    )
    files: Mapping[GuestPath, str] = Field(
        default_factory=dict, description="Text files to add: absolute path -> content."
    )
    command: Command | None = Field(
        default=None, description="The default command (argv); by default the web server or the services."
    )

    @model_validator(mode="after")
    def _tiny_has_no_packages(self) -> RecipeImage:
        if self.base == "tiny" and (self.packages or self.services):
            raise PydanticCustomError(
                "tiny_packages", "base tiny takes no packages or services; use base debian:bookworm"
            )
        return self


class OciImage(Model):
    """A container image that the Docker engine has or can pull."""

    oci: str = Field(
        pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$",
        description="Reference of the container image; virtual machines boot its exported file system.",
        examples=["nginx:1.27"],
    )
    command: Command | None = Field(
        default=None, description="Replaces the image's own entrypoint and command."
    )


class DiskImage(Model):
    """A disk that the user has; only virtual machines can use it."""

    disk: str = Field(
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00]+$",
        description="A qcow2, raw or VDI file, relative to the experiment file; never written to.",
    )
    format: Literal["auto", "qcow2", "raw", "vdi"] = Field(
        default="auto", description="Format of the file; `auto` asks qemu-img."
    )


Image = Annotated[
    Annotated[RecipeImage, Tag("base")] | Annotated[OciImage, Tag("oci")] | Annotated[DiskImage, Tag("disk")],
    exactly_one_key("base", "oci", "disk"),
]
"""ONE root filesystem, rendered for every backend."""

BUILT_IN_IMAGES: Final[Mapping[str, Image]] = {"tiny": RecipeImage(base="tiny")}
"""Images that need no entry under ``images``."""
