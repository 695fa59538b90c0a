"""What a container does from its start to its removal, and what is never touched."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import docker
import psutil
import pytest

from tests.real.docker.guests import SERVES, TIME, WAITS, Make, says, until
from vmvc import owner
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.docker_instance import DockerInstance
from vmvc.contract import Tag
from vmvc.errors import (
    DeadlineExceeded,
    EngineError,
    GuestDied,
    InputError,
    StepFailed,
)
from vmvc.spec import (
    Http,
    OciImage,
    ReadyHttp,
)

pytestmark = pytest.mark.real("docker")


def printed(instance: DockerInstance) -> bytes:
    """Return all that it prints until it ends."""
    console = instance.console()
    text = b""
    while (chunk := console.read(TIME)) != b"":
        assert chunk is not None, text
        text += chunk
    console.close()
    return text


def test_a_guest_that_exits_is_not_alive(make: Make) -> None:
    instance = make(says("exit 3"))
    until(lambda: not instance.alive())
    assert not instance.alive()
    with pytest.raises(StepFailed, match="not running"):
        instance.run(["true"], timeout=TIME)


def test_a_guest_that_ends_later_is_noticed(make: Make) -> None:
    instance = make(says("sleep 0.5"))
    seen = [instance.alive()]
    until(lambda: not instance.alive())
    assert seen == [True]


@pytest.mark.real("root")
def test_a_guest_whose_end_nobody_has_waited_for_is_dead(make: Make) -> None:
    instance = make(WAITS)
    assert instance.alive()
    seen = instance.processes()
    (shim,) = seen.helpers
    os.kill(shim, signal.SIGSTOP)
    try:
        os.kill(seen.own[0], signal.SIGKILL)
        until(lambda: psutil.Process(seen.own[0]).status() == psutil.STATUS_ZOMBIE)
        assert not instance.alive()
    finally:
        os.kill(shim, signal.SIGCONT)


def test_the_endpoint_of_a_dead_guest_says_how_it_died(make: Make) -> None:
    instance = make(replace(SERVES, command=("sh", "-c", "exit 3")))
    until(lambda: not instance.alive())
    with pytest.raises(GuestDied, match="exit code 3"):
        instance.endpoint(80)


def test_a_guest_out_of_memory_says_so(make: Make) -> None:
    hog = "x=0123456789; while :; do x=$x$x; done"
    instance = make(replace(SERVES, command=("sh", "-c", hog), memory=16 * 2**20))
    until(lambda: not instance.alive())
    assert "out of memory" in instance.epitaph()


def test_how_a_guest_ended_is_known_only_then(make: Make) -> None:
    instance = make(says("sleep 0.5; exit 9"), start=False)
    assert instance.epitaph() == ""
    instance.start()
    assert instance.epitaph() == ""
    until(lambda: not instance.alive())
    assert instance.epitaph() == "exit code 9"


def test_the_console_has_both_channels(make: Make) -> None:
    instance = make(says("printf 'a\\nb\\377\\n'; sleep 0.2; echo c >&2; sleep 0.2; echo d"))
    # Docker's own log replaces bytes that are not text.
    assert printed(instance).replace("\ufffd".encode(), b"\xff") == b"a\nb\xff\nc\nd\n"


def test_the_last_words_are_heard_even_without_the_end_of_their_line(make: Make) -> None:
    """The engine loses them more often than not, so several guests speak."""
    for _ in range(5):
        assert printed(make(says("echo a; sleep 0.3; printf b"))) == b"a\nb"


def test_the_console_can_be_had_from_a_guest_that_has_ended(make: Make) -> None:
    instance = make(says("echo words"))
    until(lambda: not instance.alive())
    console = instance.console()
    assert console.read(5.0) == b"words\n"
    assert console.read(5.0) == b""
    console.close()


def test_a_command_that_times_out_is_killed_with_its_children(make: Make) -> None:
    instance = make(WAITS)
    with pytest.raises(DeadlineExceeded, match="sh"):
        instance.run(["sh", "-c", "sleep 603 & sleep 604"], timeout=0.5)
    until(
        lambda: (
            b"sleep 60[34]" not in (out := instance.run(["ps"], timeout=TIME).stdout) and b" 603" not in out
        )
    )
    assert len(instance.processes().own) == 1


def test_a_command_that_may_not_be_executed_is_126(make: Make) -> None:
    done = make(WAITS).run(["/etc/passwd"], timeout=TIME)
    assert done.returncode == 126
    assert b"permission denied" in done.stderr


def test_a_command_that_does_not_read_its_input(make: Make) -> None:
    assert make(WAITS).run(["true"], timeout=TIME, stdin=b"x" * 2**22).returncode == 0


def test_a_command_killed_by_a_signal(make: Make) -> None:
    assert make(WAITS).run(["sh", "-c", "kill -9 $$"], timeout=TIME).returncode == 137


def test_the_image_chooses_the_stop_signal(make: Make, derived: Callable[..., OciImage]) -> None:
    script = "trap 'echo asked; exit 0' USR1; echo up; while :; do sleep 0.1; done"
    instance = make(replace(says(script), image=derived("STOPSIGNAL SIGUSR1")))
    console = instance.console()
    until(lambda: console.read(0.1) == b"up\n")
    instance.stop(timeout=TIME)
    assert console.read(5.0) == b"asked\n"
    assert not instance.alive()


def test_a_guest_that_ignores_the_stop_signal_lives_on(make: Make) -> None:
    instance = make(WAITS)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.7 s"):
        instance.stop(timeout=0.7)
    assert instance.alive()
    instance.destroy()
    assert not instance.alive()


def test_the_health_check_of_an_image_is_off(make: Make, derived: Callable[..., OciImage]) -> None:
    image = derived('HEALTHCHECK --interval=1s CMD ["touch", "/checked"]')
    instance = make(replace(WAITS, image=image))
    time.sleep(1.5)
    assert instance.run(["test", "-e", "/checked"], timeout=TIME).returncode == 1


def test_the_entrypoint_of_an_image_stays_unless_a_command_replaces_it(
    make: Make, derived: Callable[..., OciImage], api: docker.APIClient
) -> None:
    image = derived('ENTRYPOINT ["sleep"]', 'CMD ["605"]')
    seen = [
        api.inspect_container(make(replace(WAITS, image=image, command=command), start=False).tag.name)
        for command in (None, ("sleep", "606"))
    ]
    assert [[one["Path"], *one["Args"]] for one in seen] == [["sleep", "605"], ["sleep", "606"]]


def test_the_network_can_be_none(make: Make) -> None:
    alone = DockerBackend("docker", DockerOptions(network="none"))
    instance = make(WAITS, on=alone)
    assert instance.run(["cat", "/proc/net/dev"], timeout=TIME).stdout.count(b":") == 1
    with pytest.raises(InputError, match="no network"):
        alone.prepare(SERVES)
    alone.close()


def test_the_host_network_has_the_hosts_ports(make: Make) -> None:
    host = DockerBackend("docker", DockerOptions(network="host"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        guest = replace(
            SERVES,
            ready=ReadyHttp(http=Http(port=port)),
            command=("httpd", "-f", "-p", str(port), "-h", "/www"),
        )
        with pytest.raises(EngineError, match=rf"port {port} of this host is in use by .*pid {os.getpid()}"):
            host.prepare(guest)
    instance = make(guest, on=host)
    assert instance.endpoint(port) == ("127.0.0.1", port)
    host.close()


def test_a_foreign_container_of_our_name_stays(
    make: Make, api: docker.APIClient, backend: DockerBackend
) -> None:
    image = backend.prepare(WAITS).facts["image"]
    tag = Tag(f"test-{secrets.token_hex(4)}", 1, owner.current())
    foreign = api.create_container_from_config({"Image": image, "Cmd": ["true"]}, tag.name)["Id"]  # type: ignore[no-untyped-call]
    try:
        instance = backend.instance(tag, WAITS)
        with pytest.raises(StepFailed, match="already in use") as failed:
            instance.create()
        assert "vmvc clean" in failed.value.hint
        instance.destroy()
        assert api.inspect_container(foreign)["Id"] == foreign
    finally:
        api.remove_container(foreign)


def test_only_the_trial_of_the_tag_is_removed(make: Make, api: docker.APIClient) -> None:
    one, two = make(WAITS), make(WAITS)
    one.destroy()
    assert two.alive()
    assert api.inspect_container(two.tag.name)["State"]["Running"]


def test_anonymous_volumes_go_with_it(
    make: Make, derived: Callable[..., OciImage], api: docker.APIClient
) -> None:
    instance = make(replace(WAITS, image=derived("VOLUME /data")))
    (mount,) = api.inspect_container(instance.tag.name)["Mounts"]
    instance.destroy()
    volumes = api.volumes()["Volumes"] or ()
    assert mount["Name"] not in [volume["Name"] for volume in volumes]


def test_two_who_destroy_at_once(make: Make, backend: DockerBackend) -> None:
    instance = make(SERVES)
    errors: list[BaseException] = []

    def destroy() -> None:
        other = DockerBackend("docker", DockerOptions())
        try:
            other.instance(instance.tag, SERVES).destroy()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)
        other.close()

    threads = [threading.Thread(target=destroy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert instance.tag not in [one.tag for one in backend.leftovers()]
