"""Host and engines -> what works here, what does not, and the command that cures it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import click

from vmvc import host, registry, tuning
from vmvc.cli.text import plain
from vmvc.contract import Finding, Scalar, Severity
from vmvc.errors import EngineError, ExitCode, VmvcError
from vmvc.images import tool
from vmvc.run import CHECK_TIMEOUT
from vmvc.worker import Worker


@dataclass
class Verdict:
    """What one backend can do here."""

    backend: str
    works: bool
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Scalar] = field(default_factory=dict)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(as_json: bool) -> int:
    """Say what works on this machine, what does not, and what cures it.

    Exit code 0 where every backend can run, else 3.
    """
    worker = Worker()
    try:
        verdicts = [_examine(kind, worker) for kind in registry.backend_kinds()]
    finally:
        worker.close()
    about = [*host.findings(), *tool.findings(), *tuning.leftovers()]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "host": {"facts": dict(host.facts()), "findings": [asdict(finding) for finding in about]},
                    "backends": [asdict(verdict) for verdict in verdicts],
                },
                indent=1,
            )
        )
    else:
        for verdict in verdicts:
            _print(verdict)
        click.echo("host")
        for name, value in host.facts().items():
            click.echo(plain(f"  {name}: {value}"))
        for finding in about:
            _print_finding(finding)
    return ExitCode.MEASURED if all(verdict.works for verdict in verdicts) else ExitCode.ENGINE


def _examine(kind: str, worker: Worker) -> Verdict:
    try:
        backend_class = registry.backend_class(kind)
        backend = backend_class(kind, backend_class.options_model())
        findings = list(worker.call("check", backend, timeout=CHECK_TIMEOUT))
        works = not any(finding.severity is Severity.ERROR for finding in findings)
        facts = dict(worker.call("describe", backend, timeout=CHECK_TIMEOUT)) if works else {}
    except EngineError as error:
        return Verdict(kind, False, [Finding("engine", Severity.ERROR, error.what, error.hint)])
    except VmvcError as error:
        return Verdict(kind, False, [Finding("worker", Severity.ERROR, error.what, error.hint)])
    return Verdict(kind, works, findings, facts)


def _print(verdict: Verdict) -> None:
    click.echo(f"{verdict.backend}: {'works' if verdict.works else 'does not work'}")
    for finding in verdict.findings:
        _print_finding(finding)
    for name, value in verdict.facts.items():
        click.echo(plain(f"  {name}: {value}"))


def _print_finding(finding: Finding) -> None:
    click.echo(plain(f"  {finding.severity.value}: {finding.what}"))
    if finding.remedy:
        click.echo(plain(f"    hint: {finding.remedy}"))
