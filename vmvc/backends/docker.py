"""A guest -> a container on the Docker Engine (or whatever serves its API)."""

from __future__ import annotations

import json
import platform
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from vmvc import images, owner
from vmvc.backends import ports
from vmvc.backends.docker_client import DockerOptions, Engine, Unreachable, connect, reached_at, translated
from vmvc.backends.docker_instance import DockerInstance
from vmvc.backends.docker_survey import differences, judge
from vmvc.contract import (
    LABEL,
    Backend,
    Finding,
    Guest,
    Isolation,
    Options,
    Preparation,
    Scalar,
    Severity,
    Tag,
)
from vmvc.errors import EngineError, Fault, ImageError, InputError, StepFailed
from vmvc.spec import BUILT_IN_IMAGES, DiskImage, GuestSpec, OciImage

LOG: Final = {"Type": "json-file", "Config": {"max-size": "16m", "max-file": "2"}}
"""The console: readable on every engine, bounded."""


class DockerBackend(Backend):
    """Containers on one engine; one connection, made when it is first needed."""

    kind: ClassVar[str] = "docker"
    isolation: ClassVar[Isolation] = Isolation.CONTAINER
    options_model: ClassVar[type[Options]] = DockerOptions
    says: ClassVar[str] = "containers on Docker Engine or Podman, with any OCI runtime"

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = cast("DockerOptions", options)
        self._connected: Engine | None = None
        self._images: dict[str, str] = {}
        self._rehearsed: set[str] = set()

    def check(self) -> Sequence[Finding]:
        try:
            api = self._engine().api
            with translated("describe itself", failure=EngineError):
                info = api.info()
                networks = {"bridge", "host", "none", *(one["Name"] for one in api.networks())}
        except EngineError as error:
            code = error.code if isinstance(error, Unreachable) else "docker.unreachable"
            return [Finding(code, Severity.ERROR, error.what, error.hint)]
        return list(judge(info, networks, self._options, self._local(info)))

    def describe(self) -> Mapping[str, Scalar]:
        try:
            api = self._engine().api
            with translated("describe itself", failure=EngineError):
                info, version = api.info(), api.version()
        except EngineError:
            return {}
        runtime = self._options.runtime or info["DefaultRuntime"]
        components = {one["Name"]: one["Version"] for one in version.get("Components") or ()}
        status = dict(info.get("DriverStatus") or ())
        facts: dict[str, Scalar | None] = {
            "address": self._address,
            "local": self._local(info),
            "version": version["Version"],
            "api_version": version["ApiVersion"],
            "storage_driver": info["Driver"],
            "storage_filesystem": status.get("Backing Filesystem"),
            "image_store": "containerd" if "driver-type" in status else "graph driver",
            "cgroup_version": info.get("CgroupVersion", "1"),
            "cgroup_driver": info["CgroupDriver"],
            "runtime": runtime,
            "runtime_version": components.get(runtime),
            "default_runtime": info["DefaultRuntime"],
            "runtimes": " ".join(sorted(info.get("Runtimes") or ())),
            "containerd_version": components.get("containerd"),
            "security": " ".join(info.get("SecurityOptions") or ()),
            "network": self._options.network,
            "kernel": info["KernelVersion"],
            "system": info["OperatingSystem"],
            "architecture": info["Architecture"],
            "cpus": info["NCPU"],
            "memory": info["MemTotal"],
        }
        return {key: value for key, value in facts.items() if value is not None}

    def prepare(self, guest: Guest) -> Preparation:
        if isinstance(guest.made.image, DiskImage):
            raise InputError(
                Fault(f"backend '{self.name}' runs containers; a disk image boots only in a virtual machine")
            )
        api = self._engine().api
        self._may_pin(guest)
        if self._options.network == "none" and guest.ports:
            raise InputError(
                Fault(
                    f"backend '{self.name}' has no network, so port {guest.ports[0]} cannot be reached",
                    hint="use a console or exec probe, or another network: options.network",
                )
            )
        for port in guest.ports if self._options.network == "host" else ():
            if what := ports.obstacle(port):
                raise EngineError(
                    f"the container would share the host's ports: {what}",
                    hint="stop it, or let the guest use another port",
                )
        with translated("prepare the image", failure=ImageError):
            image = images.docker_image(guest.made.image, api, guest.folder)
            inspected = api.inspect_image(image)  # type: ignore[no-untyped-call]
            info = api.info()
        self._images[_key(guest)] = image
        self._rehearse(guest, image)
        digests = inspected.get("RepoDigests") or ()
        facts: dict[str, Scalar] = {
            "image": inspected["Id"],
            "image_digest": digests[0] if digests else "",
            "image_size": inspected["Size"],
            "image_platform": f"{inspected['Os']}/{inspected['Architecture']}",
            "stop_signal": inspected["Config"].get("StopSignal") or "SIGTERM",
            "create": json.dumps(self._body(guest, image, {}), sort_keys=True),
        }
        return Preparation(facts, tuple(differences(guest, info)))

    def _rehearse(self, guest: Guest, image: str) -> None:
        """Have a runtime that is asked for start the guest once, so that it refuses here if at all.

        Raises: EngineError.
        """
        if self._options.runtime is None or _key(guest) in self._rehearsed:
            return
        tag = Tag(f"rehearsal-{secrets.token_hex(4)}", 0, owner.current())
        instance = DockerInstance(tag, guest, self._engine, self._body(guest, image, tag.labels()))
        try:
            instance.create()
            instance.start()
        except StepFailed as error:
            what = f"the runtime '{self._options.runtime}' does not start the guest: {error.what}"
            raise EngineError(what, hint=error.hint) from error
        finally:
            instance.destroy()
        self._rehearsed.add(_key(guest))

    def forget(self, guest: Guest) -> None:
        with translated("remove the image", failure=ImageError):
            images.remove_docker_image(guest.made.image, self._engine().api, guest.folder)

    def fetch(self, guest: Guest) -> None:
        with translated("bring the image", failure=ImageError):
            self._images[_key(guest)] = images.docker_image(
                guest.made.image, self._engine().api, guest.folder
            )

    def pulls(self, guest: Guest) -> bool:
        return isinstance(guest.image, OciImage)

    def instance(self, tag: Tag, guest: Guest) -> DockerInstance:
        image = self._images.get(_key(guest))
        body = None if image is None else self._body(guest, image, tag.labels())
        return DockerInstance(tag, guest, self._engine, body)

    def leftovers(self) -> Sequence[DockerInstance]:
        with translated("list containers", failure=EngineError):
            found = self._engine().api.containers(all=True, filters={"label": f"{LABEL}=instance"})
        tags = [tag for one in found if (tag := Tag.from_labels(one["Labels"])) is not None]
        return [DockerInstance(tag, _ANY_GUEST, self._engine, None) for tag in tags]

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _may_pin(self, guest: Guest) -> None:
        """Refuse to keep a guest on CPUs that the engine cannot give.

        Raises: InputError, EngineError.
        """
        if guest.cpuset is None:
            return
        with translated("describe itself", failure=EngineError):
            info = self._engine().api.info()
        why = ""
        if not self._local(info):
            why = "its engine is not on this host, whose CPUs are meant"
        elif not info.get("CPUSet", True):
            why = "its engine has no cpuset controller"
        if why:
            raise InputError(
                Fault(
                    f"backend '{self.name}' cannot keep a guest on CPU {guest.cpu_list}: {why}",
                    hint="leave cpus out of tune",
                )
            )

    @property
    def _address(self) -> str:
        return self._connected.address if self._connected is not None else ""

    def _engine(self) -> Engine:
        """Return the connected engine; one whose way through SSH has ended is connected anew."""
        if self._connected is not None and not self._connected.stands:
            self.close()
        if self._connected is None:
            self._connected = connect(self._options)
        return self._connected

    def _local(self, info: Mapping[str, Any]) -> bool:
        """Say whether the engine runs on this very host; a socket may lead into a desktop's machine."""
        here = platform.uname()
        return reached_at(self._address) is None and (info["KernelVersion"], info["Name"]) == (
            here.release,
            here.node,
        )

    def _body(self, guest: Guest, image: str, labels: Mapping[str, str]) -> Mapping[str, Any]:
        """Return what ``POST /containers/create`` is sent."""
        exposed = [f"{port}/tcp" for port in guest.ports]
        published = "127.0.0.1" if reached_at(self._address) is None else "0.0.0.0"
        command = guest.command or getattr(guest.made.image, "command", None)
        body: dict[str, Any] = {
            "Image": image,
            "Labels": dict(labels),
            "Env": [f"{name}={value}" for name, value in guest.env.items()],
            "ExposedPorts": {port: {} for port in exposed},
            # A health check would run commands in the guest while it is measured.
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "Memory": guest.made.memory,
                "MemorySwap": guest.made.memory,
                "NanoCpus": guest.made.cpus * 10**9,
                "NetworkMode": self._options.network,
                "PortBindings": {port: [{"HostIp": published, "HostPort": ""}] for port in exposed},
                "LogConfig": LOG,
                "Init": False,
            },
        }
        if command is not None:
            body |= {"Entrypoint": list(command), "Cmd": []}
        if guest.pids is not None:
            body["HostConfig"]["PidsLimit"] = guest.pids
        if guest.cpuset is not None:
            body["HostConfig"]["CpusetCpus"] = guest.cpu_list
        if self._options.runtime is not None:
            body["HostConfig"]["Runtime"] = self._options.runtime
        return body


_ANY_GUEST: Final = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=GuestSpec().memory, ready=GuestSpec().ready
)
"""Stands for the guest of a container that is only to be removed."""


def _key(guest: Guest) -> str:
    return f"{guest.folder}:{guest.made.image.model_dump_json()}"
