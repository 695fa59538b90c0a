"""A domain of libvirt's binding -> a machine that exists already: looked at, started and stopped only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from vmvc.backends.libvirt_binding import NOT_THERE, NOTHING_THERE, libvirt, translated
from vmvc.backends.libvirt_standstill import standstill
from vmvc.backends.streams import Fed
from vmvc.errors import StepFailed, Unavailable

STATES: Final = {
    libvirt.VIR_DOMAIN_NOSTATE: "running",
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
}
ASK_EVERY: Final = 0.25
"""Seconds between two questions to a driver that does not tell of a machine's end."""
_ENDED: Final = (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED)


@contextmanager
def offered(driver: str, doing: str) -> Iterator[None]:
    """Turn a call that this driver lacks into ``Unavailable``, any other refusal into ``StepFailed``.

    Raises: Unavailable, StepFailed.
    """
    try:
        with translated(doing):
            yield
    except StepFailed as error:
        cause = error.__cause__
        if isinstance(cause, libvirt.libvirtError) and cause.get_error_code() in NOT_THERE:
            raise Unavailable(f"libvirt's driver {driver} cannot {doing}") from error
        raise


class Existing:
    """One machine of a user's, through calls that every driver may have."""

    def __init__(self, opened: Any, domain: Any) -> None:
        self._opened = opened
        self._domain = domain
        self.driver = str(opened.getType())

    @property
    def domain(self) -> Any:
        """The binding's own object, for the guest agent."""
        return self._domain

    @property
    def uuid(self) -> str:
        return str(self._domain.UUIDString())

    def state(self) -> str:
        """Return a word of ``STATES``, or ``saved``."""
        with translated("tell the machine's state"):
            word = STATES.get(self._domain.state()[0], "in a state that is not known")
            with suppress(Unavailable), offered(self.driver, "tell of a saved state"):
                if word == "off" and self._domain.hasManagedSaveImage(0):
                    return "saved"
        return word

    def persistent(self) -> bool:
        with translated("tell whether the machine is defined"):
            return bool(self._domain.isPersistent())

    def xml(self) -> str:
        """Return its definition, without the secrets in it."""
        with translated("describe the machine"):
            flags = libvirt.VIR_DOMAIN_XML_INACTIVE if self._domain.isPersistent() else 0
            return str(self._domain.XMLDesc(flags))

    def number(self) -> int:
        """Return libvirt's number of the running machine; of a container the pid of its controller."""
        with translated("look at the machine"):
            return int(self._opened.lookupByUUIDString(self.uuid).ID())

    def standstill(self) -> str:
        """Return why its CPUs do not run, "" where they do."""
        return standstill(self._domain)

    def start(self, *, paused: bool) -> None:
        with translated("start the machine"):
            self._domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)

    def resume(self) -> None:
        with translated("let the machine run"):
            self._domain.resume()

    def press(self, *, listens: bool) -> None:
        """Ask it to end, by its power button where it has one; nothing where it has ended.

        A container whose first process ``listens`` at initctl is told there, another by SIGTERM: libvirt
        itself takes the first way also where nobody listens.

        Raises: Unavailable where the driver cannot; StepFailed.
        """
        by_signal = 0 if listens else libvirt.VIR_DOMAIN_SHUTDOWN_SIGNAL
        ways = {"QEMU": libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, "LXC": by_signal}
        way = ways.get(self.driver, 0)
        try:
            with offered(self.driver, "shut a machine down"):
                if way:
                    self._domain.shutdownFlags(way)
                else:
                    self._domain.shutdown()
        except StepFailed as error:
            if not _nothing_there(error):
                raise

    def end(self) -> None:
        """End it by force; nothing where it has ended."""
        try:
            with translated("end the machine"):
                self._domain.destroy()
        except StepFailed as error:
            if not _nothing_there(error):
                raise

    def active(self) -> bool:
        with translated("look at the machine"):
            return bool(self._domain.isActive())

    def block(self, target: str) -> tuple[int, int]:
        """Return a disk's size and what of it is in use, in bytes.

        Raises: Unavailable, StepFailed.
        """
        with offered(self.driver, "measure a disk"):
            capacity, allocation, _ = self._domain.blockInfo(target)
            return int(capacity), int(allocation)

    def addresses(self) -> list[str]:
        """Return its network addresses, by DHCP leases, its agent, or the host's ARP table; none yet: empty.

        Raises: Unavailable where the driver tells none.
        """
        reasons: list[Unavailable] = []
        sources = (
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        )
        for source in sources:
            try:
                with offered(self.driver, "tell a machine's addresses"):
                    found = self._domain.interfaceAddresses(source)
            except Unavailable as reason:
                reasons.append(reason)
                continue
            except StepFailed:
                continue  # The agent is not there yet, or the machine has no lease.
            told = [one for card in found.values() for one in card.get("addrs") or ()]
            told = [one["addr"] for one in told if not one["addr"].startswith(("127.", "fe80:", "::1"))]
            if told:
                return [str(one) for one in sorted(told, key=lambda one: ":" in one)]
        if len(reasons) == len(sources):
            raise reasons[0]
        return []

    def console(self) -> Console:
        """Open its console.

        Raises: Unavailable where there is none, or somebody else has it.
        """
        try:
            with offered(self.driver, "show a machine's console"):
                stream = self._opened.newStream(libvirt.VIR_STREAM_NONBLOCK)
                self._domain.openConsole(None, stream, 0)
        except StepFailed as error:
            raise Unavailable(f"the machine's console cannot be read: {error.what}") from error
        return Console(stream)

    def watch(self) -> Watch:
        return Watch(self._opened, self._domain)


