"""A guest -> a container on the Docker Engine (or whatever serves its API)."""

from __future__ import annotations

import json
import platform
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from vmvc import images, owner
from vmvc.backends import ports
from vmvc.backends.docker_client import (
    DockerOptions,
    Engine,
    Unreachable,
    connect,
    reached_at,
    translated,
)
from vmvc.backends.docker_host import UNLIMITED, unlimited
from vmvc.backends.docker_instance import DockerInstance
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
from vmvc.spec import BUILT_IN_IMAGES, DiskImage, GuestSpec, OciImage, ReadyConsole
from vmvc.units import show_bytes

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
        return list(_judge(info, networks, self._options, self._local(info)))

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
        return Preparation(facts, tuple(_differences(guest, info)))

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


def _judge(
    info: Mapping[str, Any], networks: set[str], options: DockerOptions, local: bool
) -> Iterable[Finding]:
    """Say what this engine lacks."""
    if info.get("OSType") != "linux":
        yield Finding(
            "docker.not-linux",
            Severity.ERROR,
            f"the engine runs {info.get('OSType')} containers",
            "switch Docker Desktop to Linux containers",
        )
    known = info.get("Runtimes") or {}
    if (
        options.runtime
        and options.runtime not in known
        and not options.runtime.startswith(("/", "io.containerd."))
    ):
        yield Finding(
            "docker.runtime-unknown",
            Severity.ERROR,
            f"the engine has no runtime '{options.runtime}', it knows {', '.join(sorted(known))}",
            "register it under 'runtimes' in /etc/docker/daemon.json and restart the engine",
        )
    program = str((known.get(options.runtime or "") or {}).get("path", ""))
    if local and program and shutil.which(program) is None:
        yield Finding(
            "docker.runtime-missing",
            Severity.ERROR,
            f"the engine's runtime '{options.runtime}' is the program {program}, which is not on this host",
            "install it, or choose another: options.runtime",
        )
    if options.network not in networks:
        yield Finding(
            "docker.network-unknown",
            Severity.ERROR,
            f"the engine has no network '{options.network}', it knows {', '.join(sorted(networks))}",
            f"docker network create {options.network}",
        )
    for key, limit in (("MemoryLimit", "memory"), ("CpuCfsQuota", "CPU"), ("PidsLimit", "pids")):
        if not info.get(key, True):
            yield Finding(
                f"docker.no-{limit.lower()}-limit",
                Severity.WARNING,
                f"the engine cannot limit {limit}: guest settings have no effect on containers",
                "enable the kernel's cgroup controllers, and delegate them to a rootless engine",
            )
    if unlimited(info):
        yield Finding(
            "docker.no-limits",
            Severity.WARNING,
            f"{UNLIMITED}: guest.memory, cpus and pids have no effect on containers",
            "boot with version 2 of cgroups alone, or use an engine that root runs",
        )
    if not info.get("SwapLimit", True):
        yield Finding(
            "docker.no-swap-limit",
            Severity.INFO,
            "the engine cannot limit swap: a container may swap beyond its memory limit",
            "swapoff -a for the time of the run, or boot the kernel with swapaccount=1",
        )
    if info.get("Driver") == "vfs":
        yield Finding(
            "docker.storage-vfs",
            Severity.WARNING,
            "the storage driver vfs copies the whole image for every container",
            "use a storage driver with copy-on-write, such as overlay2",
        )
    if not local:
        yield Finding(
            "docker.elsewhere",
            Severity.INFO,
            "the engine is not on this host: processes, cgroups and disk blocks of containers will be absent",
            "run vmvc on the engine's own Linux host",
        )
    for warning in info.get("Warnings") or ():
        yield Finding(
            "docker.engine-warning", Severity.INFO, warning.removeprefix("WARNING: "), "see docker info"
        )


def _differences(guest: Guest, info: Mapping[str, Any]) -> Iterable[Finding]:
    """Say where a container is not what the guest asks for."""
    if guest.boot == "systemd":
        yield Finding(
            "docker.boot",
            Severity.INFO,
            "a container has no boot: it runs its command directly, whatever guest.boot says",
            "compare with boot: command, so that both run the same",
        )
    if guest.ssh is not None:
        yield Finding(
            "docker.ssh",
            Severity.INFO,
            "a container needs no SSH: its engine runs commands in it, whatever guest.ssh says",
            "remember that a command by SSH takes longer by the way there (workload tells how long)",
        )
    if guest.made.cpus > info["NCPU"]:
        yield Finding(
            "docker.cpus",
            Severity.WARNING,
            f"Docker will refuse {guest.made.cpus} CPUs: the engine's host has {info['NCPU']}",
            "lower guest.cpus",
        )
    if guest.made.memory > info["MemTotal"]:
        yield Finding(
            "docker.memory",
            Severity.WARNING,
            f"the memory limit of {show_bytes(guest.made.memory)} exceeds what the host has: "
            f"{show_bytes(info['MemTotal'])}",
            "lower guest.memory",
        )
    if isinstance(guest.ready, ReadyConsole):
        yield Finding(
            "docker.console-lines",
            Severity.INFO,
            "Docker hands on a container's output line by line: a prompt without a newline is seen late",
            "match a whole line in the console probe",
        )
