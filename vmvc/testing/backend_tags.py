"""A backend -> a test for finding and removing what was made, and nothing else, by its tag."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vmvc.contract import Tag
from vmvc.testing.lives import VALUE, VARIABLE, Lives, with_env

_REMOVE = """
import pickle, sys
sys.path[:0] = pickle.load(sys.stdin.buffer)
backend, tag, guest = pickle.load(sys.stdin.buffer)
backend.instance(tag, guest).destroy()
backend.close()
"""


class TagTests(Lives):
    """Found by its tag."""

    def test_another_object_destroys_by_the_tag(self) -> None:
        with self._instance() as (backend, instance):
            self._start(instance)
            other = self.backend()
            other.instance(instance.tag, instance.guest).destroy()
            other.close()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []

    def test_another_process_destroys_by_the_tag(self) -> None:
        with self._instance() as (backend, instance):
            self._start(instance)
            search = pickle.dumps([str(Path.cwd()), *sys.path])
            done = subprocess.run(
                [sys.executable, "-c", _REMOVE],
                input=search + pickle.dumps((self.backend(), instance.tag, instance.guest)),
                capture_output=True,
                timeout=self.timeout,
                check=False,
            )
            assert done.returncode == 0, done.stderr.decode()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []

    def test_members_of_a_fleet_are_told_apart(self) -> None:
        """Those of one trial differ in nothing but their number, and each goes alone."""
        with self._instance() as (backend, first), ExitStack() as removals:
            members = [backend.instance(replace(first.tag, member=number), first.guest) for number in (2, 3)]
            for one in (first, *members):
                removals.callback(one.destroy)
                one.create()
            expected = {one.tag for one in (first, *members)}
            assert len({tag.name for tag in expected}) == 3
            assert set(self._leftovers(backend, first)) == expected
            for one in (first, *members):
                one.destroy()
                expected.remove(one.tag)
                assert set(self._leftovers(backend, first)) == expected

    def test_what_is_not_ours_is_not_a_leftover(self) -> None:
        with self.stranger() as is_there:
            backend = self.backend()
            found = backend.leftovers()
            for leftover in found:
                assert Tag.from_labels(leftover.tag.labels()) == leftover.tag
                assert leftover.tag.run
                assert ":" in leftover.tag.owner
            assert len({leftover.tag for leftover in found}) == len(found)
            assert is_there()
            backend.close()

    def test_two_side_by_side_do_not_mix(self) -> None:
        """Nor does one end with the other, which goes as a leftover that another object has found."""
        one = self._ready()
        with self._instance(guest=with_env(self.guest(), **{VARIABLE: "two"})) as (_, two):
            self._bring_up(two)
            assert one.endpoint(one.guest.ports[0]) != two.endpoint(two.guest.ports[0])
            if self.has_processes:
                assert not set(one.processes().own) & set(two.processes().own) - {os.getpid()}
            if self.has_run:
                for instance, value in ((one, VALUE), (two, "two")):
                    done = instance.run(self.shows(VARIABLE), timeout=self.timeout)
                    assert done.stdout.decode() == value + "\n"
            other = self.backend()
            found = {leftover.tag: leftover for leftover in other.leftovers()}
            assert {one.tag, two.tag} <= found.keys(), "leftovers of every run are listed"
            found[two.tag].destroy()
            assert not two.alive()
            assert self._leftovers(other, two) == []
            assert one.alive()
            assert self._leftovers(other, one) == [one.tag]
            self._wait(one)
            other.close()
