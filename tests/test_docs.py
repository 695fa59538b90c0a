"""The README tells the truth: every command, option, exit code, backend and quantity is in it, as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Context, Group

from vmvc import registry
from vmvc.cli import COMMANDS, cli
from vmvc.errors import ExitCode
from vmvc.records import SummaryRow
from vmvc.results import MEASUREMENT_COLUMNS, SUMMARY_COLUMNS
from vmvc.spec import Experiment, Factors, Trials

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


@pytest.mark.parametrize("column", [*MEASUREMENT_COLUMNS, *SUMMARY_COLUMNS, *SummaryRow.model_fields])
def test_every_column_is_there(column: str) -> None:
    if column != "factors":
        assert f"`{column}`" in README


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
