"""The lesson's tables come from records alone: every cell has its sources, or says why it is absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import vmvc
from tests.report import runs
from vmvc import confinement, explain, journal, results
from vmvc.plan import Plan
from vmvc.records_explain import Explained, ExplainedCell
from vmvc.records_journal import RunRecord
from vmvc.records_summary import Summary, SummaryRow
from vmvc.spec import Trials

FACTS = {f"isolation.{name}_ns": 1.0 for name in confinement.NAMESPACES} | {
    "isolation.shares_kernel": 1.0,
    "isolation.user_ns": 0.0,
    "isolation.seccomp": 2.0,
    "isolation.capabilities": 14.0,
    "isolation.user_mapped": 0.0,
    "isolation.lsm": 0.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.make(tmp_path_factory.mktemp("explained") / "run")


def cells(found: Explained, row: str) -> Mapping[str, ExplainedCell]:
    """Return a row's cells by condition."""
    (one,) = (one for table in found.tables for one in table.rows if one.name == row)
    return dict(zip((column.condition for column in found.columns), one.cells, strict=True))


def made(
    values: Mapping[str, float], *, about: Mapping[str, Any] | None = None, varies: str = "", n: int = 10
) -> Explained:
    """Return the tables of one condition of docker whose medians are given."""
    axes: Mapping[str, Mapping[str, Any]] = {"docker": {}}
    rows = tuple(
        SummaryRow(
            backend="docker", condition="docker", factors={}, metric=key.split(".")[0],
            quantity=key.split(".")[1], unit="1", better="neutral", n=n, failed=0, planned=n, median=value,
            min=value, max=value + (key == varies), low=value, high=value,
        )
        for key, value in values.items()
    )  # fmt: skip
    head = RunRecord(
        version=1, run="r", experiment_sha256="", name="made", seed=1, count=n, trials=n, axes=axes, only=(),
        quantities=(), baseline="docker",
    )  # fmt: skip
    if about is None:
        about = runs.run_json(Plan(axes, (("isolation",),), Trials(count=n)), "", ["docker"])
    summary = Summary(run="r", name="made", trials=n, measured=n, failed=0, rows=rows)
    return explain.tables(head, about, summary)


def test_every_cell_has_a_source_or_a_reason(folder: Path) -> None:
    found = explain.explained(folder)
    assert [table.name for table in found.tables] == ["layers", "comparison", "mechanisms"]
    assert [column.condition for column in found.columns] == ["process", "docker", "kvm"]
    for table in found.tables:
        for row in table.rows:
            assert len(row.cells) == len(found.columns)
            for cell in row.cells:
                assert bool(cell.text) == bool(cell.source) != bool(cell.reason), (row.name, cell)


def test_figures_are_those_of_the_summary(folder: Path) -> None:
    found = cells(explain.explained(folder), "start-up")
    summary = {one.condition: one for one in results.summary_of(folder).rows if
               (one.metric, one.quantity) == ("startup", "ready")}  # fmt: skip
    for name, cell in found.items():
        assert (cell.value, cell.unit, cell.source) == (summary[name].median, "s", ("startup.ready",))
        assert "[" in cell.text


def test_layers_are_what_run_json_says(folder: Path) -> None:
    found = explain.explained(folder)
    assert cells(found, "virtualisation layer")["process"].text == "none: a process of the host"
    docker = cells(found, "virtualisation layer")["docker"]
    assert docker.text.startswith("docker 27.1, runc 1.1:")
    assert "run.json backends.docker.facts.version" in docker.source
    kvm = cells(found, "virtualisation layer")["kvm"].text
    assert "qemu 9.0" in kvm
    assert "emulated (tcg)" in kvm
    assert cells(found, "binaries")["docker"].text == "image web: debian:bookworm with nginx-light"
    assert "Linux 6.1" in cells(found, "guest OS")["docker"].text
    assert "8 threads" in cells(found, "hardware")["kvm"].text
    assert any("kvm ran emulated" in note for note in found.notes)


def test_a_guest_kernel_is_never_guessed(folder: Path) -> None:
    """run.json has no kernel of the machine, and nothing proved that it has one."""
    cell = cells(explain.explained(folder), "guest OS")["kvm"]
    assert not cell.text
    assert "conditions.kvm.facts.kernel_package is not recorded" in cell.reason
    assert "does not measure isolation" in cell.reason


def test_what_was_not_measured_says_so(folder: Path) -> None:
    found = explain.explained(folder)
    assert cells(found, "density")["docker"].reason == "the run does not measure density"
    assert cells(found, "pid namespace")["docker"].reason == "the run does not measure isolation"


def test_security_counts_what_was_found() -> None:
    found = made(FACTS)
    assert cells(found, "security")["docker"].text == (
        "shares the host's kernel, 7 of 8 namespaces apart, seccomp filter, 14 capabilities, "
        "root is root on the host, no LSM"
    )
    assert cells(found, "user namespace")["docker"].text == "the host's"
    assert cells(found, "pid namespace")["docker"].text == "its own"
    assert cells(found, "guest OS")["docker"].text.endswith("proved by equal boot ids")


