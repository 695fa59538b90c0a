"""A container image keeps its ways in a machine."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.real.images.machine import HERE, TINY, Boots, Channel, connected, guest_of
from vmvc import owner
from vmvc.errors import ImageError
from vmvc.images import (
    cache_dir,
    docker_image,
    root_filesystem,
)
from vmvc.spec import OciImage

_DOCKERFILE = """\
FROM {base}
RUN echo 'app:x:1234:1235::/srv/app:/bin/sh' >>/etc/passwd && echo 'app:x:1235:' >>/etc/group
RUN mkdir -p /srv/app && echo mine >/srv/app/file && chown -R 1234:1235 /srv/app && ln -s /srv /opt
ENV GREETING="a  b" PORT=80
USER app
WORKDIR /opt/app
ENTRYPOINT ["/bin/sh", "-c", "pwd; id; exec sleep 999", "entry"]
CMD ["one  two", "$HOME"]
STOPSIGNAL SIGKILL
"""


@pytest.fixture(name="built")
def _built(engine: docker.APIClient) -> Iterator[OciImage]:
    """Build a container image upon the imported tiny one, as nothing can be pulled here."""
    text = _DOCKERFILE.format(base=docker_image(TINY, engine, HERE)).encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    context.seek(0)
    name = "vmvc-test/oci:1"
    steps = list(engine.build(fileobj=context, custom_context=True, tag=name, rm=True, decode=True))
    assert "errorDetail" not in steps[-1], steps[-1]
    yield OciImage(oci=name)
    engine.remove_image(name, force=True)


@pytest.mark.real("qemu", "docker")
def test_a_container_image_keeps_its_ways_in_a_machine(
    boots: Boots, engine: docker.APIClient, built: OciImage
) -> None:
    root = root_filesystem(built, HERE)
    try:
        assert root.command == ("/bin/sh", "-c", "pwd; id; exec sleep 999", "entry", "one  two", "$HOME")
        assert (root.user, root.workdir, root.stop_signal) == ("app", "/opt/app", "SIGKILL")
        assert docker_image(built, engine, HERE) == engine.inspect_image(built.oci)["Id"]  # type: ignore[no-untyped-call]
        one = boots(guest_of(built, env={"PORT": "8080"}))
        with connected(one.folder / "channel") as connection:
            channel = Channel(connection)
            assert channel.run("id")[1] == b"uid=1234(app) gid=1235(app)\n"
            assert channel.run("pwd")[1] == b"/srv/app\n"
            assert channel.run("cat", "file")[1] == b"mine\n"
            said = dict(line.split("=", 1) for line in channel.run("env")[1].decode().splitlines())
            assert (said["GREETING"], said["PORT"], said["HOME"]) == ("a  b", "8080", "/srv/app")
            assert channel.run("sh", "-c", "echo x >/etc/passwd")[0] == 1
            assert channel.run("sh", "-c", "echo to the console >/dev/console")[0] == 0
            assert channel.run("cat", "/etc/hosts", "/etc/resolv.conf")[1].split()[:2] == [
                b"127.0.0.1",
                b"localhost",
            ]
            running = channel.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '|'")[1]
            assert b"sleep|999|" in running
        one.power_button()
        assert one.ended() == 0
        assert "/srv/app" in one.console
        assert "uid=1234(app) gid=1235(app)" in one.console
        assert "vmvc: command ended with 137" in one.console
    finally:
        shutil.rmtree(cache_dir() / "images" / root.digest)
    assert not engine.containers(all=True, filters={"label": f"vmvc.owner={owner.current()}"})


@pytest.mark.real("docker")
def test_what_a_killed_export_left_is_removed_by_the_next(
    engine: docker.APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path))
    image = docker_image(TINY, engine, HERE)
    dead, alive = (
        engine.create_container(image, labels={"vmvc": "export", "vmvc.owner": whose})["Id"]
        for whose in (owner.current().replace(f":{os.getpid()}:", ":1:"), owner.current())
    )
    try:
        root_filesystem(OciImage(oci=image), HERE)
        left = {one["Id"] for one in engine.containers(all=True, filters={"label": "vmvc=export"})}
        assert alive in left
        assert dead not in left
    finally:
        engine.remove_container(alive)


@pytest.mark.real("docker")
def test_an_image_that_cannot_be_had_says_what_to_do() -> None:
    with pytest.raises(ImageError, match="vmvc-test/none:1") as caught:
        root_filesystem(OciImage(oci="vmvc-test/none:1"), HERE)
    assert "docker" in caught.value.hint
