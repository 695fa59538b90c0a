"""Options and environment -> a client of the Docker Engine; what the client raises -> errors with a remedy.

The engine is found as the ``docker`` command finds it: an explicit option, ``DOCKER_HOST``,
``DOCKER_CONTEXT``, the current context of ``config.json``, the default socket.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, InvalidVersion, create_api_error_from_http_exception
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from vmvc.backends.docker_remote import forward
from vmvc.backends.ssh_connection import Connection
from vmvc.contract import Options
from vmvc.errors import DeadlineExceeded, EngineError, ImageError, StepFailed, VmvcError

FIRST_ANSWER: Final = 10
"""Seconds in which a living engine answers its first, trivial request."""
ANY_ANSWER: Final = 600
"""Seconds for any other answer; the runner's own deadlines are shorter."""


class DockerOptions(Options):
    """Where the engine is and how it isolates."""

    host: str | None = Field(
        default=None,
        pattern=r"^(unix|tcp|ssh|http|https)://[^\s]+$",
        description="Address of the engine; by default what the `docker` command would use.",
        examples=["unix:///run/podman/podman.sock", "ssh://lab-3"],
    )
    context: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$",
        description="Docker context that names the engine.",
    )
    runtime: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9/][A-Za-z0-9_./-]*$",
        description="OCI runtime, such as `runc`, `crun`, `runsc` or `kata`; by default the engine's own.",
    )
    network: str = Field(
        default="bridge",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Network of the container: `bridge`, `host`, `none` or a network of the engine.",
    )

    @model_validator(mode="after")
    def _one_engine(self) -> DockerOptions:
        if self.host is not None and self.context is not None:
            raise PydanticCustomError("one_engine", "`host` and `context` both name the engine; give one")
        return self


# --- connecting -------------------------------------------------------------------------------------------


