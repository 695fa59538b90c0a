"""`vmvc doctor --self-test`: one life through the real path, and a report that says what failed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.command import vmvc


def test_a_backend_that_works_is_made_measured_and_removed(tmp_path: Path) -> None:
    environment = {**os.environ, "VMVC_CACHE": str(tmp_path / "cache")}
    said = vmvc("doctor", "--self-test", "fake", "--json", cwd=tmp_path, env=environment)
    report = json.loads(said.out)
    assert (said.code, report["ok"]) == (0, True)
    names = [step["name"] for step in report["steps"]]
    assert names == ["load", "check", "prepare", "create", "start", "ready", "stop", "remove"]
    assert all(step["ok"] and step["seconds"] >= 0 for step in report["steps"])
    assert report["versions"]["vmvc"]
    assert report["facts"]["engine"] == "fake"
    assert {"startup.ready", "shutdown.gone"} <= report["readings"].keys()
    assert all(report["absent"].values())
    assert not list((tmp_path / "cache").glob("fake/vmvc-*"))


def test_what_fails_is_said_with_its_cure_and_an_exit_code(tmp_path: Path) -> None:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    said = vmvc("doctor", "--self-test", "docker", cwd=tmp_path, env=environment)
    assert said.code == 3
    assert "self-test of docker: failed" in said.out
    assert "failed  check" in said.out
    assert "no Docker Engine answers" in said.out
    assert "hint: start it" in said.out


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    said = vmvc("doctor", "--self-test", "dokcer", cwd=tmp_path)
    assert said.code == 2
    assert "did you mean 'docker'?" in said.err
