"""A name under ``tune`` -> the files of the host to write, what they hold now, and what stands in the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CPU: Final = "sys/devices/system/cpu"
_GOVERNORS: Final = (f"{_CPU}/cpufreq/policy*/scaling_governor", f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")
_PREFERENCE: Final = "energy_performance_preference"
"""Set beside the governor: some drivers change it with the governor and do not change it back."""
_NO_TURBO: Final = f"{_CPU}/intel_pstate/no_turbo"
_BOOST: Final = f"{_CPU}/cpufreq/boost"
_ASLR: Final = "proc/sys/kernel/randomize_va_space"

PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    "governor": (
        *_GOVERNORS,
        *(pattern.replace("scaling_governor", _PREFERENCE) for pattern in _GOVERNORS),
    ),
    "turbo": (_NO_TURBO, _BOOST),
    "aslr": (_ASLR,),
}
"""Setting -> the only files that it may ever write, below the root."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file of the host: the bytes ``found`` in it and those ``wanted`` for the time of a run."""

    setting: str
    path: Path
    found: bytes
    wanted: bytes

    @property
    def needed(self) -> bool:
        return not same(self.found, self.wanted)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a setting cannot be tuned here, and the remedy."""

    setting: str
    what: str
    remedy: str


def same(one: bytes, other: bytes) -> bool:
    """Say whether two contents mean the same to the kernel, which adds and ignores a newline."""
    return one.strip() == other.strip()


def changes(settings: Sequence[str], root: Path) -> Iterator[Change | Obstacle]:
    """Yield what to write for these settings, or why it cannot be written; writes nothing."""
    for setting in settings:
        if setting in _WAYS:
            yield from _WAYS[setting](root)


def belongs(setting: str, path: Path, root: Path) -> bool:
    """Say whether a file is one that the setting may write."""
    return any(path.match(str(root / pattern)) for pattern in PATTERNS.get(setting, ()))


def _governor(root: Path) -> Iterator[Change | Obstacle]:
    files = next((found for pattern in _GOVERNORS if (found := sorted(root.glob(pattern)))), [])
    if not files:
        yield Obstacle(
            "governor",
            "this host shows no CPU frequency governor (a virtual machine's host sets it)",
            "leave governor out of tune, or tune the machine's host",
        )
    for file in files:
        known = file.with_name("scaling_available_governors")
        if known.exists() and b"performance" not in known.read_bytes().split():
            yield Obstacle(
                "governor", f"{file.parent}: there is no governor performance", "leave governor out"
            )
        else:
            # First: a driver whose governor is performance may refuse any preference.
            preference = file.with_name(_PREFERENCE)
            if preference.exists():
                yield _change("governor", preference, b"performance\n")
            yield _change("governor", file, b"performance\n")


def _turbo(root: Path) -> Iterator[Change | Obstacle]:
    if (root / _NO_TURBO).exists():
        yield _change("turbo", root / _NO_TURBO, b"1\n")
    elif (root / _BOOST).exists():
        yield _change("turbo", root / _BOOST, b"0\n")
    else:
        yield Obstacle(
            "turbo",
            "this host does not show turbo (neither intel_pstate/no_turbo nor cpufreq/boost)",
            "leave turbo out of tune, or switch it off in the firmware",
        )


def _aslr(root: Path) -> Iterator[Change | Obstacle]:
    if (root / _ASLR).exists():
        yield _change("aslr", root / _ASLR, b"0\n")
    else:
        yield Obstacle(
            "aslr",
            "this host does not show address randomisation (randomize_va_space)",
            "leave aslr out of tune",
        )


_WAYS: Final[Mapping[str, Callable[[Path], Iterator[Change | Obstacle]]]] = {
    "governor": _governor,
    "turbo": _turbo,
    "aslr": _aslr,
}


def _change(setting: str, path: Path, wanted: bytes) -> Change | Obstacle:
    try:
        found = path.read_bytes()
    except OSError as error:
        return Obstacle(setting, f"{path} cannot be read: {error.strerror}", "run vmvc as root")
    change = Change(setting, path, found, wanted)
    if change.needed and not os.access(path, os.W_OK):
        return Obstacle(
            setting,
            f"this user may not write {path}",
            f"run vmvc as root, outside a container, or leave {setting} out of tune",
        )
    return change
