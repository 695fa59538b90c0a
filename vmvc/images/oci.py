"""A container image's reference -> its root file system, exported by the engine, and its configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import kwargs_from_env

from vmvc import owner
from vmvc.contract import LABEL
from vmvc.errors import EngineError, ImageError
from vmvc.images import cache
from vmvc.images.root import PATH, Config
from vmvc.spec import OciImage

log = logging.getLogger(__name__)

FORMAT: Final = 1
"""Raised whenever the same image gives another root file system."""


def build(image: OciImage) -> tuple[str, Config]:
    """Return the digest and configuration of the image; the tar is in the cache then.

    Raises: ImageError, EngineError.
    """
    with engine() as api:
        identity = engine_image(image.oci, api)
        config = config_of(_inspect(api, identity)["Config"] or {})
        digest = cache.digest_of("oci", FORMAT, identity)
        cache.note_recipe(digest, {"oci": image.oci, "id": identity})
        cache.once(cache.image_folder(digest) / cache.ROOT, lambda path: _export(api, identity, path))
    return digest, config


def engine_image(reference: str, api: docker.APIClient) -> str:
    """Return the id of an image that the engine has, pulled where it is missing.

    Raises: ImageError.
    """
    try:
        try:
            return str(_inspect(api, reference)["Id"])
        except ImageNotFound:
            _pull(reference, api)
            return str(_inspect(api, reference)["Id"])
    except APIError as error:
        said = (error.explanation or str(error)).strip()
        raise ImageError(
            f"the Docker Engine neither has nor can pull the image {reference}: {said}",
            hint=f"check the name, or bring the image here: docker pull {reference} (or docker load)",
        ) from error


def config_of(raw: Mapping[str, Any]) -> Config:
    """Return how a container image wants to be run, from the engine's ``Config``."""
    env = dict(line.split("=", 1) for line in raw.get("Env") or () if "=" in line)
    return Config(
        command=(*(raw.get("Entrypoint") or ()), *(raw.get("Cmd") or ())),
        env=tuple({"PATH": PATH, **env}.items()),
        user=raw.get("User") or "",
        workdir=raw.get("WorkingDir") or "/",
        stop_signal=raw.get("StopSignal") or "SIGTERM",
    )


def _inspect(api: docker.APIClient, reference: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    return found


@contextmanager
def engine() -> Iterator[docker.APIClient]:
    """Yield a client of the Docker Engine that the environment names.

    Raises: EngineError where none answers.
    """
    try:
        api = docker.APIClient(version="auto", timeout=600, **kwargs_from_env())
    except (DockerException, requests.RequestException) as error:
        raise EngineError(
            f"an oci image needs the Docker Engine, and none answers: {error}",
            hint="start it (sudo systemctl start docker), or check DOCKER_HOST",
        ) from error
    try:
        yield api
    except requests.RequestException as error:
        raise EngineError(
            f"the Docker Engine went away: {error}", hint="start it again and try again"
        ) from error
    finally:
        api.close()


def split(reference: str) -> tuple[str, str | None]:
    """Return repository and tag (``latest`` where none is given; none beside a digest)."""
    if "@" in reference:
        return reference, None
    name, _, tag = reference.rpartition(":")
    return (name, tag) if name and "/" not in tag else (reference, "latest")


def _pull(reference: str, api: docker.APIClient) -> None:
    """Pull an image, the progress in the log once in a while."""
    repository, tag = split(reference)
    log.info("pulling %s", reference)
    told = time.monotonic()
    for step in api.pull(repository, tag=tag, stream=True, decode=True):
        if "error" in step:
            raise ImageError(
                f"the Docker Engine could not pull {reference}: {step['error']}",
                hint="check the name and the network of the engine, or bring the image here with docker load",
            )
        if time.monotonic() - told > 2:
            told = time.monotonic()
            log.info("pulling %s: %s %s", reference, step.get("status", ""), step.get("progress", ""))


def _export(api: docker.APIClient, identity: str, path: Path) -> None:
    """Write the file system of a container that is made for it and never started."""
    log.info("exporting the file system of %s", identity)
    for left in api.containers(all=True, filters={"label": f"{LABEL}=export"}):
        if not owner.alive(left["Labels"].get(f"{LABEL}.owner", "")):
            api.remove_container(left["Id"], v=True, force=True)
    labels = {LABEL: "export", f"{LABEL}.owner": owner.current()}
    made = api.create_container(identity, command=["true"], labels=labels)["Id"]
    try:
        with path.open("wb") as file:
            for chunk in api.export(made):
                file.write(chunk)
    finally:
        api.remove_container(made, v=True, force=True)
