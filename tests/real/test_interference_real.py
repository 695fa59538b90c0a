"""Interference on the real engines: a bully on its victim's CPU hurts it, a quiet neighbour does not."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace

import docker
import pytest

from vmvc import owner, registry
from vmvc.contract import Backend, Guest, MonotonicClock, Scene, Tag
from vmvc.job import Job, Outcome
from vmvc.metrics import interference
from vmvc.metrics.interference import Interference, InterferenceOptions, Load, Work
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.trial import Trial

pytestmark = [pytest.mark.real("docker", "root"), pytest.mark.timeout(180), pytest.mark.quiet]

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**27, ready=ReadyHttp(http=Http(port=80)))
PINNED = replace(GUEST, cpuset=(max(os.sched_getaffinity(0)),))
"""Victim and bully on one CPU of the host."""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference, "MARGIN", 1)
    monkeypatch.setattr(interference, "WARM", 0.5)
    monkeypatch.setattr(interference, "CALM", 2)


def trial(kind: str, guest: Guest, **options: object) -> Outcome:
    """Run one trial; nothing of it is left."""
    made = registry.backend_class(kind)
    backend: Backend = made(kind, made.options_model())
    backend.prepare(guest)
    tag = Tag(f"bully-{secrets.token_hex(4)}", 1, owner.current())
    metric = Interference(InterferenceOptions(window=1.5).model_copy(update=options))
    outcome = Trial(Job(tag, backend, guest, (metric,), 60.0, 30.0), _quiet, MonotonicClock()).run()
    left = [one for one in backend.leftovers() if one.tag.run == tag.run]
    backend.close()
    assert not left
    return outcome


def _quiet(step: str, seconds: float) -> None:
    """Hear an announcement."""


def values(outcome: Outcome) -> Mapping[str, float]:
    assert outcome.failure is None, outcome.failure
    return {one.quantity: one.value for _, one in outcome.readings}


def beside_both(kind: str) -> Mapping[str, float]:
    """Return what a victim gave beside a quiet neighbour (as ``disk``) and beside a bully on its own CPU."""
    work = Interference._work

    def planted(self: Interference, load: Load, page: Http, scene: Scene) -> Work:
        return Work("sleep 0.2") if load == "disk" else work(self, load, page, scene)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interference, "_work", planted)
        return values(trial(kind, PINNED, bullies=("disk", "cpu")))


def test_a_bully_on_the_same_cpu_hurts_and_a_quiet_neighbour_does_not() -> None:
    found = beside_both("docker")
    assert found["cpu_share"] < 0.9, found
    assert found["cpu_rate"] < 0.9 * found["disk_rate"], found
    assert found["cpu_p50"] > 0.8 * found["disk_p50"]
    assert {found["alone_finished"], found["cpu_finished"]} == {1}


def test_every_load_runs_in_a_container_and_hurts_nobody_for_long() -> None:
    outcome = trial("docker", GUEST, window=0.5)
    found = values(outcome)
    assert not [one for _, one in outcome.absent if not one.quantity.endswith("_p99")], outcome.absent
    assert {found[f"{load}_finished"] for load in ("cpu", "memory", "fork", "disk", "network")} == {1}


def test_a_failure_in_the_middle_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine removes the bully while it is at work."""

    def vanish(*given: object) -> Work:
        client = docker.from_env()
        for one in client.containers.list(filters={"label": f"vmvc.owner={owner.current()}"}):
            if str(one.name).endswith("-m2"):
                one.kill()
        client.close()
        return Work(":")

    monkeypatch.setattr(Interference, "_work", vanish)
    outcome = trial("docker", GUEST, bullies=("cpu", "fork"), window=0.3)
    found = values(outcome)
    assert found["alone_finished"] == 1
    assert "cpu_rate" not in found


def test_the_bare_host_is_not_bullied() -> None:
    outcome = trial("process", replace(GUEST, ready=ReadyHttp(http=Http(port=80))), window=0.3)
    assert values(outcome) == {}
    assert all("the bare host limits nothing" in one.reason for _, one in outcome.absent)


@pytest.mark.real("libvirt")
@pytest.mark.timeout(400)
def test_a_machine_is_bullied_too() -> None:
    found = beside_both("libvirt")
    assert {found["alone_finished"], found["cpu_finished"]} == {1}
    # One more task changes little for a victim whose CPU many others want already.
    busy = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
    assert found["cpu_rate"] < (2.0 if busy else 0.9) * found["disk_rate"], found
