"""Settings under ``tune`` -> a host that has them for the time of a run, and afterwards those it had before.

The values found are on the disk before the first one is changed. They are put back at the end, however it
comes; after a kill at the next start, or by ``vmvc restore``. Nothing is ever set to an assumed default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vmvc import host, owner
from vmvc.contract import Finding, Severity
from vmvc.errors import CleanupError, EngineError
from vmvc.host.topology import Split, split
from vmvc.tuning import saved as store
from vmvc.tuning.affinity import pinned
from vmvc.tuning.saved import End, Restored, Saved
from vmvc.tuning.settings import Change, Obstacle, changes, same
from vmvc.tuning.words import no_longer, problem, said, show

__all__ = ["ROOT", "End", "Restored", "Tuned", "leftovers", "restore", "tuned"]

ROOT = Path("/")
"""Where the host's ``proc`` and ``sys`` are."""

Tell = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a run has changed; ``findings`` say so, with the values before and after."""

    settings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    split: Split | None = None
    findings: tuple[Finding, ...] = field(default=())

    @property
    def cpuset(self) -> tuple[int, ...] | None:
        """CPUs that guests are kept on, ``None`` where they are free."""
        return self.split.guest if self.split is not None else None

    def disturbed(self) -> list[Finding]:
        """Return what somebody else has changed meanwhile, so that it no longer is as tuned."""
        return [finding for change in self.changes for finding in no_longer(change)]


def restore() -> list[Restored] | None:
    """Put back what a dead run left changed; ``None`` where there was nothing to put back.

    An empty list: the host was started anew since, and has its own settings again.

    Raises: EngineError where the run still lives, or the values on file cannot be read.
    """
    place = store.folder()
    with store.locked(place):
        kept = store.read(place)
        if kept is None:
            return None
        if kept.alive:
            raise EngineError(
                f"the run that tuned this host still lives ({kept.owner}); it puts everything back itself",
                hint="end it first: Ctrl-C in its terminal, or kill its process",
            )
        return store.put_back(place, kept, ROOT)


def leftovers() -> list[Finding]:
    """Return a finding where a dead run, of this user or of root, left settings changed; changes nothing."""
    own = store.folder()
    return [finding for place in (own, *store.others(own)) for finding in _left(place, own)]


@contextmanager
def tuned(settings: Sequence[str], *, cpus: int, tell: Tell) -> Iterator[Tuned]:
    """Put back what a dead run left, then tune the host until the block ends.

    ``cpus``: the most that a guest asks for. ``tell`` hears what was put back or could not be.

    Raises: EngineError, before anything is changed, naming every setting that cannot be had here and why;
    CleanupError where something could not be put back.
    """
    after_death = _after_death(tell)
    for finding in leftovers():
        after_death.append(finding)
        tell(finding)
    if not settings:
        yield Tuned(findings=tuple(after_death))
        return
    found = list(changes(settings, ROOT))
    obstacles = [one for one in found if isinstance(one, Obstacle)]
    shares = split(ROOT) if "cpus" in settings else None
    if "cpus" in settings:
        obstacles += _cannot_pin(shares, cpus)
    if obstacles:
        raise EngineError(
            "\n".join(f"tune: {one.setting}: {one.what}\n  hint: {one.remedy}" for one in obstacles),
            hint="what is not under tune stays as it is found",
        )
    wanted = tuple(one for one in found if isinstance(one, Change))
    about = Tuned(tuple(settings), wanted, shares, (*after_death, *said(wanted, shares)))
    with _written(tuple(change for change in wanted if change.needed), tell), pinned(shares):
        for finding in about.findings[len(after_death) :]:
            tell(finding)
        yield about


@contextmanager
def _written(needed: tuple[Change, ...], tell: Tell) -> Iterator[None]:
    """Save the values found, write those wanted, and put back the values found."""
    if not needed:
        yield
        return
    place = store.folder()
    kept = Saved(owner.current(), host.boot_id(), needed)
    with store.locked(place, make=True):
        _refuse_another(place)
        store.write(place, kept)
    try:
        for change in needed:
            _write(change)
        yield
    finally:
        failed = sys.exc_info()[0] is not None
        with store.locked(place):
            ends = store.put_back(place, kept, ROOT)
        problems = [finding for end in ends for finding in problem(end)]
        for finding in problems:
            tell(finding)
        if not failed and any(end.end is End.FAILED for end in ends):
            raise CleanupError(
                "\n".join(finding.what for finding in problems), hint="as the user who tuned: vmvc restore"
            )


def _after_death(tell: Tell) -> list[Finding]:
    """Put back what a dead run left; a live one's is left alone."""
    place = store.folder()
    with store.locked(place):
        kept = store.read(place)
        if kept is None or kept.alive:
            return []
        ends = store.put_back(place, kept, ROOT)
    back = [end for end in ends if end.end is End.RESTORED]
    findings = [finding for end in ends for finding in problem(end)]
    if back:
        shown = ", ".join(f"{one.change.path} to {show(one.change.found)}" for one in back)
        what = f"a run that died had left this host tuned; put back: {shown}"
        findings.insert(0, Finding("tune.restored", Severity.INFO, what, "nothing: it is as it was before"))
    for finding in findings:
        tell(finding)
    if any(end.end is End.FAILED for end in ends):
        raise EngineError(
            "\n".join(finding.what for finding in findings), hint="as the user who tuned: vmvc restore"
        )
    return findings


def _left(place: Path, own: Path) -> Iterator[Finding]:
    try:
        kept = store.read(place)
    except EngineError as error:
        yield Finding("tune.unreadable", Severity.WARNING, error.what, error.hint)
        return
    if kept is not None and not kept.alive and kept.boot == host.boot_id():
        paths = ", ".join(str(change.path) for change in kept.changes)
        cure = "vmvc restore" if place == own else "sudo vmvc restore"
        yield Finding("tune.left", Severity.WARNING, f"a dead run left this host tuned: {paths}", cure)


def _refuse_another(place: Path) -> None:
    """Never save values that another run has tuned.

    Raises: EngineError.
    """
    kept = store.read(place)
    if kept is not None:
        raise EngineError(
            f"another run tunes this host ({kept.owner})",
            hint="wait for it; vmvc restore helps where it died",
        )
    if store.others(place):
        raise EngineError(
            "a run of root's tunes this host, or died over it", hint="wait for it, or: sudo vmvc restore"
        )


def _write(change: Change) -> None:
    try:
        store.write_value(change.path, change.wanted)
        now = change.path.read_bytes()
    except OSError as error:
        raise EngineError(
            f"tune: {change.setting}: {change.path}: {error.strerror}",
            hint=f"see why the host refuses it, or leave {change.setting} out of tune",
        ) from error
    if not same(now, change.wanted):
        raise EngineError(
            f"tune: {change.setting}: {change.path} is still {show(now)}: {show(change.wanted)} was refused",
            hint=f"leave {change.setting} out of tune: its driver does not take it",
        )


def _cannot_pin(shares: Split | None, cpus: int) -> Iterator[Obstacle]:
    if not hasattr(os, "sched_setaffinity"):
        yield Obstacle("cpus", "this host keeps no process on a CPU", "leave cpus out of tune")
    elif shares is None:
        yield Obstacle(
            "cpus", "guest and prober need a CPU each, and there is one here", "leave cpus out of tune"
        )
    elif cpus > len(shares.guest):
        yield Obstacle(
            "cpus",
            f"a guest asks for {cpus} CPUs, and {len(shares.guest)} are left beside the prober's",
            "lower guest.cpus, or leave cpus out of tune",
        )
