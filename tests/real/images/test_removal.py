"""An image is gone from the cache and from the engine; what is in use stays, with the reason."""

from __future__ import annotations

import secrets
from pathlib import Path

import docker
import pytest

from tests.real.images.machine import HERE, container
from vmvc.images import cached, docker_image, remove, root_filesystem, unpacked
from vmvc.spec import RecipeImage

pytestmark = pytest.mark.real("docker")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path))


@pytest.fixture
def image() -> RecipeImage:
    """Be like no image of anybody else on this engine."""
    return RecipeImage(base="tiny", files={"/mark": secrets.token_hex(8)})


def test_a_removed_image_is_gone_and_can_be_built_again(
    image: RecipeImage, engine: docker.APIClient, tmp_path: Path
) -> None:
    made = docker_image(image, engine, HERE)
    unpacked(root := root_filesystem(image, HERE))
    assert [entry.renderings for entry in cached()] == [("root.tar", "unpacked")]
    removed = remove(root.digest[:10])
    assert (removed.digests, removed.left) == ([root.digest], [])
    assert removed.bytes > 2**21
    assert cached() == []
    assert not engine.images(filters={"label": f"vmvc.digest={root.digest}"})
    assert docker_image(image, engine, HERE) != made
    assert remove(root.digest).left == []
    assert not list(tmp_path.glob("images/*/*"))


def test_what_a_container_uses_stays_with_the_reason(image: RecipeImage, engine: docker.APIClient) -> None:
    digest = root_filesystem(image, HERE).digest
    with container(engine, docker_image(image, engine, HERE)):
        removed = remove(digest)
        assert len(removed.left) == 1
        assert "container" in removed.left[0]
    docker_image(image, engine, HERE)
    assert remove(digest).left == []


def test_without_an_engine_the_cache_is_emptied_all_the_same(
    image: RecipeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    root_filesystem(image, HERE)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    removed = remove("all")
    assert len(removed.digests) == 1
    assert "none answers" in removed.left[0]
    assert cached() == []
