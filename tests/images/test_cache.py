"""Built once however many ask, whole or not there, and clear about a disk that refuses."""

from __future__ import annotations

import errno
import multiprocessing
import multiprocessing.synchronize
import os
from pathlib import Path

import pytest

from vmvc.errors import ImageError, InputError
from vmvc.images import cache


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def thing(place: Path) -> Path:
    return cache.image_folder("d1") / "thing"


def test_what_is_built_is_kept(thing: Path) -> None:
    assert cache.once(thing, lambda path: path.write_text("first")) == thing
    cache.once(thing, lambda path: path.write_text("second"))
    assert thing.read_text() == "first"


def test_a_failed_build_leaves_nothing(thing: Path) -> None:
    def build(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("half")
        raise ImageError("no")

    with pytest.raises(ImageError, match="no"):
        cache.once(thing, build)
    assert [path.name for path in thing.parent.iterdir()] == []


def test_the_next_build_removes_what_a_killed_one_left(thing: Path) -> None:
    left = thing.parent / ".partial-thing-1"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    other = thing.parent / ".partial-another-1"
    other.write_text("another build's")
    cache.once(thing, lambda path: path.write_text("whole"))
    assert not left.exists()
    assert other.exists()


def _build_slowly(folder: str, gate: multiprocessing.synchronize.Barrier, log: str) -> None:
    os.environ["VMVC_CACHE"] = folder

    def build(path: Path) -> None:
        with Path(log).open("a") as file:
            file.write("built\n")
        path.mkdir()
        for number in range(200):
            (path / str(number)).write_text(str(number))

    gate.wait()
    found = cache.once(cache.image_folder("d1") / "thing", build)
    assert len(list(found.iterdir())) == 200


def test_two_processes_build_once(tmp_path: Path, place: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(4)
    log = tmp_path / "log"
    workers = [context.Process(target=_build_slowly, args=(str(place), gate, str(log))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert log.read_text() == "built\n"


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "VMVC_CACHE"), (errno.EACCES, "VMVC_CACHE")],
)
def test_a_disk_that_refuses_is_an_image_error(thing: Path, number: int, hint: str) -> None:
    def build(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(ImageError, match="cannot be written") as caught:
        cache.once(thing, build)
    assert hint in caught.value.hint


def test_a_file_where_the_cache_should_be(place: Path, thing: Path) -> None:
    place.write_text("not a folder")
    with pytest.raises(ImageError, match="cannot be written"):
        cache.once(thing, lambda path: None)


def test_a_full_disk_is_an_image_error(thing: Path) -> None:
    def build(path: Path) -> None:
        with path.open("wb") as file, Path("/dev/full").open("wb", buffering=0) as full:
            file.write(b"some")
            full.write(b"more")

    with pytest.raises(ImageError, match="No space left") as caught:
        cache.once(thing, build)
    assert "free some space" in caught.value.hint
    assert not thing.exists()


@pytest.fixture
def two_images(place: Path) -> None:
    for digest, recipe in (
        ("abc1", {"base": "tiny", "files": {}}),
        (
            "abd2",
            {"base": "debian:bookworm", "packages": ["nginx-light"], "services": ["nginx"], "files": {}},
        ),
    ):
        cache.note_recipe(digest, recipe)
        cache.once(
            cache.image_folder(digest) / cache.ROOT, lambda path: path.write_bytes(b"x" * 8192) and None
        )
    os.utime(cache.image_folder("abc1") / ".used", (1, 1))
    os.utime(cache.image_folder("abd2") / ".used", (2, 2))


@pytest.mark.usefixtures("two_images")
def test_entries_say_what_they_are_and_when_they_were_used() -> None:
    new, old = cache.entries()
    assert (new.digest, new.recipe) == ("abd2", "debian:bookworm packages=nginx-light services=nginx")
    assert (old.digest, old.recipe, old.last_used) == ("abc1", "tiny", 1.0)
    assert new.renderings == ("root.tar",)
    assert new.bytes >= 8192


@pytest.mark.usefixtures("two_images")
def test_using_an_image_notes_the_time() -> None:
    cache.once(cache.image_folder("abc1") / cache.ROOT, lambda path: None)
    assert cache.entries()[0].digest == "abc1"


@pytest.mark.usefixtures("two_images")
def test_an_image_is_chosen_by_the_beginning_of_its_digest() -> None:
    assert [entry.digest for entry in cache.chosen("abc")] == ["abc1"]
    assert len(cache.chosen("all")) == 2
    for prefix, what in (("ab", "2 images"), ("f", "no image"), ("", "no image")):
        with pytest.raises(InputError, match=what):
            cache.chosen(prefix)


@pytest.mark.usefixtures("two_images")
def test_a_dropped_image_is_gone() -> None:
    cache.drop("abc1")
    cache.drop("abc1")
    assert [entry.digest for entry in cache.entries()] == ["abd2"]


def test_no_cache_has_no_entries() -> None:
    assert cache.entries() == []


def test_digests_tell_recipes_apart() -> None:
    assert cache.digest_of("a", {"b": 1, "c": 2}) == cache.digest_of("a", {"c": 2, "b": 1})
    assert cache.digest_of("ab", "c") != cache.digest_of("a", "bc")
