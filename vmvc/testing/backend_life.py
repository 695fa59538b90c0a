"""A backend -> a test for every step of an instance, from nothing to nothing."""

from __future__ import annotations

import os
import time

import pytest

from vmvc.errors import DeadlineExceeded, VmvcError
from vmvc.testing.lives import Lives, running


class LifeTests(Lives):
    """From nothing to nothing, and from every state."""

    def test_a_handle_touches_nothing(self) -> None:
        with self._instance() as (backend, instance):
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []

    def test_create_defines_and_runs_nothing(self) -> None:
        with self._instance() as (backend, instance):
            instance.create()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == [instance.tag]

    def test_a_life(self) -> None:
        """Create, start, ready, stop, destroy."""
        with self._instance() as (backend, instance):
            instance.create()
            instance.start()
            assert instance.alive()
            before = time.monotonic_ns()
            ready = self._wait(instance)
            assert before <= ready.at <= time.monotonic_ns()
            assert instance.alive()
            pids = set(instance.processes().own) - {os.getpid()} if self.has_processes else set()
            instance.stop(timeout=self.timeout)
            assert not instance.alive(), "stop returned before the guest had ended"
            assert not running(pids), "stop returned before the guest's processes had ended"
            assert "\n" not in instance.epitaph()
            assert self._leftovers(backend, instance) == [instance.tag], "stop removes nothing"
            if self.has_run:
                with pytest.raises(VmvcError):
                    instance.run(self.copies(), timeout=self.timeout)
            instance.destroy()
            assert self._leftovers(backend, instance) == []
            instance.destroy()

    def test_stop_says_when_the_guest_does_not_obey(self) -> None:
        backend, guest = self.stubborn()
        with self._instance(backend, guest) as (_, instance):
            self._bring_up(instance)
            before = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                instance.stop(timeout=1.0)
            assert 0.9 <= time.monotonic() - before <= 1.0 + self.slack
            instance.destroy()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []
            instance.destroy()

    @pytest.mark.parametrize("state", ["nothing", "created", "started"])
    def test_destroy_from_every_state(self, state: str) -> None:
        """Its name can be used again then; that of a stopped and of a ready instance is tested above."""
        with self._instance() as (backend, instance):
            if state != "nothing":
                instance.create()
            if state == "started":
                instance.start()
            instance.destroy()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []
            instance.destroy()
            again = backend.instance(instance.tag, instance.guest)
            again.create()
            assert self._leftovers(backend, again) == [instance.tag]
            again.destroy()
