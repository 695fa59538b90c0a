"""A tag and a container's definition -> one container of the Docker Engine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import docker
import psutil
import requests
from docker.errors import APIError, DockerException, NotFound

from vmvc.backends import docker_exec, docker_host, docker_streams
from vmvc.backends.docker_client import Engine, ask, reached_at, socket_of, translated
from vmvc.backends.docker_events import Events
from vmvc.backends.docker_host import UNLIMITED, HostSide, unlimited
from vmvc.contract import ByteStream, Completed, DiskUsage, Guest, Instance, Limits, Marks, Processes, Tag
from vmvc.errors import (
    CleanupError,
    DeadlineExceeded,
    EngineError,
    GuestDied,
    StepFailed,
    Unavailable,
    VmvcError,
)

GONE_WITHIN: Final = 45.0
"""Seconds for a removal, retries included."""
NOTICED_WITHIN: Final = 5.0
"""Seconds in which the engine notices that a container's process has ended."""
NEVER: Final = 10**8
"""Seconds before the engine kills a guest that was asked to stop: some three years."""
_ONE_KERNEL: Final = "a container runs on a kernel that is up already"
_SHARING: Final = ("runc", "crun", "io.containerd.runc.v2")
"""Runtimes that let containers run on the host's kernel."""


class DockerInstance(Instance):
    """One container; ``body`` is sent to the engine on ``create``, ``engine`` connects when first called."""

    def __init__(
        self, tag: Tag, guest: Guest, engine: Callable[[], Engine], body: Mapping[str, Any] | None
    ) -> None:
        super().__init__(tag, guest)
        self._engine = engine
        self._body = body
        self._id = ""
        self._inspected: Mapping[str, Any] | None = None
        self._host: HostSide | None = None
        self._elsewhere: Unavailable | None = None
        self._watch: _Watch | None = None
        self._tell: Callable[[str], None] = lambda event: None
        self._events: Events | None = None

    def watch(self, tell: Callable[[str], None]) -> None:
        """Subscribe to the engine's events."""
        self._tell = tell
        self._events = Events(self._engine().api, self.tag.name, lambda: self._id, tell)

    def marks(self) -> Marks:
        runtime = (self._inspected or self._body or {}).get("HostConfig", {}).get("Runtime") or "runc"
        absent = dict.fromkeys(("kernel", "init"), _ONE_KERNEL) if runtime in _SHARING else {}
        if self._network in ("host", "none"):
            absent["network"] = f"the container gets no interface of its own (network: {self._network})"
        return Marks(absent=absent)

    def create(self) -> None:
        if self._body is None:
            raise EngineError("the guest was not prepared for this engine", hint="call prepare() first")
        api = self._engine().api
        with translated("create the container"):
            created = api.create_container_from_config(self._body, self.tag.name)  # type: ignore[no-untyped-call]
            self._id = created["Id"]

    def start(self) -> None:
        api = self._engine().api
        with translated("start the container"):
            api.start(self._container)
        self._was("exec")

    def endpoint(self, port: int) -> tuple[str, int]:
        """Return where ``port`` is published; the engine is asked once.

        Raises: GuestDied where the container has ended already; StepFailed where it is not published.
        """
        if self._network == "host":
            return "127.0.0.1", port
        if not self.alive():
            raise GuestDied(
                f"the container ended at once ({self.epitaph() or 'how is not known'})",
                hint="run the guest's command by hand in the same image and read its error",
            )
        bindings = (self._look()["NetworkSettings"]["Ports"] or {}).get(f"{port}/tcp")
        if bindings:
            return reached_at(self._engine().address) or "127.0.0.1", int(bindings[0]["HostPort"])
        raise StepFailed(
            f"Docker publishes no port {port} of the container on network '{self._network}'",
            hint="choose a network that publishes ports, such as bridge: options.network",
        )

    def console(self) -> ByteStream:
        """Return both output channels; the engine tells line by line and keeps a line until it is whole."""
        options = {"follow": 1, "stdout": 1, "stderr": 1, "tail": "all"}
        path = f"/containers/{self._container}/logs"
        api = self._engine().api

        def follow(seconds: float) -> requests.Response:
            with translated("show the container's console"):
                return ask(api, "GET", path, params=options, stream=True, timeout=(10, seconds))

        def everything() -> bytes:
            return ask(api, "GET", path, params={**options, "follow": 0}).content

        return docker_streams.Console(follow, everything, f"console of {self.tag.name}")

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command by ``docker exec``.

        After ``timeout`` the command and its children are killed where this user may kill them on this host;
        elsewhere they end with the container.
        """
        return docker_exec.run(self._engine().api, self._container, argv, timeout, stdin, self._kill)

    def alive(self) -> bool:
        """Say whether the container's first process runs; the engine is asked at the first call only."""
        if not self._id or not self._look()["State"]["Running"]:
            return False
        if self._host is not None:
            return self._host.alive()
        if self._watch is None:
            self._watch = _Watch(self._engine().api, self._id)
        return self._watch.running

    def exit_code(self) -> int:
        try:
            with translated("see how the container ended"):
                state = self._engine().api.inspect_container(self._container)["State"]
        except VmvcError as error:
            raise Unavailable(error.what) from error
        if state["Running"]:
            raise Unavailable("the container still runs")
        return int(state["ExitCode"])

    def epitaph(self) -> str:
        """Say how the container ended; the engine, which learns of it a little later than we do, is asked."""
        if not self._id or self.alive():
            return ""
        api, container = self._engine().api, self._container
        with suppress(VmvcError), translated("see how the container ended"):
            ask(api, "POST", f"/containers/{container}/wait", timeout=(10, NOTICED_WITHIN))
            state = api.inspect_container(container)["State"]
            return "" if state["Status"] == "created" else _how_it_ended(state)
        return ""

    def processes(self) -> Processes:
        """Return as own its cgroup, as helpers its shim and port proxies, as shared the engine."""
        host = self._here()
        bindings = (self._look()["NetworkSettings"]["Ports"] or {}).values()
        ports = [int(one["HostPort"]) for published in bindings for one in published or ()]
        return host.processes(ports, socket_of(self._engine().address))

    def cgroup(self) -> Path | None:
        return self._here().cgroup

    def disk(self) -> DiskUsage:
        """Count the container's storage: see ``docker_host.disk``."""
        with translated("measure the container's size"):
            answer = ask(self._engine().api, "GET", f"/containers/{self._container}/json", params={"size": 1})
        with suppress(Unavailable):
            return docker_host.disk(answer.json(), self._here())
        return docker_host.disk(answer.json(), None)

    def limits(self) -> Limits:
        """Return what the engine says of the container, which may be less than it was asked for.

        A rootless engine may say so, and keep none.
        """
        settings = self._look()["HostConfig"]
        cpus = (settings.get("NanoCpus") or 0) / 10**9
        memory, pids = int(settings.get("Memory") or 0), max(0, int(settings.get("PidsLimit") or 0))
        given = {"cpus": cpus, "memory": memory, "pids": pids}
        with translated("describe itself"):
            if unlimited(self._engine().api.info()):
                return Limits(None, None, None, "cgroup", dict.fromkeys(given, UNLIMITED))
        absent = {name: "no limit is set" for name, limit in given.items() if not limit}
        return Limits(cpus or None, memory or None, pids or None, "cgroup", absent)

    def stop(self, *, timeout: float) -> None:
        """Have the engine send the image's stop signal, and wait; the engine is told never to kill."""
        try:
            with translated("stop the container"):
                ask(
                    self._engine().api,
                    "POST",
                    f"/containers/{self._container}/stop",
                    params={"t": NEVER},
                    timeout=(10, timeout),
                )
            self._was("stopped")
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                f"the guest did not end within {timeout:g} s of its stop signal",
                hint="handle the signal in its command: process 1 ignores signals that it has no handler for",
            ) from error

    def destroy(self) -> None:
        """Remove every container with this tag, and its anonymous volumes.

        Podman may forget a container whose stop is under way and leave its process: that ends here.
        """
        left = self._first_process()
        self._forget()
        try:
            with translated("remove the container", failure=CleanupError):
                _remove(self._engine().api, self.tag, time.monotonic() + GONE_WITHIN)
                if left is not None and left.is_running():
                    with suppress(psutil.Error):
                        left.kill()
        except CleanupError:
            raise
        except (EngineError, DeadlineExceeded) as error:
            raise CleanupError(
                f"whether the container {self.tag.name} is gone is not known: {error.what}", hint=error.hint
            ) from error

    def _first_process(self) -> psutil.Process | None:
        """Return the container's first process, where this host has shown it and it still runs."""
        if self._host is None or self._inspected is None or not self._host.alive():
            return None
        with suppress(psutil.Error):
            return psutil.Process(int(self._inspected["State"]["Pid"]))
        return None

    @property
    def _container(self) -> str:
        if not self._id:
            raise StepFailed(f"there is no container {self.tag.name}", hint="create it first")
        return self._id

    @property
    def _network(self) -> str:
        return str(self._body["HostConfig"]["NetworkMode"]) if self._body is not None else ""

    def _look(self) -> Mapping[str, Any]:
        """Inspect the container, once when it runs; then hold its first process where this host shows it."""
        if self._inspected is not None:
            return self._inspected
        with translated("inspect the container"):
            inspected: Mapping[str, Any] = self._engine().api.inspect_container(self._container)
        if inspected["State"]["Running"]:
            self._inspected = inspected
            try:
                self._host = HostSide(self._id, int(inspected["State"]["Pid"]))
            except Unavailable as error:
                self._elsewhere = error
        return inspected

    def _forget(self) -> None:
        """Let go of what was known of the container."""
        if self._host is not None:
            self._host.close()
        if self._events is not None:
            self._events.close()
        self._id, self._host, self._inspected, self._watch, self._events = "", None, None, None, None

    def _was(self, event: str) -> None:
        """Tell of what a call's return proves, in case its event comes later than that."""
        if self._events is not None and self._events.live:
            self._tell(event)

    def _here(self) -> HostSide:
        state = self._look()["State"]
        if self._host is not None:
            return self._host
        raise self._elsewhere or Unavailable(f"the container has ended ({_how_it_ended(state)})")

    def _kill(self, pid: int) -> None:
        with suppress(Unavailable, psutil.Error):
            self._here()
            first = psutil.Process(pid)
            for one in (*first.children(recursive=True), first):
                with suppress(psutil.Error):
                    one.send_signal(signal.SIGKILL)


