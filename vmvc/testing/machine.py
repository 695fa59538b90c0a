"""A backend that runs machines which exist already -> a test for every promise about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import fields, replace
from typing import ClassVar, Literal

import pytest

from vmvc.contract import Backend, DiskUsage, Guest, Instance, Tag
from vmvc.errors import DeadlineExceeded, InputError, Unavailable, VmvcError
from vmvc.testing.handles import handle, leftovers, new_tag, until_ready
from vmvc.testing.plugin import check_facts, check_findings

State = Literal["off", "running"]


class MachineContract:
    """Inherit, and fill in the hooks; what they make is a user's own, and must be as it was afterwards."""

    timeout: ClassVar[float] = 120.0
    """Seconds that any one step may take here."""
    stops: ClassVar[bool] = True
    """False where the machine of ``off`` ignores its power button; it must then be ended by force."""
    lives: ClassVar[int] = 2
    """How often one machine is started in a row; 1 where a start takes long."""
    has_attach: ClassVar[bool] = True
    """False where no machine can be had here that runs already."""

    # --- hooks --------------------------------------------------------------------------------------------

    def backend(self) -> Backend:
        """Return a new object, not used yet."""
        raise NotImplementedError

    def off(self) -> AbstractContextManager[Guest]:
        """Make a machine that is off, as its user would; give the guest that names it, and gets ready."""
        raise NotImplementedError

    def running(self) -> AbstractContextManager[Guest]:
        """Make one that runs and is ready; give the guest that names it, without ``attach``."""
        raise NotImplementedError

    def state(self, guest: Guest) -> State:
        """Ask the platform, not the backend."""
        raise NotImplementedError

    def definition(self, guest: Guest) -> object:
        """Return all that makes the machine what it is: its settings and snapshots, the list of its disks."""
        raise NotImplementedError

    # --- found, or refused --------------------------------------------------------------------------------

    def test_the_backend_says_that_it_runs_machines(self) -> None:
        assert self.backend().machines

    def test_prepare_only_looks(self) -> None:
        with self.off() as guest:
            before = self.definition(guest)
            backend = self.backend()
            first, second = backend.prepare(guest), backend.prepare(guest)
            backend.close()
            check_facts(first.facts)
            check_findings(first.findings)
            assert dict(first.facts) == dict(second.facts)
            assert first.facts["existing_machine"] == guest.machine
            assert first.facts.get("existing_id")
            assert (self.state(guest), self.definition(guest)) == ("off", before)

    def test_a_machine_that_is_not_there_is_refused(self) -> None:
        with self.off() as guest:
            assert guest.machine is not None
            refusal = self._refusal(replace(guest, machine=f"{guest.machine}x"))
            near = (guest.machine, repr(guest.machine))
            assert any(name in str(refusal) for name in near), "no near name is offered"
            assert self._refusal(replace(guest, machine="--type")) is not None

    def test_one_that_runs_already_is_refused(self) -> None:
        if not self.has_attach:
            return
        with self.running() as guest:
            refusal = self._refusal(guest)
            assert refusal is not None
            assert "attach" in str(refusal)
            backend = self.backend()
            instance = backend.instance(new_tag("machine"), guest)
            with pytest.raises(VmvcError):
                instance.create()
            instance.destroy()
            backend.close()
            assert self.state(guest) == "running"

    def test_one_that_is_off_cannot_be_observed(self) -> None:
        with self.off() as guest:
            refusal = self._refusal(replace(guest, attach=True))
            assert refusal is not None
            assert "attach" in str(refusal)

    def test_its_image_is_never_removed(self) -> None:
        with self.off() as guest:
            before = self.definition(guest)
            backend = self.backend()
            backend.prepare(guest)
            with pytest.raises(Unavailable):
                backend.forget(guest)
            backend.close()
            assert self.definition(guest) == before

    # --- a life -------------------------------------------------------------------------------------------

    def test_a_life_leaves_it_as_found(self) -> None:
        with self.off() as guest:
            before = self.definition(guest)
            for _ in range(self.lives):
                with self._instance(guest) as (backend, instance):
                    instance.create()
                    assert self.state(guest) == "off"
                    instance.start()
                    assert instance.alive()
                    assert self._leftovers(backend, instance) == [instance.tag]
                    self._wait(instance)
                    assert self.state(guest) == "running"
                    self._look(instance)
                    if self.stops:
                        instance.stop(timeout=self.timeout)
                    else:
                        with pytest.raises(DeadlineExceeded):
                            instance.stop(timeout=1.0)
                        instance.destroy()
                    assert not instance.alive()
                    assert self.state(guest) == "off"
                assert self._leftovers(backend, instance) == []
                backend.close()
                assert (self.state(guest), self.definition(guest)) == ("off", before)

    @pytest.mark.parametrize("state", ["nothing", "created", "started"])
    def test_destroy_ends_and_keeps_it(self, state: str) -> None:
        with self.off() as guest:
            before = self.definition(guest)
            with self._instance(guest) as (backend, instance):
                if state != "nothing":
                    instance.create()
                if state == "started":
                    instance.start()
                instance.destroy()
                instance.destroy()
                assert not instance.alive()
                assert self._leftovers(backend, instance) == []
            assert (self.state(guest), self.definition(guest)) == ("off", before)

    def test_what_a_dead_run_left_running_is_ended_by_its_tag(self) -> None:
        with self.off() as guest:
            before = self.definition(guest)
            with self._instance(guest) as (backend, instance):
                instance.create()
                instance.start()
                other = self.backend()
                found = [one for one in other.leftovers() if one.tag == instance.tag]
                assert found
                for one in found:
                    one.destroy()
                assert self._leftovers(other, instance) == []
                other.close()
                assert self._leftovers(backend, instance) == []
                assert (self.state(guest), self.definition(guest)) == ("off", before)

    def test_two_trials_cannot_have_it_at_once(self) -> None:
        with self.off() as guest, self._instance(guest) as (_, first):
            first.create()
            first.start()
            with self._instance(guest, prepare=False) as (_, second):
                with pytest.raises(VmvcError):
                    second.create()
                second.destroy()
            assert first.alive(), "destroying the one that was refused has ended the other's"
            assert self.state(guest) == "running"

    # --- only observed ------------------------------------------------------------------------------------

    def test_one_that_is_observed_is_left_alone(self) -> None:
        if not self.has_attach:
            return
        with self.running() as guest:
            before = self.definition(guest)
            with self._instance(replace(guest, attach=True)) as (backend, instance):
                instance.create()
                instance.start()
                assert instance.alive()
                self._wait(instance)
                self._look(instance)
                assert self._leftovers(backend, instance) == []
                instance.stop(timeout=self.timeout)
                assert self.state(guest) == "running"
                instance.destroy()
                other = backend.instance(instance.tag, instance.guest)
                other.destroy()
            assert (self.state(guest), self.definition(guest)) == ("running", before)

    # --- the way ------------------------------------------------------------------------------------------

    @contextmanager
    def _instance(self, guest: Guest, *, prepare: bool = True) -> Iterator[tuple[Backend, Instance]]:
        backend = self.backend()
        if prepare:
            backend.prepare(guest)
        with handle(backend, guest, new_tag("machine")) as both:
            yield both

    def _refusal(self, guest: Guest) -> str | None:
        """Return why the backend does not take that guest, ``None`` where it does."""
        backend, refusal = self.backend(), None
        try:
            backend.prepare(guest)
        except InputError as error:
            refusal = error
        finally:
            backend.close()
        assert refusal is None or all(fault.hint for fault in refusal.faults), "a refusal without a hint"
        return None if refusal is None else str(refusal)

    def _wait(self, instance: Instance) -> None:
        until_ready(instance, self.timeout)

    def _look(self, instance: Instance) -> None:
        """Ask for all that metrics ask for: bytes and numbers, or the reason why not."""
        usage = instance.disk()
        for name in ("virtual", "allocated", "shared", "unique"):
            value = getattr(usage, name)
            assert value is not None or usage.absent.get(name), f"{name} is absent without a reason"
            assert value is None or (isinstance(value, int) and value >= 0)
        assert set(usage.absent) <= {field.name for field in fields(DiskUsage)}
        with suppress(Unavailable):
            assert instance.processes().own
        with suppress(Unavailable):
            folder = instance.cgroup()
            assert folder is None or folder.is_dir()

    def _leftovers(self, backend: Backend, instance: Instance) -> list[Tag]:
        return leftovers(backend, instance)
