"""Host and engines -> what works here, what does not, and the command that cures it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import click

from vmvc import host, registry, tuning
from vmvc.cli.text import plain
from vmvc.contract import Finding, Scalar, Severity
from vmvc.engines import CHECK_TIMEOUT
from vmvc.errors import EngineError, ExitCode, VmvcError
from vmvc.images import tool
from vmvc.selftest import Report, self_test
from vmvc.units import show, show_seconds
from vmvc.wording import did_you_mean
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
@click.option(
    "--self-test", "kind", metavar="BACKEND",
    help="Make, boot, measure and remove a tiny guest on BACKEND, and print a report fit for a bug report.",
)  # fmt: skip
def command(as_json: bool, kind: str | None) -> int:
    """Say what works on this machine, what does not, and what cures it.

    Exit code 0 where every backend (with --self-test: every step) works, else 3.
    """
    if kind is not None:
        return _self_test(kind, as_json)
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


def _self_test(kind: str, as_json: bool) -> int:
    """Test one backend, and print the report."""
    kinds = registry.backend_kinds()
    if kind not in kinds:
        raise click.BadParameter(
            f"unknown backend {kind!r}; {did_you_mean(kind, kinds)}", param_hint="--self-test"
        )
    report = self_test(kind, lambda step: click.echo(f"self-test of {kind}: {step}", err=True))
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        _print_report(report)
    return ExitCode.MEASURED if report.ok else ExitCode.ENGINE


def _print_report(report: Report) -> None:
    click.echo(f"self-test of {report.backend}: {'ok' if report.ok else 'failed'}")
    for step in report.steps:
        took = "" if step.seconds is None else show_seconds(step.seconds)
        word = "ok" if step.ok else "failed"
        click.echo(plain(f"  {word:7} {step.name:8} {took:>8}  {step.what}".rstrip()))
        if step.hint:
            click.echo(plain(f"    hint: {step.hint}"))
    parts: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("versions", report.versions),
        ("engine", report.facts),
        ("guest", report.prepared),
        ("readings", {name: show(value, unit) for name, (value, unit) in report.readings.items()}),
        ("absent", report.absent),
    )
    for title, facts in parts:
        if facts:
            click.echo(title)
        for name, value in facts.items():
            lines = str(value).splitlines()
            told = value if len(lines) < 2 else f"{len(lines)} lines, in --json"
            click.echo(plain(f"  {name}: {told}"))
    if report.findings:
        click.echo("findings")
    for finding in report.findings:
        _print_finding(finding)
    if report.console:
        click.echo(plain(f"last words of the guest's console\n{report.console}"))


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
