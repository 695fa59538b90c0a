"""A bundle is a Process Run Crate, and both citations are valid: by the validators of their own makers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import vmvc
from tests.bundle.test_making import text, whole
from tests.report import runs
from vmvc import bundle
from vmvc.bundle import citation

ROOT = Path(__file__).parent.parent.parent
VALIDATORS = Path(sys.prefix) / "validators" / "bin"
UNMET = {
    "process-run-crate-0.5_3.2": "vmvc has no address of its own",
    "process-run-crate-0.5_5.1": "a package URL is an absolute URI that the validator does not know",
    "ro-crate-1.1_22.3": "nobody publishes a bundle but its receiver",
    "ro-crate-1.1_30.2": "authors are asked for their names only",
    "ro-crate-1.1_30.3": "authors are asked for their names only",
}
"""Recommendations that a bundle does not meet, with the reason."""


def validator(name: str) -> str:
    path = VALIDATORS / name
    if not path.exists():
        what = f"{name} is not installed; make validators installs it"
        if os.environ.get("CI"):
            pytest.fail(what, pytrace=False)
        pytest.skip(what)
    return str(path)


def judged(path: Path, level: str = "RECOMMENDED") -> dict[str, Any]:
    done = subprocess.run(
        [validator("python"), str(Path(__file__).with_name("validate_crate.py")), str(path), level],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


OCI = """\
name: made
images: {web: {oci: "registry.example:5000/team/nginx:1.27"}}
guest: {image: web}
backends: {process: {}, docker: {}, kvm: {kind: libvirt}}
metrics: [startup]
"""


def test_the_crate_is_valid(tmp_path: Path) -> None:
    folder = whole(tmp_path / "run", claims=runs.CLAIMS, source=OCI)
    made = bundle.make(folder, tmp_path / "a.zip", authors=["Ada Lovelace", "B"], licence="cc-by-4.0")
    found = judged(made.path)
    assert len(found["checks"]) > 90
    assert {one["check"]: one["says"] for one in found["issues"] if one["check"] not in UNMET} == {}
    about = {one["@id"]: one for one in json.loads(text(made.path, "ro-crate-metadata.json"))["@graph"]}
    assert about["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert about["#image-web"]["registry"] == "registry.example:5000"
    assert about["#image-web"]["name"] == "team/nginx"
    assert about["#image-web"]["tag"] == "1.27"
    assert {"pkg:generic/docker@27.1", "pkg:generic/libvirt@9.0-10.0"} <= set(about)


def test_a_crate_of_an_unfinished_run_without_names_meets_what_is_required(tmp_path: Path) -> None:
    folder = whole(tmp_path / "run", until=5)
    made = bundle.make(folder, tmp_path / "a.zip", as_it_is=True)
    assert judged(made.path, "REQUIRED")["issues"] == []


def cff(path: Path) -> str:
    done = subprocess.run(
        [validator("cffconvert"), "--validate", "-i", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_project_says_how_to_cite_it() -> None:
    path = ROOT / "CITATION.cff"
    assert path.read_text() == citation.of_vmvc(), f"put this into CITATION.cff:\n{citation.of_vmvc()}"
    assert yaml.safe_load(path.read_text())["version"] == vmvc.__version__
    assert "valid" in cff(path)


@pytest.mark.parametrize("authors", [(), ("Ada Lovelace", 'O\'Brien: "B"')])
@pytest.mark.parametrize("title", ["Plain", "a: b # {c}\n- d"])
def test_a_run_has_a_citation(tmp_path: Path, authors: tuple[str, ...], title: str) -> None:
    source = runs.SOURCE + f"title: {json.dumps(title)}\n"
    folder = whole(tmp_path / "run", source=source)
    made = bundle.make(folder, tmp_path / "a.zip", authors=authors, licence="CC0-1.0")
    path = tmp_path / "CITATION.cff"
    path.write_text(text(made.path, "CITATION.cff"))
    assert "valid" in cff(path)
    about = yaml.safe_load(path.read_text())
    assert about["title"].startswith(title)
    assert [one["name"] for one in about["authors"]] == [*authors] or not authors