class Unreachable(EngineError):
    """No client could be made; ``code`` is that of the finding."""

    def __init__(self, code: str, what: str, *, hint: str) -> None:
        super().__init__(what, hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class Engine:
    """A connected engine; ``link`` leads to one on another host."""

    api: docker.APIClient
    address: str
    link: Connection | None = None

    @property
    def stands(self) -> bool:
        """Whether the way to it is open; that a local engine answers is not said."""
        return self.link is None or self.link.stands

    def close(self) -> None:
        self.api.close()
        if self.link is not None:
            self.link.close()


def connect(options: DockerOptions) -> Engine:
    """Reach the engine that the options name.

    Raises: Unreachable.
    """
    target = _target(options)
    address = str(target.setdefault("base_url", "unix:///var/run/docker.sock"))
    link = None
    try:
        if urlsplit(address).scheme == "ssh":
            link = forward(address, FIRST_ANSWER)
            target = {"base_url": f"unix://{link.socket}"}
        _knock(address)
        api = docker.APIClient(**target, version="auto", timeout=FIRST_ANSWER)
    except (DockerException, requests.RequestException, OSError, ValueError) as error:
        if link is not None:
            link.close()
        raise _unreachable(error, address) from error
    api.timeout = ANY_ANSWER
    # A local socket needs no proxy and no .netrc; looking for them costs time at every call.
    api.trust_env = socket_of(str(target["base_url"])) is None
    return Engine(api, address, link)


def socket_of(address: str) -> str | None:
    """Return the path of a local engine's socket; ``None`` where it is reached otherwise."""
    parts = urlsplit(address)
    return parts.path if parts.scheme == "unix" else None


def reached_at(address: str) -> str | None:
    """Return the host name by which another host's engine is reached; ``None`` for one on this host."""
    parts = urlsplit(address)
    if parts.scheme in ("unix", "npipe") or parts.hostname in (None, "localhost", "127.0.0.1", "::1"):
        return None
    return parts.hostname


def _knock(address: str) -> None:
    """See whether a local engine listens: the client would bury the reason, and leave its socket open.

    Raises: OSError.
    """
    if path := socket_of(address):
        with socket.socket(socket.AF_UNIX) as trial:
            trial.connect(path)


def _unreachable(error: BaseException, address: str) -> Unreachable:
    cause = _system_error(error)
    if isinstance(cause, PermissionError):
        return Unreachable(
            "docker.permission",
            f"this user may not use the Docker Engine at {address}: permission denied",
            hint="sudo usermod -aG docker $USER, then log in again",
        )
    if isinstance(error, InvalidVersion):
        return Unreachable(
            "docker.api-too-old",
            f"the Docker Engine at {address} is too old: {error}",
            hint="upgrade Docker Engine to 20.10 or newer",
        )
    return Unreachable(
        "docker.unreachable",
        f"no Docker Engine answers at {address}: {(cause and cause.strerror) or error}",
        hint="start it (sudo systemctl start docker), or check DOCKER_HOST and the docker context",
    )


def _target(options: DockerOptions) -> dict[str, Any]:
    """Return ``base_url`` and ``tls`` for the client; without ``base_url`` it is the default socket.

    Raises: Unreachable.
    """
    environment = kwargs_from_env()
    if options.host is not None:
        return {**environment, "base_url": options.host}
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    if options.context is not None:
        name = options.context
    elif "base_url" in environment:
        return dict(environment)
    else:
        name = os.environ.get("DOCKER_CONTEXT") or _current_context(folder)
    return dict(environment) if name == "default" else _context(folder, name)


def _current_context(folder: Path) -> str:
    """Return the context that the ``docker`` command would use.

    Raises: Unreachable.
    """
    file = folder / "config.json"
    try:
        return str(json.loads(file.read_text()).get("currentContext") or "default")
    except FileNotFoundError:
        return "default"
    except (OSError, ValueError, AttributeError) as error:
        raise Unreachable(
            "docker.context",
            f"which engine to use cannot be read from {file}: {error}",
            hint="mend the file, or name the engine: options.host",
        ) from error


def _context(folder: Path, name: str) -> dict[str, Any]:
    """Read a context as the ``docker`` command stores it.

    Raises: Unreachable.
    """
    identity = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = json.loads((folder / "contexts/meta" / identity / "meta.json").read_text())
        endpoint = meta["Endpoints"]["docker"]
        target: dict[str, Any] = {"base_url": endpoint["Host"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(
            "docker.context",
            f"there is no usable Docker context '{name}' in {folder}",
            hint="docker context ls shows those there are",
        ) from error
    tls = folder / "contexts/tls" / identity / "docker"
    if (tls / "cert.pem").is_file():
        target["tls"] = TLSConfig(
            client_cert=(str(tls / "cert.pem"), str(tls / "key.pem")),
            ca_cert=str(tls / "ca.pem") if (tls / "ca.pem").is_file() else None,
            verify=not endpoint.get("SkipTLSVerify", False),
        )
    return target


def _system_error(error: BaseException | None) -> OSError | None:
    """Return the operating system's own error from under the layers of the HTTP client."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        one = todo.pop(0)
        if not isinstance(one, BaseException) or one in seen:
            continue
        if isinstance(one, OSError) and one.errno is not None:
            return one
        seen.append(one)
        todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return None


# --- asking -----------------------------------------------------------------------------------------------


def ask(api: docker.APIClient, method: str, path: str, **options: Any) -> requests.Response:
    """Make a request that the client has no function for.

    Raises: docker.errors.APIError, requests.RequestException.
    """
    options.setdefault("timeout", api.timeout)
    response = api.request(method, f"{api.base_url}/v{api.api_version}{path}", **options)
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)
    return response


_MISSING = "name a program that is in the image: guest.command"
_RUNTIME = "register the runtime with the engine, or choose another: options.runtime"
_REMEDIES: Final[Mapping[str, str]] = {
    r"port is already allocated|address already in use": "free the port: see who holds it with ss -ltnp",
    r"is already in use by container": "remove what an earlier run left behind: vmvc clean",
    r"/dev/net/tun": "let this user open it, as udev does (sudo chmod 666 /dev/net/tun), or network: none",
    r"exec format error": "the image is for another CPU architecture; use one for this host",
    r"hybrid mode not supported": "boot with one version of cgroups, or choose another: options.runtime",
    r"network enabled in root network namespace": "give runsc runtimeArgs --network=host, or upgrade it",
    r"fork/exec \S+: no such file": "install the runtime's program, or choose another: options.runtime",
    r"executable file not found|no such file or directory": _MISSING,
    r"permission denied.*unknown": "make the guest's command executable in the image",
    r"[Uu]nknown runtime|invalid runtime name": _RUNTIME,
    r"Minimum memory limit": "raise guest.memory",
    r"Range of CPUs": "lower guest.cpus",
    r"no space left on device": "free space on the engine's disk: docker system df",
    r"cgroup": "this OCI runtime cannot use the host's cgroups; choose another: options.runtime",
    r"network \S+ not found": "create the network, or choose another: options.network",
    r"could not find bridge": "the engine has lost its network: restart it (sudo systemctl restart docker)",
    r"is not running": "the guest has ended; read its console",
}


@contextmanager
def translated(doing: str, *, failure: type[VmvcError] = StepFailed) -> Iterator[None]:
    """Turn what the client raises into an error that says what was being done.

    Raises: ``failure`` (the engine refused), ImageError (no such image), EngineError (the engine is gone),
    DeadlineExceeded (no answer in ``ANY_ANSWER`` seconds).
    """
    try:
        yield
    except APIError as error:
        said = (error.explanation or str(error)).strip()
        what = f"Docker would not {doing}: {said}"
        if "No such image" in said:
            raise ImageError(what, hint="build or pull the image first: vmvc image build") from error
        hint = next((hint for pattern, hint in _REMEDIES.items() if re.search(pattern, said)), "")
        raise failure(what, hint=hint or "see the log of the Docker Engine") from error
    except requests.ReadTimeout as error:
        raise DeadlineExceeded(
            f"Docker did not {doing} in time: no answer from the engine",
            hint="see the log of the Docker Engine",
        ) from error
    except (DockerException, requests.RequestException) as error:
        raise EngineError(
            f"the Docker Engine went away while asked to {doing}: {_system_error(error) or error}",
            hint="start it again (sudo systemctl start docker)",
        ) from error