class Console(Fed):
    """What a machine prints, as libvirt's stream hands it over."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._closed = False
        events = (
            libvirt.VIR_STREAM_EVENT_READABLE
            | libvirt.VIR_STREAM_EVENT_HANGUP
            | libvirt.VIR_STREAM_EVENT_ERROR
        )
        with translated("read the machine's console"):
            stream.eventAddCallback(events, self._heard, None)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(libvirt.libvirtError):
                self._stream.eventRemoveCallback()
            with suppress(libvirt.libvirtError):
                self._stream.abort()
        super().close()

    def _heard(self, stream: Any, events: int, _: Any) -> None:
        try:
            data = stream.recv(65536)
        except libvirt.libvirtError:
            data = b""
        if isinstance(data, bytes) and (data or events & ~libvirt.VIR_STREAM_EVENT_READABLE):
            self.write(data)
        if data == b"":
            with suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            self.write(b"")


class Watch:
    """Knows whether a machine runs: by its driver's events, else by asking now and then."""

    def __init__(self, opened: Any, domain: Any) -> None:
        self._opened = opened
        self._domain = domain
        self._running = True
        self._asked = time.monotonic()
        self._listening: int | None = None
        with suppress(libvirt.libvirtError):
            self._listening = opened.domainEventRegisterAny(
                domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._heard, None
            )
        self._look()

    def running(self) -> bool:
        if self._listening is None and time.monotonic() >= self._asked + ASK_EVERY:
            self._look()
        return self._running

    def close(self) -> None:
        if self._listening is not None:
            with suppress(libvirt.libvirtError):
                self._opened.domainEventDeregisterAny(self._listening)
            self._listening = None

    def _look(self) -> None:
        self._asked = time.monotonic()
        with suppress(libvirt.libvirtError):
            self._running = self._running and bool(self._domain.isActive())

    def _heard(self, _connection: Any, _domain: Any, event: int, _detail: int, _: Any) -> None:
        if event in _ENDED:
            self._running = False


def _nothing_there(error: StepFailed) -> bool:
    cause = error.__cause__
    return isinstance(cause, libvirt.libvirtError) and cause.get_error_code() in NOTHING_THERE
