"""Changes of a host and what became of them -> findings in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmvc.contract import Finding, Severity
from vmvc.host.topology import Split, show_cpus
from vmvc.tuning.saved import End, Restored
from vmvc.tuning.settings import Change, same


def said(wanted: Sequence[Change], shares: Split | None) -> Iterator[Finding]:
    """Say what is tuned, with the values before and after; equal ones once."""
    remedy = "compare with trials of the same tuning only; leave it out of tune to measure the host as it is"
    seen: dict[tuple[str, bytes, bytes], list[Change]] = {}
    for change in wanted:
        seen.setdefault((change.setting, change.found.strip(), change.wanted.strip()), []).append(change)
    for (setting, found, new), alike in seen.items():
        where = str(alike[0].path) + (f" and {len(alike) - 1} more" if len(alike) > 1 else "")
        how = f"from {show(found)} to {show(new)}" if found != new else f"nothing to do, it was {show(new)}"
        yield Finding(f"tune.{setting}", Severity.INFO, f"tuned for this run: {where}: {how}", remedy)
    if shares is not None:
        beside = ", which are threads of one core" if shares.siblings else ""
        what = f"guests run on CPU {show_cpus(shares.guest)}, vmvc on CPU {show_cpus(shares.prober)}{beside}"
        severity = Severity.WARNING if shares.siblings else Severity.INFO
        yield Finding("tune.cpus", severity, what, remedy)


def problem(end: Restored) -> Iterator[Finding]:
    """Say what was not put back, and why; nothing where all is well."""
    change = end.change
    if end.end is End.LEFT:
        yield Finding(
            "tune.changed",
            Severity.WARNING,
            f"{change.path} was changed meanwhile and is left alone: it is {show(end.now)}, vmvc had set "
            f"{show(change.wanted)} and found {show(change.found)}",
            "see who changes it: a power daemon, or another user",
        )
    elif end.end is End.FAILED:
        what = f"{change.path} could not be put back to {show(change.found)}: {end.why}"
        yield Finding("tune.failed", Severity.WARNING, what, "vmvc restore, as root")


def no_longer(change: Change) -> Iterator[Finding]:
    """Say where a file no longer holds what the run has set."""
    try:
        now = change.path.read_bytes()
    except OSError:
        return
    if not same(now, change.wanted):
        yield Finding(
            "tune.changed",
            Severity.WARNING,
            f"{change.path} no longer is as tuned: it is {show(now)} instead of {show(change.wanted)}",
            "see who changes it: a power daemon, or another user",
        )


def show(value: bytes) -> str:
    """Write a value for people."""
    return value.decode(errors="replace").strip() or "empty"
