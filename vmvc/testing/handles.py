"""A backend and a guest -> handles of instances for its tests, and what becomes of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from vmvc import owner
from vmvc.console import ConsoleTap
from vmvc.contract import Backend, Event, Guest, Instance, MonotonicClock, Tag
from vmvc.probes import wait
from vmvc.spec import ReadyConsole


def new_tag(run: str = "contract") -> Tag:
    """Return the tag of a new run; ``run`` is what its name begins with."""
    return Tag(run=f"{run}-{secrets.token_hex(4)}", trial=1, owner=owner.current())


@contextmanager
def handle(backend: Backend, guest: Guest, tag: Tag) -> Iterator[tuple[Backend, Instance]]:
    """Give the backend and a new handle; whatever happens, nothing of it remains."""
    instance = backend.instance(tag, guest)
    try:
        yield backend, instance
    finally:
        instance.destroy()
        backend.close()


def until_ready(instance: Instance, timeout: float) -> Event:
    """Wait as a trial does, and return when it was ready.

    Raises: DeadlineExceeded after ``timeout`` seconds.
    """
    clock = MonotonicClock()
    deadline = clock.now() + round(timeout * 1e9)
    tap = None
    if isinstance(instance.guest.ready, ReadyConsole):
        tap = ConsoleTap(instance.console(), clock)
    try:
        return wait(instance.guest.ready, instance, tap, clock, deadline)
    finally:
        if tap is not None:
            tap.close()


def leftovers(backend: Backend, instance: Instance) -> list[Tag]:
    """Return what the backend finds of the instance's run."""
    return [found.tag for found in backend.leftovers() if found.tag.run == instance.tag.run]
