"""The stages of a machine's boot against the kernel's log, systemd's own account and the console's stamps."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import pytest

from vmvc import owner
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import Guest, Metric, MonotonicClock, Observes, Options, Quantity, Reading, Scene, Tag
from vmvc.job import Job, Outcome
from vmvc.metrics.boot import Boot, BootOptions
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp, RecipeImage
from vmvc.trial import Trial

pytestmark = [pytest.mark.real("libvirt", "mmdebstrap"), pytest.mark.timeout(900)]

HTTP = ReadyHttp(http=Http(port=80))
TINY = Guest(BUILT_IN_IMAGES["tiny"], 1, 2**28, HTTP)
DEBIAN = Guest(
    RecipeImage(base="debian:bookworm", packages=("nginx-light",), services=("nginx",)),
    cpus=1,
    memory=2**29,
    ready=HTTP,
    boot="systemd",
)


class Inside(Metric):
    """Asks the guest for what its kernel and its systemd print about the boot."""

    name = "inside"
    says = "for this test"
    observes = Observes.READY
    runs_inside = True
    quantities: tuple[Quantity, ...] = ()

    def observe(self, scene: Scene) -> Iterable[Reading]:
        self.log = scene.instance.run(["dmesg"], timeout=120).stdout.decode(errors="replace")
        self.analysed = ""
        if scene.guest.boot == "systemd":
            self.analysed = scene.instance.run(["systemd-analyze", "time"], timeout=120).stdout.decode()
        return ()


def booted(guest: Guest, folder: Path) -> tuple[Outcome, Inside, str]:
    """Return one life with the metric, what the guest says itself, and what its console showed."""
    backend, inside = LibvirtBackend("kvm", LibvirtOptions(uri="qemu:///system")), Inside(Options())
    backend.prepare(guest)
    tag, log = Tag(f"boot-{secrets.token_hex(4)}", 1, owner.current()), folder / "console.log"
    metrics = (Boot(BootOptions(wait=180.0)), inside)
    job = Job(tag, backend, guest, metrics, 240.0, 120.0, console_log=log)
    outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
    backend.close()
    assert outcome.failure is None, outcome.failure
    return outcome, inside, log.read_text(errors="replace")


def stamp(line: str, log: str) -> float:
    """Return when the kernel says that it logged a line, in seconds of the guest's clock."""
    found = re.search(rf"^\[ *([0-9.]+)\] {line}", log, re.MULTILINE)
    assert found is not None, log[-2000:]
    return float(found[1])


def stamps_beside_init(console: str) -> tuple[float, float]:
    """Return the guest's clock in the last line before the word of its first process, and in the next one."""
    before, _, after = console.partition("vmvc: init")
    stamped = re.compile(r"^\[ *([0-9.]+)\] ", re.MULTILINE)
    return float(stamped.findall(before)[-1]), float(stamped.findall(after)[0])


def seconds(text: str) -> float:
    """Read a duration of systemd-analyze: ``1min 2.345s``, ``678ms``."""
    sizes = {"min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
    return sum(float(value) * sizes[unit] for value, unit in re.findall(r"([0-9.]+)(min|ms|us|s)\b", text))


def test_a_small_machine_has_the_stages_that_its_kernel_logs(tmp_path: Path) -> None:
    outcome, inside, console = booted(TINY, tmp_path)
    found = {one.quantity: one.value for _, one in outcome.readings}
    assert found["kernel"] == pytest.approx(stamp("Run /init as init process", inside.log), abs=1e-6)
    before, after = stamps_beside_init(console)
    assert before <= found["kernel"] <= after
    # The host saw the same stage: from the first line, which waits for the console, to the first process.
    first, *_ = re.findall(r"^\[ *([0-9.]+)\] ", console, re.MULTILINE)
    host = (outcome.events["init"].at - outcome.events["kernel"].at) / 1e9
    assert found["kernel"] - float(first) - 0.2 < host < 4 * found["kernel"] + 2
    absent = {one.quantity: one.reason for _, one in outcome.absent}
    assert absent.keys() == {"initrd", "userspace"}
    assert "systemctl" in absent["userspace"]


@pytest.mark.slow
def test_a_debian_has_the_stages_that_systemd_accounts_for(tmp_path: Path) -> None:
    outcome, inside, console = booted(DEBIAN, tmp_path)
    found = {one.quantity: one.value for _, one in outcome.readings}
    assert found["kernel"] == pytest.approx(stamp("Run /init as init process", inside.log), abs=1e-6)
    before, after = stamps_beside_init(console)
    assert before <= found["kernel"] <= after
    # An initramfs without systemd counts as kernel there.
    told = re.search(
        r"Startup finished in (.+) \(kernel\) \+ (.+) \(userspace\) = (.+?) *$", inside.analysed, re.M
    )
    assert told is not None, inside.analysed
    kernel, userspace, total = map(seconds, told.groups())
    assert found["kernel"] + found["initrd"] == pytest.approx(kernel, abs=0.002)
    assert found["userspace"] == pytest.approx(userspace, abs=0.002)
    assert sum(found.values()) == pytest.approx(total, abs=0.003)
    # systemd's first words come after its begin, and the metric waited for its end.
    assert found["kernel"] < found["kernel"] + found["initrd"] <= stamp(r"systemd\[1\]: ", inside.log)
    assert found["userspace"] > 1
