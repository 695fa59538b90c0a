"""The beginning of a digest -> an image that is gone from the cache and from the Docker Engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmvc.contract import LABEL
from vmvc.errors import EngineError
from vmvc.images import cache


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed from the cache; ``left``: what the Docker Engine keeps, each with the reason."""

    digests: Sequence[str]
    bytes: int
    left: Sequence[str]


def remove(digest_prefix: str) -> Removed:
    """Remove an image with all that was made from it; ``all``: every one, kernels, programs and keys too.

    Raises: InputError where the prefix names no image or several; ImageError where the cache is read-only.
    """
    chosen = cache.chosen(digest_prefix)
    digests = [entry.digest for entry in chosen]
    for digest in digests:
        cache.drop(digest)
    labels = [f"{LABEL}.digest={digest}" for digest in digests]
    if digest_prefix == "all":
        cache.drop_parts()
        labels = [f"{LABEL}=image"]
    return Removed(digests, sum(entry.bytes for entry in chosen), _remove_from_engine(labels))


def _remove_from_engine(labels: Sequence[str]) -> list[str]:
    """Remove the Docker images with any of these labels; return what stays and why."""
    from docker.errors import APIError

    from vmvc.images import oci

    left = []
    try:
        with oci.engine() as api:
            for label in labels:
                for found in api.images(filters={"label": label}):
                    name = (found.get("RepoTags") or [found["Id"]])[0]
                    try:
                        api.remove_image(name)
                    except APIError as error:
                        left.append(f"Docker image {name}: {error.explanation or error}")
    except (EngineError, APIError) as error:
        left.append(f"images in the Docker Engine: {error}")
    return left
