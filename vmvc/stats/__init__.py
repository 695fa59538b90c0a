"""Samples -> what can be said about them: pure functions on NumPy and SciPy, which have most of it.

Both are imported when first needed, so that importing this package costs nothing. Samples must be finite. No
function returns nan or infinity: what cannot be said is ``None`` with a reason.
"""

from vmvc.stats.compare import GroupTest, Test, compare, holm, kruskal
from vmvc.stats.contrast import Contrast, contrast
from vmvc.stats.description import FLAGS, Description, describe
from vmvc.stats.effect import IN_BLOCKS, difference, effects, ratio
from vmvc.stats.interval import Estimate, Interval, widen
from vmvc.stats.modes import bimodal, dip
from vmvc.stats.nested import Components, components, nested_mean, repetitions
from vmvc.stats.order import least_n, median_interval, quantile
from vmvc.stats.power import Trials, relative_half_width, trials_for
from vmvc.stats.rate import success_rate, wilson
from vmvc.stats.sample import LARGEST, OUTLIER, FiveNumbers, Sample, five_numbers, mean_and_sd, outliers
from vmvc.stats.series import Better, autocorrelation, drift, slow_first
from vmvc.stats.slope import slope

__all__ = [
    "FLAGS",
    "IN_BLOCKS",
    "LARGEST",
    "OUTLIER",
    "Better",
    "Components",
    "Contrast",
    "Description",
    "Estimate",
    "FiveNumbers",
    "GroupTest",
    "Interval",
    "Sample",
    "Test",
    "Trials",
    "autocorrelation",
    "bimodal",
    "compare",
    "components",
    "contrast",
    "describe",
    "difference",
    "dip",
    "drift",
    "effects",
    "five_numbers",
    "holm",
    "kruskal",
    "least_n",
    "mean_and_sd",
    "median_interval",
    "nested_mean",
    "outliers",
    "quantile",
    "ratio",
    "relative_half_width",
    "repetitions",
    "slope",
    "slow_first",
    "success_rate",
    "trials_for",
    "widen",
    "wilson",
]
