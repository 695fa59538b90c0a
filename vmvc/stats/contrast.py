"""Two samples -> ratio, difference and test, from a single sorting of each."""

from __future__ import annotations

from dataclasses import dataclass

from vmvc.stats.compare import Test, compare_of
from vmvc.stats.effect import Blocks, effects_of
from vmvc.stats.interval import Estimate
from vmvc.stats.sample import Sample


@dataclass(frozen=True, slots=True)
class Contrast:
    """How a sample differs from another: in the ratio and difference of the medians, and as a whole."""

    ratio: Estimate
    difference: Estimate
    test: Test


def contrast(
    a: Sample,
    b: Sample,
    *,
    seed: int = 0,
    blocks: Blocks | None = None,
    resolutions: tuple[float, float] = (0.0, 0.0),
) -> Contrast:
    """Return what ``effects`` and ``compare`` say of two samples; ``Sample.of`` makes one."""
    return Contrast(*effects_of((a, b), 0.5, 0.95, seed, blocks, resolutions), compare_of((a, b)))
