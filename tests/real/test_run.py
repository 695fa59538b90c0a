"""Whole runs on real engines: the same page from all three, killed in the middle, and nothing left behind."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.command import VMVC, Said, vmvc
from tests.real.left import left_behind

QUICK = """\
name: quick
backends: {backends}
metrics: {{startup: {{}}, shutdown: {{}}, memory: {{settle: 200ms}}, disk: {{}}}}
trials: {{count: {count}, warmup: 0, timeout: 90s}}
"""
ALL = ("process", "docker", "libvirt")

pytestmark = [
    pytest.mark.real("docker", "libvirt", "root"),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("bare host"),
]


def write(folder: Path, *backends: str, count: int = 2) -> Path:
    path = folder / "quick.yaml"
    path.write_text(QUICK.format(backends=list(backends), count=count))
    return path


def run_of(folder: Path) -> Path:
    (one,) = (folder / "results" / "quick").iterdir()
    return one


def trials_in(run: Path) -> list[int]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [line["trial"] for line in lines if line["record"] == "trial"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """One run of all three backends, looked at by several tests."""
    folder = tmp_path_factory.mktemp("quick")
    environment = {**os.environ, "VMVC_LOCK": str(folder / "lock")}
    return folder, vmvc("run", write(folder, *ALL), cwd=folder, env=environment)


def test_every_backend_is_measured_in_every_block(measured: tuple[Path, Said]) -> None:
    folder, said = measured
    assert said.code == 0, said.err
    run = run_of(folder)
    assert trials_in(run) == [1, 2, 3, 4, 5, 6]
    with (run / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    ready = {(row["backend"], row["block"]) for row in rows if row["quantity"] == "ready" and row["value"]}
    assert ready == {(backend, block) for backend in ALL for block in ("1", "2")}


def test_the_order_of_magnitude_is_that_of_the_lesson(measured: tuple[Path, Said]) -> None:
    rows = json.loads((run_of(measured[0]) / "summary.json").read_text())["rows"]
    medians = {(row["condition"], f"{row['metric']}.{row['quantity']}"): row.get("median") for row in rows}
    assert medians["process", "startup.ready"] < medians["docker", "startup.ready"]
    assert medians["docker", "startup.ready"] < medians["libvirt", "startup.ready"]
    assert medians["docker", "memory.pss"] * 10 < medians["libvirt", "memory.pss"]
    assert medians["docker", "startup.started"] < medians["docker", "startup.ready"]
    assert all(value is None or value >= 0 for (_, name), value in medians.items() if "drop" not in name)


def test_the_folder_says_what_was_run(measured: tuple[Path, Said]) -> None:
    about = json.loads((run_of(measured[0]) / "run.json").read_text())
    assert about["backends"]["docker"]["facts"]["version"]
    assert about["backends"]["libvirt"]["facts"]["accelerator"] in ("tcg", "kvm")
    conditions = about["conditions"]
    assert conditions["docker"]["facts"]["image"].startswith("sha256:")
    assert json.loads(conditions["docker"]["facts"]["create"])["HostConfig"]["Memory"] == 256 * 2**20
    assert any("<domain" in str(value) for value in conditions["libvirt"]["facts"].values())
    codes = {finding["code"] for one in conditions.values() for finding in one["findings"]}
    codes |= {finding["code"] for finding in about["findings"]}
    if about["backends"]["libvirt"]["facts"]["accelerator"] == "tcg":
        assert any("emulated" in code for code in codes), codes


def test_nothing_is_left_of_a_run(measured: tuple[Path, Said]) -> None:
    assert left_behind(run_of(measured[0]).name) == []


def test_an_interrupt_ends_the_trial_cleanly(tmp_path: Path) -> None:
    path = write(tmp_path, "docker", "libvirt", count=3)
    with subprocess.Popen([VMVC, "run", path], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("1/6"):
                break
        time.sleep(0.7)
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        assert running.wait() == 130, rest
    assert "vmvc run --resume" in rest
    assert left_behind(run_of(tmp_path).name) == []


# --- bad inputs on the real thing -------------------------------------------------------------------------


def test_an_engine_that_does_not_run_exits_with_3(tmp_path: Path) -> None:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    said = vmvc("run", write(tmp_path, "docker"), cwd=tmp_path, env=environment)
    assert said.code == 3
    assert "hint:" in said.err
    assert list((tmp_path / "results").rglob("*/*")) == []


def test_a_port_in_use_on_the_bare_host_names_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 80)):
        said = vmvc("run", write(tmp_path, "process"), cwd=tmp_path)
    assert said.code != 0
    assert "80" in said.err
    assert "python" in said.err or str(os.getpid()) in said.err


def test_a_guest_that_dies_at_once_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    path = write(tmp_path, *ALL, count=1)
    path.write_text(path.read_text() + "guest: {command: [/bin/sh, -c, 'echo all is lost; exit 3']}\n")
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 1, said.err
    records = [json.loads(line) for line in (run_of(tmp_path) / "journal.jsonl").read_text().splitlines()]
    failures = {record["backend"]: record["failure"] for record in records if record["record"] == "trial"}
    assert set(failures) == set(ALL)
    for backend, failure in failures.items():
        assert failure["phase"] in ("start", "ready"), (backend, failure)
        assert failure["error"] == "GuestDied", (backend, failure)
    assert left_behind(run_of(tmp_path).name) == []


def test_a_guest_that_never_gets_ready_is_ended_at_the_deadline(tmp_path: Path) -> None:
    path = write(tmp_path, *ALL, count=1)
    text = path.read_text().replace("timeout: 90s", "timeout: 5s")
    path.write_text(text + "guest: {command: [/bin/sleep, '1000']}\n")
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 1, said.err
    assert said.err.count("not ready after 5 s") == 3
    assert left_behind(run_of(tmp_path).name) == []


def test_an_image_that_does_not_build_exits_with_3_and_names_the_package(tmp_path: Path) -> None:
    path = write(tmp_path, "docker")
    path.write_text(
        path.read_text()
        + "images: {web: {base: 'debian:bookworm', packages: [no-such-package-anywhere]}}\n"
        + "guest: {image: web}\n"
    )
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 3
    assert "no-such-package-anywhere" in said.err
