"""A libvirt URI -> an open connection, and its machines."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from vmvc import images
from vmvc.backends.libvirt_binding import (
    NOTHING_THERE,
    libvirt,
    start_events,
    translated,
)
from vmvc.backends.libvirt_domain import METADATA, read_tag
from vmvc.backends.libvirt_existing import Existing
from vmvc.backends.libvirt_running import Domain
from vmvc.contract import Tag
from vmvc.errors import EngineError

SYSTEM: Final = "qemu:///system"
SESSION: Final = "qemu:///session"
EMBED: Final = "qemu:///embed"
NOT_FOUND: Final = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG)
"""Errors of a look-up: there is none of that name, or the name is no UUID."""
QUICK: Final = 5.0
"""Seconds within which a daemon must answer to be chosen."""

# --- the driver inside this process -----------------------------------------------------------------------

_LONGEST_ROOT: Final = 107 - len("/lib/qemu/domain-999999-vmvc-20261124t000000z/monitor.sock")
"""Bytes: the path of a socket has 107 at most, and libvirt makes sockets below the driver's root."""
_DRIVER: Final = 'stdio_handler = "file"\n'  # as root it would want virtlogd, a daemon
_embedding = threading.Lock()
_embedded: Connection | None = None


def _embed() -> Connection:
    """Return the driver inside this process, opened once and for good.

    libvirt lets a process have one such driver, in one folder, and open it few times; and it lets one process
    use a folder. So the first folder that nobody holds is taken. Folders are used again, since in a new one
    libvirt examines QEMU anew for seconds.

    Raises: EngineError.
    """
    global _embedded
    with _embedding:
        if _embedded is None:
            folder = images.cache_dir() / "libvirt"
            if len(os.fsencode(folder / "99")) > _LONGEST_ROOT:
                raise EngineError(
                    f"libvirt's driver cannot make its sockets below {folder}: the path is too long",
                    hint="set VMVC_CACHE to a shorter path, or start libvirt's daemon",
                )
            root = next(root for number in count() if _claim(root := folder / str(number)))
            _embedded = _open(f"{EMBED}?root={quote(str(root))}")
        return _embedded


def _claim(root: Path) -> bool:
    """Hold a folder until this process ends, unless another process does."""
    try:
        (root / "etc").mkdir(parents=True, exist_ok=True)
        if not (settings := root / "etc" / "qemu.conf").exists():
            settings.write_text(_DRIVER)
        lock = os.open(root / "vmvc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EngineError(
            f"libvirt's driver has no folder for itself: {error.strerror} ({root})",
            hint="set VMVC_CACHE to a folder that can be written",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def root_of(uri: str) -> Path | None:
    """Return the root of an embedded driver; ``None`` for a daemon."""
    path = uri.partition("?root=")[2]
    return Path(unquote(path)) if path else None


def log_of(uri: str, name: str) -> Path:
    """Return where the driver at ``uri`` writes what QEMU complains of."""
    if (root := root_of(uri)) is not None:
        folder = root / "log" / "qemu"
    elif uri == SYSTEM:
        folder = Path("/var/log/libvirt/qemu")
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "libvirt/qemu/log"
    return folder / f"{name}.log"


# --- connections ------------------------------------------------------------------------------------------


@dataclass
class Drivers:
    """The driver that an experiment asks for, and others that machines were made with; opened when needed.

    ``auto`` is the system's daemon where it answers quickly, else the driver in this process; what was chosen
    once stays.
    """

    wanted: str
    _open: dict[str, Connection] = field(default_factory=dict)

    def own(self) -> Connection:
        """Return the driver that new machines are made with.

        Raises: EngineError.
        """
        if self.wanted == "auto":
            system = self.system()
            self.wanted = SYSTEM if system is not None else EMBED
        return self._get(self.wanted)

    def system(self) -> Connection | None:
        """Return the system's daemon, where it answers quickly."""
        return _within(QUICK, lambda: self._get(SYSTEM))

    def at(self, uri: str) -> Connection | None:
        """Return the driver at a URI; ``None`` where it is inside another process.

        Raises: EngineError.
        """
        if root_of(uri) is None:
            return self._get(uri)
        return _embedded if _embedded is not None and _embedded.uri == uri else None

    def close(self) -> None:
        """Close what is open; it is opened again when needed."""
        while self._open:
            _, connection = self._open.popitem()
            connection.close()

    def _get(self, uri: str) -> Connection:
        if uri == EMBED:
            return _embed()
        found = self._open.get(uri)
        if found is not None and not found.alive():
            self._open.pop(uri).close()
            found = None
        if found is None:
            found = self._open[uri] = _open(uri)
        return found


def _open(uri: str) -> Connection:
    start_events()
    address = _address(uri) if _embedded is not None else uri
    with translated(f"be reached at {uri.partition('?')[0]}", EngineError):
        # Whoever may need a user and a password finds them in libvirt's own file; nobody is asked.
        kinds = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]
        return Connection(uri, libvirt.openAuth(address, [kinds, lambda *_: -1, None], 0))


