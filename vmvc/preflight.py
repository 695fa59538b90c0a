"""What was found on the host and what the experiment requires -> go on, wait, or stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vmvc.contract import Clock, Finding, Severity
from vmvc.errors import EngineError
from vmvc.spec_host import Passing, Require
from vmvc.units import show_seconds

LOOK: Final = 1.0
"""Seconds between two looks at a host that is waited for."""
_TICK: Final = 0.1
"""Seconds after which a request to stop is heeded."""
_PREFIX: Final = "host."


def decision(finding: Finding, require: Require) -> Passing:
    """Return what to do about a finding; one that is not about the host is a warning."""
    if not finding.code.startswith(_PREFIX):
        return "warn"
    return require.decision(finding.code.removeprefix(_PREFIX))


def refuse(findings: Sequence[Finding], require: Require) -> None:
    """Stop where the experiment requires it.

    Raises: EngineError naming every finding to stop at, with its remedy.
    """
    stops = [finding for finding in findings if decision(finding, require) == "stop"]
    if stops:
        raise EngineError(
            "\n".join(f"{_named(one)}\n  hint: {one.remedy}" for one in stops),
            hint="the experiment requires a host without this; its key require decides",
        )


def settle(
    require: Require,
    find: Callable[[], Sequence[Finding]],
    clock: Clock,
    *,
    waiting: Callable[[Sequence[Finding], float], None],
    tick: Callable[[], None],
) -> list[Finding]:
    """Wait until none of the findings that the experiment wants to wait for is left.

    ``waiting`` hears what is waited for and how many seconds are left; ``tick`` is called several times a
    second and may raise. Returns what was waited for, as one finding; nothing where there was no need.

    Raises: EngineError after ``wait_timeout``.
    """
    if not require.waits:
        return []
    began = clock.now()
    waited: dict[str, Finding] = {}
    while left := [finding for finding in find() if decision(finding, require) == "wait"]:
        waited |= {finding.code: finding for finding in left if finding.code not in waited}
        seconds = (clock.now() - began) / 1e9
        if seconds >= require.wait_timeout:
            raise EngineError(
                "\n".join(f"{_named(one)}\n  hint: {one.remedy}" for one in left),
                hint=f"this did not pass within {show_seconds(require.wait_timeout)}: run again at a quieter "
                "hour, or raise require.wait_timeout",
            )
        waiting(left, require.wait_timeout - seconds)
        for _ in range(round(LOOK / _TICK)):
            tick()
            clock.sleep(_TICK)
    if not waited:
        return []
    shown = "; ".join(f"{_named(finding)}" for finding in waited.values())
    return [
        Finding(
            "host.waited",
            Severity.INFO,
            f"waited {show_seconds((clock.now() - began) / 1e9)} before the first trial until this was over: "
            f"{shown}",
            "nothing: the experiment requires it",
        )
    ]


def _named(finding: Finding) -> str:
    return f"{finding.code.removeprefix(_PREFIX)}: {finding.what}"
