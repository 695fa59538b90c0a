"""A backend -> a test for what the host sees of an instance."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import fields, replace

import pytest

from vmvc.contract import DiskUsage
from vmvc.errors import Unavailable
from vmvc.testing.lives import Lives, running


class SightTests(Lives):
    """What the host sees."""

    def test_alive_is_quick(self) -> None:
        instance = self._ready()
        took = []
        for _ in range(51):
            before = time.perf_counter()
            assert instance.alive()
            took.append(time.perf_counter() - before)
        assert statistics.median(took) < 0.005, "alive() asks an engine"

    def test_processes_exist(self) -> None:
        instance = self._ready()
        if not self.has_processes:
            with pytest.raises(Unavailable):
                instance.processes()
            return
        seen = instance.processes()
        assert seen.own, "a running instance has processes"
        pids = (*seen.own, *seen.helpers, *seen.shared)
        assert len(set(pids)) == len(pids), f"a process is counted twice: {seen}"
        assert running(set(pids)) == set(pids)

    def test_a_guest_stays_on_its_cpus_or_is_refused(self) -> None:
        """Every thread of it, whatever it has started; a backend that cannot keep it there says so."""
        if not hasattr(os, "sched_getaffinity"):
            return
        cpu = max(os.sched_getaffinity(0))
        guest = replace(self.guest(), cpus=1, cpuset=(cpu,))
        refusal = self._refusal(guest)
        if refusal is not None:
            assert "CPU" in refusal
            return
        with self._instance(guest=guest) as (_, instance):
            self._bring_up(instance)
            if self.has_processes:
                assert self.cpus_of(instance) == {(cpu,)}

    def test_limits_are_amounts_or_absent_with_a_reason(self) -> None:
        held = self._ready().limits()
        for name in ("cpus", "memory", "pids"):
            limit = getattr(held, name)
            assert (limit is None) == bool(held.absent.get(name)), (name, held)
            assert limit is None or limit > 0, (name, held)
        assert bool(held.held_by) or not any((held.cpus, held.memory, held.pids)), "who holds them"

    def test_the_cgroup_is_a_folder_with_memory_files(self) -> None:
        folder = self._ready().cgroup()
        if folder is not None:
            names = ("memory.current", "memory.usage_in_bytes")
            assert any((folder / name).is_file() for name in names), folder

    def test_disk_gives_bytes_or_reasons(self) -> None:
        usage = self._ready().disk()
        for name in ("virtual", "allocated", "shared", "unique"):
            value = getattr(usage, name)
            if value is None:
                assert usage.absent.get(name), f"{name} is absent without a reason"
            else:
                assert isinstance(value, int)
                assert value >= 0
                assert name not in usage.absent
        assert set(usage.absent) <= {field.name for field in fields(DiskUsage)}
        for part in (usage.shared, usage.unique):
            assert part is None or usage.allocated is None or part <= usage.allocated

    def test_an_endpoint_stays_the_same(self) -> None:
        instance = self._ready()
        for port in instance.guest.ports:
            host, number = instance.endpoint(port)
            assert host
            assert 0 < number < 65536
            assert instance.endpoint(port) == (host, number)