def test_a_kernel_of_its_own_keeps_namespaces_apart() -> None:
    found = made(FACTS | {"isolation.shares_kernel": 0.0})
    assert cells(found, "pid namespace")["docker"].text == "apart, by a kernel of its own"
    assert cells(found, "guest OS")["docker"].text == "a kernel of its own, proved by another boot id"


def test_a_fact_that_varies_is_none() -> None:
    cell = cells(made(FACTS, varies="isolation.pid_ns"), "pid namespace")["docker"]
    assert cell.reason == "isolation.pid_ns is not the same in every trial"


def test_limits_that_were_tried_are_told() -> None:
    tried = {
        "limits.cpu_received": 1.004,
        "limits.memory_reached": 117 * 2.0**20,
        "limits.memory_killed": 1.0,
    }
    found = cells(made(tried), "limits, tried")["docker"]
    assert found.text == "busy loops got 1.00 CPU, one program got 117 MiB and was killed"
    assert found.source == tuple(tried)
    assert cells(made(FACTS), "limits, tried")["docker"].reason == "the run does not measure limits"


def test_levels_of_factors_come_before_the_guest(tmp_path: Path) -> None:
    run = runs.make(tmp_path / "run", backends=("docker",), levels=("256MiB", "1GiB"), count=1)
    found = cells(explain.explained(run), "limits")
    assert [one.text for one in found.values()] == ["1 CPU, 256MiB, by cgroups", "1 CPU, 1GiB, by cgroups"]
    assert "factor guest.memory" in next(iter(found.values())).source


def test_many_conditions_are_one_column_a_backend(tmp_path: Path) -> None:
    levels = [f"{size}MiB" for size in range(256, 265)]
    run = runs.make(tmp_path / "run", backends=("docker", "kvm"), levels=levels, count=1)
    found = explain.explained(run)
    assert [one.condition for one in found.columns] == [
        f"{one} guest.memory=256MiB" for one in ("docker", "kvm")
    ]
    assert "of 18 conditions" in found.notes[0]


def test_without_run_json_figures_remain(folder: Path, tmp_path: Path) -> None:
    run = runs.make(tmp_path / "run", count=1)
    (run / "run.json").write_text("[]")
    found = explain.explained(run)
    assert "run.json" in found.notes[0]
    assert cells(found, "start-up")["docker"].text
    assert cells(found, "hardware")["docker"].reason.startswith("run.json host.")


def test_facts_of_another_shape_are_no_traceback() -> None:
    about = {
        "host": [],
        "backends": {"docker": {"isolation": "vm", "facts": "x"}},
        "experiment": {"guest": 7},
    }
    for table in made(FACTS, about=about).tables:
        for row in table.rows:
            assert bool(row.cells[0].text) != bool(row.cells[0].reason)


def test_the_command_prints_markdown_and_json(folder: Path, tmp_path: Path) -> None:
    said = vmvc("explain", folder, cwd=tmp_path)
    assert said.code == 0
    assert said.out.count("\n## ") == 3
    assert "1. run.json host." in said.out
    assert "absent: the run does not measure density" in said.out
    told = json.loads(vmvc("explain", folder, "--json", cwd=tmp_path).out)
    assert Explained.model_validate(told) == explain.explained(folder)
    assert told["version"] == 1


def test_no_run_is_a_message(tmp_path: Path) -> None:
    said = vmvc("explain", tmp_path, cwd=tmp_path)
    assert said.code == 2
    assert "holds no run" in said.err
    assert "Traceback" not in said.err


def test_text_of_engines_draws_nothing(folder: Path, tmp_path: Path) -> None:
    run = runs.make(tmp_path / "run", count=1)
    about = json.loads((run / "run.json").read_text())
    about["host"]["cpu"] = "A \x1b[31mCPU | `x`"
    (run / "run.json").write_text(json.dumps(about))
    out = vmvc("explain", run, cwd=tmp_path).out
    assert "\x1b" not in out
    assert "\\|" in out


def test_the_journal_is_only_read(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    explain.explained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert journal.head(folder / "journal.jsonl").name == "made"


def test_a_machine_that_existed_before_has_its_own_size_and_no_image_of_ours() -> None:
    facts = {
        "existing_machine": "ubuntu-vm",
        "existing_id": "1-2",
        "existing_cpus": 3,
        "existing_memory": 2**31,
    }
    about = {
        "experiment": {"guest": {"cpus": 1, "memory": 2**29, "image": "tiny", "command": ["httpd"]}},
        "backends": {"docker": {"kind": "libvirt", "isolation": "vm", "facts": {"machine": "q35"}}},
        "conditions": {"docker": {"facts": facts}},
    }
    found = made({}, about=about)
    (layer,) = cells(found, "virtualisation layer").values()
    assert layer.text == "a machine q35 of 3 CPU and 2 GiB"
    (binaries,) = cells(found, "binaries").values()
    assert binaries.text == "those of the machine ubuntu-vm, which vmvc did not make"
    assert binaries.source == ("run.json conditions.docker.facts.existing_machine",)
    (application,) = cells(found, "application").values()
    assert application.text == "what the machine ubuntu-vm starts of itself"