def _address(uri: str) -> str:
    """Name a daemon by its socket: beside a driver inside this process, libvirt finds it by nothing else."""
    home = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    driver, _, path = uri.partition(":///")
    folder = Path(home) / "libvirt" if path == "session" else Path("/run/libvirt")
    if driver in ("test", "") or "+" in driver or "?" in uri or ":///" not in uri:
        return uri
    sockets = [folder / name for name in ("libvirt-sock", f"virt{driver}d-sock")]
    found = next((path for path in sockets if path.exists()), sockets[0])
    return f"{driver}+unix:///{path}?socket={quote(str(found))}"


def _within(seconds: float, call: Callable[[], Connection]) -> Connection | None:
    """Return what ``call`` gives; ``None`` where it fails or takes longer (its thread is then left alone)."""
    answer: list[Connection] = []

    def ask() -> None:
        with suppress(EngineError):
            answer.append(call())

    thread = threading.Thread(target=ask, name="libvirt open", daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else None


class Connection:
    """One open driver."""

    def __init__(self, uri: str, opened: Any) -> None:
        self.uri = uri
        self._opened = opened
        self._agents: dict[str, threading.Event] = {}
        self._listening: int | None = None
        with suppress(libvirt.libvirtError):  # Some drivers have no such event, or none at all.
            self._listening = opened.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._heard_agent, None
            )

    def alive(self) -> bool:
        return bool(self._opened.isAlive())

    def close(self) -> None:
        """Close it; one whose daemon has gone needs no more."""
        with suppress(libvirt.libvirtError):
            # A connection stays open while somebody listens.
            if self._listening is not None:
                self._opened.domainEventDeregisterAny(self._listening)
            self._opened.close()

    @property
    def shown(self) -> str:
        """The URI without its parameters; of an embedded driver without its folder."""
        return self.uri.partition("?")[0]

    @property
    def driver(self) -> str:
        """libvirt's name of the driver: QEMU, LXC, TEST, ESX..."""
        with translated("tell its kind", EngineError):
            return str(self._opened.getType())

    def versions(self) -> Mapping[str, str]:
        driver = self.driver
        with translated("tell its version", EngineError):
            found = {"libvirt_version": _version(self._opened.getLibVersion())}
        with suppress(libvirt.libvirtError):
            found[f"{driver.lower()}_version"] = _version(self._opened.getVersion())
        return found

    def machine(self, name: str) -> Existing | None:
        """Return the machine of that name or UUID, running or not; ``None`` where there is none.

        Raises: EngineError.
        """
        with translated("look up the machine", EngineError):
            for look_up in (self._opened.lookupByName, self._opened.lookupByUUIDString):
                try:
                    return Existing(self._opened, look_up(name))
                except libvirt.libvirtError as error:
                    if error.get_error_code() not in NOT_FOUND:
                        raise
        return None

    def names(self) -> list[str]:
        """Return the names of all machines, running or not."""
        with translated("list machines", EngineError):
            return [str(domain.name()) for domain in self._opened.listAllDomains()]

    def capabilities(self) -> str:
        with translated("tell what it can do", EngineError):
            return str(self._opened.getCapabilities())

    def start(self, xml: str, uuid: str, *, paused: bool = False) -> Domain:
        """Start a machine that libvirt forgets when it ends; ``paused``: its CPUs do not run yet."""
        agent = self._agents[uuid] = threading.Event()
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        with translated("start the machine"):
            return Domain(self._opened.createXML(xml, flags), agent)

    def forget(self, uuid: str) -> None:
        """Stop telling of a machine's agent."""
        self._agents.pop(uuid, None)

    def tags(self) -> list[Tag]:
        """Return the tags of all running machines that carry one."""
        with translated("list machines", EngineError):
            found = [_tag(domain) for domain in self._opened.listAllDomains()]
        return [tag for tag in found if tag is not None]

    def remove(self, tag: Tag) -> None:
        """End the machine with this tag, if there is one; a machine of that name without the tag stays."""
        with translated(f"remove the machine {tag.name}"):
            try:
                domain = self._opened.lookupByName(tag.name)
                if _tag(domain) == tag:
                    domain.destroy()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in NOTHING_THERE:
                    raise

    def _heard_agent(self, _connection: Any, domain: Any, state: int, _reason: int, _: Any) -> None:
        if agent := self._agents.get(domain.UUIDString()):
            if state == libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED:
                agent.set()
            else:
                agent.clear()


def _tag(domain: Any) -> Tag | None:
    try:
        return read_tag(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA))
    except libvirt.libvirtError as error:
        if error.get_error_code() in NOTHING_THERE:
            return None
        raise


def _version(number: int) -> str:
    return f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"
