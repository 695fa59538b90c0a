"""A root file system -> an image of the Docker Engine that runs it with the same command, user and folder."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmvc.contract import LABEL
from vmvc.errors import ImageError, Unavailable
from vmvc.images import cache
from vmvc.images.root import RootFs, root_filesystem
from vmvc.spec import Image, OciImage, RecipeImage

if TYPE_CHECKING:
    import docker

log = logging.getLogger(__name__)


def docker_image(image: Image, api: docker.APIClient, folder: Path) -> str:
    """Return the id of the engine's image; an ``oci`` image is the engine's own, pulled where it is missing.

    Raises: ImageError; InputError for a disk image.
    """
    if isinstance(image, OciImage):
        from vmvc.images import oci

        return oci.engine_image(image.oci, api)
    root = root_filesystem(image, folder)
    reference = _reference(root, image)
    repository, _, tag = reference.partition(":")
    found = _find(api, reference)
    if found is None:
        log.info("importing %s into the Docker Engine", reference)
        _import(api, root, repository, tag)
        found = _find(api, reference)
    if found is None:
        raise ImageError(f"the Docker Engine lost {reference} just after it was imported", hint="try again")
    return found


def remove_docker_image(image: Image, api: docker.APIClient, folder: Path) -> None:
    """Remove what ``docker_image`` returns; an ``oci`` image only where it can be pulled again.

    Raises: Unavailable where it stays: in use, under another name, too, or not to be had again.
    """
    from docker.errors import APIError

    reference = (
        image.oci if isinstance(image, OciImage) else _reference(root_filesystem(image, folder), image)
    )
    if _find(api, reference) is None:
        return
    try:
        if isinstance(image, OciImage):
            api.inspect_distribution(reference)  # type: ignore[no-untyped-call]
        names = api.inspect_image(reference)["RepoTags"]  # type: ignore[no-untyped-call]
        if len(names) > 1:
            others = ", ".join(sorted(names))
            raise Unavailable(
                f"the engine has the image under several names: {others}", hint="remove the other names"
            )
        api.remove_image(reference)
    except APIError as error:
        said = (error.explanation or str(error)).strip()
        raise Unavailable(
            f"{reference} cannot be removed and had again: {said}",
            hint="let no container use it, and the engine reach the image's registry",
        ) from error


def _reference(root: RootFs, image: Image) -> str:
    name = image.base.replace(":", "-") if isinstance(image, RecipeImage) else "image"
    return f"{LABEL}/{name}:{image_digest(root)[:12]}"


def image_digest(root: RootFs) -> str:
    """Return the digest of a root file system together with its configuration."""
    return cache.digest_of(root.digest, _changes(root))


def _find(api: docker.APIClient, reference: str) -> str | None:
    from docker.errors import ImageNotFound

    try:
        found: dict[str, Any] = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None
    return str(found["Id"])


def _import(api: docker.APIClient, root: RootFs, repository: str, tag: str) -> None:
    from docker.errors import APIError

    try:
        said = api.import_image_from_file(
            str(root.tar), repository=repository, tag=tag, changes=_changes(root)
        )
    except APIError as error:
        raise ImageError(
            f"the Docker Engine could not import {repository}:{tag}: {error.explanation or error}",
            hint="free space on the engine's disk: docker system df",
        ) from error
    for line in str(said).splitlines():
        answer = json.loads(line) if line.strip() else {}
        if "error" in answer:
            raise ImageError(
                f"the Docker Engine could not import {repository}:{tag}: {answer['error']}",
                hint="free space on the engine's disk: docker system df",
            )
        if str(answer.get("status", "")).startswith("sha256:"):
            # Podman takes the image's name without its tag, and calls it latest.
            api.tag(answer["status"], repository, tag)
            with suppress(APIError):
                api.remove_image(f"{repository}:latest")


def _changes(root: RootFs) -> list[str]:
    """Return the configuration as Dockerfile instructions."""
    changes = [f"ENV {name}={json.dumps(value)}" for name, value in sorted(root.env.items())]
    if root.command:
        changes.append(f"CMD {json.dumps(list(root.command))}")
    if root.user:
        changes.append(f"USER {root.user}")
    changes += [
        f"WORKDIR {root.workdir}",
        f"LABEL {LABEL}=image",
        f"LABEL {LABEL}.digest={root.digest}",
    ]
    return changes
