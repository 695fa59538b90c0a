"""The hooks of a backend's tests -> lives of instances: one that tests share, or one of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import ClassVar

import psutil

from vmvc.contract import Backend, Event, Guest, Instance, Tag
from vmvc.errors import InputError
from vmvc.testing.handles import handle, leftovers, new_tag, until_ready
from vmvc.testing.hooks import Hooks

VARIABLE = "VMVC_CONTRACT"
VALUE = "a  b; $HOME"
"""What the environment of the shared instance holds."""


class Lives(Hooks):
    """Makes instances for tests, and removes them whatever happens."""

    _shared: ClassVar[tuple[Backend, Instance] | None] = None

    @classmethod
    def teardown_class(cls) -> None:
        """Remove the instance that tests share."""
        shared, cls._shared = cls._shared, None
        if shared is not None:
            shared[1].destroy()
            shared[0].close()

    @contextmanager
    def _instance(
        self,
        backend: Backend | None = None,
        guest: Guest | None = None,
        *,
        prepared: tuple[Backend, Guest] | None = None,
    ) -> Iterator[tuple[Backend, Instance]]:
        """Give a new handle of a new run; whatever happens, nothing of it remains."""
        backend, guest = prepared or (backend or self.backend(), guest or self.guest())
        if prepared is None:
            backend.prepare(guest)
        with handle(backend, guest, new_tag()) as both:
            yield both

    def _refusal(self, guest: Guest) -> str | None:
        """Return why the backend cannot run that guest, ``None`` where it can."""
        backend = self.backend()
        try:
            backend.prepare(guest)
        except InputError as error:
            return error.what
        finally:
            backend.close()
        return None

    def _ready(self) -> Instance:
        """Return an instance that is ready; tests that do not end it share it."""
        cls = type(self)
        if cls._shared is None or not cls._shared[1].alive():
            cls.teardown_class()
            backend = self.backend()
            guest = with_env(self.guest(), **{VARIABLE: VALUE})
            backend.prepare(guest)
            instance = backend.instance(new_tag(), guest)
            cls._shared = (backend, instance)
            self._bring_up(instance)
        return cls._shared[1]

    def _bring_up(self, instance: Instance) -> None:
        self._start(instance)
        self._wait(instance)

    def _start(self, instance: Instance) -> None:
        """Have it run; it need not be ready yet."""
        instance.create()
        instance.start()
        assert instance.alive()

    def _wait(self, instance: Instance) -> Event:
        event = until_ready(instance, self.timeout)
        assert event.resolution >= 0
        return event

    def _leftovers(self, backend: Backend, instance: Instance) -> list[Tag]:
        return leftovers(backend, instance)


def with_env(guest: Guest, **more: str) -> Guest:
    return replace(guest, env={**guest.env, **more})


def running(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
    return found
