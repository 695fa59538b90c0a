"""Connection URIs: which are taken, which refused and why, and that no secret is told again."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc.backends.libvirt_uri import driver_of, here
from vmvc.errors import InputError
from vmvc.loading import loads

FILE = "name: x\nbackends: {{mine: {{kind: libvirt, options: {{uri: '{uri}'}}}}}}\nmetrics: [startup]\n"


def refusal(uri: str) -> str:
    with pytest.raises(InputError) as caught:
        loads(FILE.format(uri=uri).encode(), "x.yaml", Path())
    return str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "auto",
        "qemu:///system",
        "qemu+ssh://me@lab-3:2222/system?keyfile=/home/me/.ssh/id",
        "lxc:///",
        "test:///default",
        "esx://root@esx-1/?no_verify=1",
        "hyperv://host/",
        "xen:///system",
        "vbox:///session",
        "bhyve:///system",
    ],
)
def test_uris_of_every_driver_are_taken(uri: str) -> None:
    loads(FILE.format(uri=uri).encode(), "x.yaml", Path())


@pytest.mark.parametrize(
    "uri",
    [
        "esx://root:hunter2@esx-1/",
        "esx://root:hunter2 x@esx-1/",
        "hyperv://host/?password=hunter2",
        "qemu+tcp://h/system?auth_token=hunter2",
    ],
)
def test_a_password_is_refused_and_not_told_again(uri: str) -> None:
    said = refusal(uri)
    assert "auth.conf" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("qemmu:///system", "did you mean 'qemu'"),
        ("qemu+smoke://host/system", "such as qemu:///system"),
        ("qemu://[::1/system", "a URI that parses"),
        ("esx://host:99999999/", "a URI that parses"),
        ("::::", "the URI"),
        ("qemu", "the URI"),
        ("--connect", "the URI"),
        ("qemu:///system\n", "the URI"),
        ("", "the URI"),
    ],
)
def test_what_is_no_uri_of_a_driver(uri: str, wanted: str) -> None:
    assert wanted in refusal(uri.replace("\n", "\n\n"))


def test_what_a_uri_says() -> None:
    assert [driver_of(uri) for uri in ("auto", "lxc+unix:///system?socket=/s")] == ["qemu", "lxc"]
    assert here("auto")
    assert here("lxc+unix:///system?socket=/s")
    assert not here("qemu+ssh://host/system")
    assert not here("test:///default")
