"""Images that are really removed and had again, on every engine, and those that are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from vmvc import attempts, images
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.cli.progress import Quiet
from vmvc.contract import Guest
from vmvc.errors import Unavailable
from vmvc.execution import start
from vmvc.loading import Loaded, loads
from vmvc.planning import plan_of
from vmvc.spec import Exec, OciImage, ReadyExec

EXPERIMENT = """\
name: absent
images: {own: {base: tiny, files: {/absent: "of no use to others\\n"}}}
backends: [process, docker, libvirt]
metrics: [startup]
guest:
  image: own
  memory: 192MiB
  ready: {console: {pattern: here}}
  command: [sh, -c, echo here; exec sleep 60]
trials: {count: 1, warmup: 0, image: absent, stop_timeout: 1s}
"""

pytestmark = pytest.mark.quiet


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Loaded]:
    """Give the experiment; its image, which nothing else uses, is gone afterwards."""
    made = loads(EXPERIMENT.encode(), "absent.yaml", tmp_path)
    yield made
    images.remove(images.root_filesystem(made.experiment.images["own"], tmp_path).digest)


@pytest.mark.real("docker", "libvirt", "root")
def test_the_image_is_had_again_in_each_trial(tmp_path: Path, loaded: Loaded) -> None:
    finished = start(loaded, plan_of(loaded), tmp_path / "results", Quiet())
    assert finished.summary.failed == 0
    rows = {row.backend: row for row in finished.summary.rows if row.quantity == "image"}
    for name, least in (("process", 0.001), ("docker", 0.01), ("libvirt", 0.001)):
        assert rows[name].n == 1
        assert (rows[name].min or 0.0) > least, name
    for trial in attempts.trials_of(finished.folder / "journal.jsonl"):
        assert trial.events["image_ready"].at_ns <= trial.events["requested"].at_ns


@pytest.mark.real("docker", "libvirt", "root")
def test_what_was_removed_is_not_there(tmp_path: Path, loaded: Loaded) -> None:
    folder = images.root_filesystem(loaded.experiment.images["own"], tmp_path).tar.parent
    api = docker.from_env().api
    for name, there in (
        ("process", lambda: (folder / "unpacked").exists()),
        ("libvirt", lambda: list(folder.glob("initrd-*")) != []),
        ("docker", lambda: api.images(filters={"label": f"vmvc.digest={folder.name}"}) != []),
    ):
        backend, guest = loaded.bind(name, {})
        backend.prepare(guest)
        assert there(), name
        backend.forget(guest)
        assert not there(), name
        backend.forget(guest)
        backend.fetch(guest)
        assert there(), name
        backend.close()
    assert (folder / "root.tar").exists()
    api.close()


@pytest.mark.real("docker")
def test_an_image_that_cannot_be_pulled_again_stays(tmp_path: Path, loaded: Loaded) -> None:
    backend, guest = loaded.bind("docker", {})
    identity = str(backend.prepare(guest).facts["image"])
    api = docker.from_env().api
    api.tag(identity, "vmvc-test-absent", "local")
    try:
        own = DockerBackend("docker", DockerOptions())
        ready = ReadyExec(exec=Exec(command=("true",)))
        taken = Guest(OciImage(oci="vmvc-test-absent:local"), cpus=1, memory=2**26, ready=ready)
        with pytest.raises(Unavailable, match="cannot be removed and had again"):
            own.forget(taken)
        with pytest.raises(Unavailable, match="under several names"):
            backend.forget(guest)
        assert api.inspect_image("vmvc-test-absent:local")["Id"] == identity  # type: ignore[no-untyped-call]
        own.close()
    finally:
        api.remove_image("vmvc-test-absent:local")
    backend.forget(guest)
    backend.close()
    api.close()
