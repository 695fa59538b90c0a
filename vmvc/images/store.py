"""The cache as ``vmvc image build|list|remove`` shows it: build all renderings, list them, remove them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vmvc.contract import LABEL, Guest
from vmvc.errors import VmvcError
from vmvc.images import cache, docker, folder, oci
from vmvc.images.boot import bootable
from vmvc.images.root import root_filesystem
from vmvc.spec import DiskImage, GuestSpec, Image

RENDERINGS: Final = ("folder", "docker", "machine")
"""For the bare host, for the Docker Engine, for virtual machines."""


@dataclass(frozen=True, slots=True)
class Built:
    """What was built: rendering -> where it is; ``failed``: rendering -> why it is not there."""

    digest: str
    made: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, VmvcError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed; ``left``: what could not be, each with the reason."""

    digests: Sequence[str]
    bytes: int
    left: Sequence[str]


def build(image: Image, base: Path, renderings: Sequence[str] = RENDERINGS) -> Built:
    """Build an image and render it; a rendering that fails does not keep the others from being made.

    Raises: ImageError, InputError, EngineError where there is no root file system to render.
    """
    guest = Guest(image=image, cpus=1, memory=GuestSpec().memory, ready=GuestSpec().ready, folder=base)
    if isinstance(image, DiskImage):
        whole = bootable(guest)
        return Built(whole.digest, {"machine": str(whole.disk)})
    root = root_filesystem(image, base)

    def on_docker() -> str:
        with oci.engine() as api:
            return docker.docker_image(image, api, base)

    makers: Mapping[str, Callable[[], str]] = {
        "folder": lambda: str(folder.unpacked(root)),
        "docker": on_docker,
        "machine": lambda: str(bootable(guest).initrd),
    }
    made, failed = {}, {}
    for name in renderings:
        try:
            made[name] = makers[name]()
        except VmvcError as error:
            failed[name] = error
    return Built(root.digest, made, failed)


def remove(digest_prefix: str) -> Removed:
    """Remove an image from the cache and from the Docker Engine; ``all`` also removes kernels and programs.

    Raises: InputError where the prefix names no image or several; ImageError where the cache is read-only.
    """
    chosen = cache.chosen(digest_prefix)
    for entry in chosen:
        cache.drop(entry.digest)
    if digest_prefix == "all":
        cache.drop_parts()
    left = _remove_from_engine([entry.digest for entry in chosen])
    return Removed([entry.digest for entry in chosen], sum(entry.bytes for entry in chosen), left)


def _remove_from_engine(digests: Sequence[str]) -> list[str]:
    """Remove the Docker images made from these root file systems; return what stays and why."""
    from docker.errors import APIError

    left = []
    try:
        with oci.engine() as api:
            for digest in digests:
                for found in api.images(filters={"label": f"{LABEL}.digest={digest}"}):
                    name = (found.get("RepoTags") or [found["Id"]])[0]
                    try:
                        api.remove_image(name)
                    except APIError as error:
                        left.append(f"Docker image {name}: {error.explanation or error}")
    except (VmvcError, APIError) as error:
        left.append(f"images in the Docker Engine: {error}")
    return left