class _Watch:
    """Knows whether a container on another host runs: a thread waits for its end, so that asking is free."""

    def __init__(self, api: docker.APIClient, container: str) -> None:
        self.running = True
        self._api = api
        self._container = container
        threading.Thread(target=self._wait, name=f"watch {container[:12]}", daemon=True).start()

    def _wait(self) -> None:
        with suppress(DockerException, requests.RequestException):
            ask(self._api, "POST", f"/containers/{self._container}/wait", timeout=(10, None))
        self.running = False


def _how_it_ended(state: Mapping[str, Any]) -> str:
    if state.get("OOMKilled"):
        return "killed by the kernel: out of memory"
    return f"exit code {state['ExitCode']}" + (f", {state['Error']}" if state.get("Error") else "")


def _remove(api: docker.APIClient, tag: Tag, deadline: float) -> None:
    """Remove until nothing with the tag's labels is there; foreign containers are never named.

    Raises: CleanupError, with the last refusal, at the deadline.
    """
    labels = [f"{key}={value}" for key, value in tag.labels().items()]
    refusal: APIError | None = None
    while found := [
        one
        for one in api.containers(all=True, filters={"label": labels})
        if Tag.from_labels(one["Labels"]) == tag
    ]:
        if time.monotonic() > deadline:
            raise CleanupError(
                f"Docker does not remove the container {tag.name}: {refusal or found[0]['State']}",
                hint=f"docker rm -f {tag.name}",
            ) from refusal
        for container in found:
            try:
                api.remove_container(container["Id"], v=True, force=True)
            except NotFound:
                continue
            except APIError as error:
                # Being removed by another, or busy for a moment: look again.
                refusal = error
                time.sleep(0.1)
