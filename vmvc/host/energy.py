"""The counters that a CPU keeps of its energy (RAPL) -> joules between two looks.

``energy_uj`` counts microjoules and begins anew after ``max_energy_range_uj``, which takes minutes under the
highest power. Source: Linux Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.errors import Unavailable
from vmvc.host.counters import SLEPT, slept
from vmvc.host.files import number, text
from vmvc.units import show_seconds

_FOLDER: Final = "sys/class/powercap"
_DOMAIN: Final = re.compile(r"intel-rapl:[0-9]+(?::[0-9]+)?")
"""A package or a part of one, of AMD, too; ``intel-rapl-mmio`` tells of the same packages again."""
_NAMES: Final = {"package": re.compile(r"package-[0-9]+"), "dram": re.compile("dram")}


@dataclass(frozen=True, slots=True)
class Counter:
    """Microjoules so far, and those after which it begins anew."""

    used: int
    most: int


@dataclass(frozen=True, slots=True)
class Counters:
    """``domains``: ``package`` or ``dram`` -> domain -> its counter. ``slept``: as in ``Noise``."""

    domains: Mapping[str, Mapping[str, Counter]]
    slept: float | None = None


def counters(root: Path = Path("/")) -> Counters:
    """Return what can be read now.

    Raises: Unavailable where this host shows no package.
    """
    folder = root / _FOLDER
    domains = [one for one in sorted(folder.glob("intel-rapl:*")) if _DOMAIN.fullmatch(one.name)]
    found: dict[str, dict[str, Counter]] = {name: {} for name in _NAMES}
    for domain in domains:
        used, most = number(domain / "energy_uj"), number(domain / "max_energy_range_uj")
        for name, pattern in _NAMES.items():
            if pattern.fullmatch(text(domain / "name") or "") and used is not None and most:
                found[name][domain.name] = Counter(used, most)
    if not found["package"]:
        raise Unavailable(_missing(folder, domains))
    return Counters(found, slept())


def joules(before: Counters, after: Counters, name: str) -> float | Unavailable:
    """Return what all domains of a name used between two looks, less than one round of a counter apart.

    Over a sleep of the host there is no telling: a counter counts on in it or begins anew, as firmware likes.
    """
    ones, others = before.domains.get(name, {}), after.domains.get(name, {})
    if not ones or ones.keys() != others.keys():
        return Unavailable(f"this host shows no energy counter named {name}")
    asleep = (after.slept or 0.0) - (before.slept or 0.0)
    if asleep > SLEPT:
        return Unavailable(
            f"the host was suspended for {show_seconds(asleep)} meanwhile, over which its energy counters "
            "tell nothing"
        )
    pairs = ((one, others[domain]) for domain, one in ones.items())
    used = (two.used - one.used + (two.most if two.used < one.used else 0) for one, two in pairs)
    return sum(used) / 1e6


def _missing(folder: Path, domains: list[Path]) -> str:
    if any((domain / "energy_uj").exists() for domain in domains):
        return f"the energy counters in /{_FOLDER} may be read by root only"
    if folder.exists():
        return f"this host has no energy counters (RAPL) in /{_FOLDER}"
    return f"this host shows no energy counters (RAPL): there is no /{_FOLDER}, as in most virtual machines"
