"""What the readiness probe leaves behind in a machine: nothing that the first requests must wait for."""

from __future__ import annotations

import http.client
import secrets
import time
from collections.abc import Iterable

import pytest

from vmvc import owner
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import Guest, Metric, MonotonicClock, Observes, Options, Quantity, Reading, Scene, Tag
from vmvc.job import Job
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.trial import Trial

pytestmark = [pytest.mark.real("libvirt"), pytest.mark.timeout(180)]

WATCHED = 8.0
"""Seconds; QEMU's user network offers a connection that found no guest again after 6."""


class Single(Metric):
    """Asks the ready guest for its page, one request after the other."""

    name = "single"
    says = "for this test"
    observes = Observes.READY
    quantities: tuple[Quantity, ...] = ()

    def observe(self, scene: Scene) -> Iterable[Reading]:
        self.took: list[float] = []
        host, port = scene.instance.endpoint(80)
        end = time.monotonic() + WATCHED
        while (begin := time.monotonic()) < end:
            asking = http.client.HTTPConnection(host, port, timeout=60)
            asking.request("GET", "/")
            assert asking.getresponse().read()
            asking.close()
            self.took.append(time.monotonic() - begin)
        return ()


def test_the_first_requests_after_ready_do_not_queue_behind_the_probes() -> None:
    guest = Guest(BUILT_IN_IMAGES["tiny"], 1, 2**28, ReadyHttp(http=Http(port=80)))
    backend, single = LibvirtBackend("kvm", LibvirtOptions(uri="qemu:///system")), Single(Options())
    backend.prepare(guest)
    tag = Tag(f"first-{secrets.token_hex(4)}", 1, owner.current())
    job = Job(tag, backend, guest, (single,), 120.0, 60.0)
    outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
    backend.close()
    assert outcome.failure is None, outcome.failure
    assert len(single.took) > 10
    # A packet that is lost on a full queue is sent again after 6 s; a busy host alone costs less.
    assert max(single.took) < 3, single.took
    ready = outcome.events["ready"]
    assert outcome.events["network"].at < ready.at
    assert ready.resolution < 0.3, "attempts every 10 ms, but for a busy host"
