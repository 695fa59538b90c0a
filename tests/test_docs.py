"""The README tells the truth: every command, option, exit code, backend and quantity is in it, as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from click import Context, Group

from vmvc import registry, stats
from vmvc.cli import COMMANDS, cli
from vmvc.errors import ExitCode
from vmvc.metrics.presets import PRESETS
from vmvc.metrics.task import Task, Wanted
from vmvc.metrics.workload_options import WorkloadOptions
from vmvc.records_claims import VerdictRecord
from vmvc.records_compare import Verdict
from vmvc.records_summary import Comparison, SummaryRow, Trend
from vmvc.results_csv import ITERATION_COLUMNS, MEASUREMENT_COLUMNS, SUMMARY_COLUMNS
from vmvc.spec import Experiment, Factors, Trials
from vmvc.spec_claims import ON_ONE, ON_SEVERAL
from vmvc.spec_host import CODES, GROUPS, Setting
from vmvc.units import unit_named

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def quantities() -> str:
    """Return the table of quantities as the README must have it, from the metrics' own declarations."""
    rows = ["| quantity | unit | better | meaning |", "|---|---|---|---|"]
    for name in registry.METRICS:
        rows += [
            f"| `{name}.{one.name}` | {one.unit} | {one.better} | {one.says} |"
            for one in registry.metric_class(name).quantities
        ]
    return "\n".join(rows)


def test_the_table_of_quantities_is_what_the_metrics_declare() -> None:
    found = re.search(r"<!-- quantities -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert found is not None
    assert found[1] == quantities(), f"put this into the README:\n{quantities()}"


def workloads() -> str:
    """Return the table of ready-made workloads as the README must have it."""
    rows = ["| `use` | Debian package | gives |", "|---|---|---|"]
    for name, one in PRESETS.items():
        told = [
            f"`{quantity}`, {(unit_named(wanted.unit) or ('?', 0))[0]}: {wanted.says}"
            for quantity, wanted in one.task.quantities.items()
        ]
        where = " (on the host)" if one.task.on == "host" else ""
        rows.append(f"| `{name}` | {one.package}{where} | {' '.join(told)} |")
    return "\n".join(rows)


def test_the_table_of_workloads_is_what_the_presets_declare() -> None:
    found = re.search(r"<!-- workloads -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert found is not None
    assert found[1] == workloads(), f"put this into the README:\n{workloads()}"


@pytest.mark.parametrize("key", [*WorkloadOptions.model_fields, *Task.model_fields, *Wanted.model_fields])
def test_every_key_of_a_workload_is_there(key: str) -> None:
    section = README[README.index("\n### Workloads\n") : README.index("<!-- workloads -->")]
    assert f"`{key.rstrip('_')}" in section


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_its_options_are_there(name: str) -> None:
    line = next((line for line in README.splitlines() if line.startswith(f"| `vmvc {name}")), "")
    assert line, f"vmvc {name} is not in the table of commands"
    assert isinstance(cli, Group)
    command = cli.get_command(Context(cli), name)
    assert command is not None
    commands = command.commands.values() if isinstance(command, Group) else [command]
    for one in commands:
        for parameter in one.params:
            option = next((text for text in parameter.opts if text.startswith("--")), "")
            assert option in README, f"{option} of vmvc {name}"


def test_every_exit_code_is_there() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert listed == {int(code) for code in ExitCode}


@pytest.mark.parametrize("kind", registry.BACKENDS)
def test_every_backend_is_there(kind: str) -> None:
    assert f"\n| `{kind}` | " in README


SHAPES = (SummaryRow, Comparison, Trend)


@pytest.mark.parametrize(
    "column",
    sorted(
        {
            *MEASUREMENT_COLUMNS,
            *ITERATION_COLUMNS,
            *SUMMARY_COLUMNS,
            *(key for shape in SHAPES for key in shape.model_fields),
        }
    ),
)
def test_every_column_is_there(column: str) -> None:
    assert f"`{column}`" in README


@pytest.mark.parametrize("flag", stats.FLAGS)
def test_every_flag_is_there(flag: str) -> None:
    assert f"\n| `{flag}` | " in README


@pytest.mark.parametrize("key", VerdictRecord.model_fields)
def test_every_key_of_a_verdict_is_there(key: str) -> None:
    assert f"`{key}`" in README


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_on_a_comparison_is_there(verdict: str) -> None:
    section = README[README.index("\n## Comparing runs\n") : README.index("\n## In Python\n")]
    assert re.search(rf"^\| .*`{verdict}`.* \| ", section, re.MULTILINE)


@pytest.mark.parametrize("form", [*ON_ONE, *ON_SEVERAL])
def test_every_form_of_claim_is_there(form: str) -> None:
    assert f"\n| `{form}: " in README


@pytest.mark.parametrize("key", [*Experiment.model_fields, *Factors.model_fields, *Trials.model_fields])
def test_every_key_of_the_language_is_there(key: str) -> None:
    assert f"`{key.rstrip('_')}`" in README


def test_every_example_is_named_and_every_named_one_exists() -> None:
    named = set(re.findall(r"^\| `([a-z0-9-]+\.yaml)` \| (?!the experiment)", README, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "experiments").glob("*.yaml")}


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:vmvc|tests|experiments|schemas)/[\w./-]*[a-z/])`", README)))
)
def test_every_path_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("name", [*CODES, *GROUPS, *get_args(Setting), "wait_timeout"])
def test_every_finding_and_setting_of_the_host_is_there(name: str) -> None:
    section = README[README.index("\n## Noise\n") : README.index("\n## A run's folder\n")]
    assert re.search(rf"\b{name}\b", section)


@pytest.mark.parametrize(("group", "codes"), GROUPS.items())
def test_every_group_is_told_as_it_is(group: str, codes: tuple[str, ...]) -> None:
    found = re.search(rf"`{group}` stands for|`{group}` for", README)
    assert found is not None
    told = re.findall(r"`(\w+)`", README[found.end() : found.end() + 200].split(".")[0].split(";")[0])
    assert tuple(told) == codes


PROMISES = re.findall(
    r"^\| (.+) \| `(.+?\.py)::(test_\w+)` \|$",
    README[README.index("<!-- promises -->") :].partition("<!-- end -->")[0],
    re.MULTILINE,
)


@pytest.mark.parametrize(("promise", "path", "test"), PROMISES)
def test_every_promise_has_the_test_that_it_names(promise: str, path: str, test: str) -> None:
    assert re.search(rf"^ *def {test}\(", (ROOT / path).read_text(), re.MULTILINE), promise


def test_no_row_of_the_promises_is_without_a_test() -> None:
    rows = README[README.index("<!-- promises -->") :].partition("<!-- end -->")[0].splitlines()[3:]
    assert len(PROMISES) == len([row for row in rows if row.startswith("| ")]) > 20
