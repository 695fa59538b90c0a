"""Rows of the summary: planted faults raise their flag and a finding; no number comes from nothing."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from tests.stats.data import DOCKER, NATIVE, UNTUNED
from vmvc import stats
from vmvc.plan import Condition
from vmvc.records_journal import QuantityRecord
from vmvc.records_summary import SummaryRow
from vmvc.rows import Cell, flagged, row_of

READY = QuantityRecord(metric="startup", quantity="ready", unit="s", better="lower", says="Ready.")
KVM = Condition(0, "kvm", {})
NOISE = np.random.RandomState(20261125).standard_normal(400)


def row(values: Iterable[float], resolution: float | None = None, planned: int = 30) -> SummaryRow:
    made = array("d", values)
    return row_of(KVM, READY, Cell(made, array("q", range(len(made))), resolution, len(made)), planned)


STEADY = 5 + 0.1 * NOISE[:30]
PLANTED: dict[str, Iterable[float]] = {
    "outliers": [*STEADY[:15], 9.0, *STEADY[15:]],
    "slow-first": [9.0, *STEADY],
    "drift": STEADY + 0.02 * np.arange(30),
    "autocorrelated": 5 + np.cumsum(NOISE[:40]),
    "bimodal": STEADY + 1.5 * (NOISE[50:80] > 0),
}


def test_steady_values_raise_no_flag() -> None:
    assert row(STEADY).flags == ()
    assert row(NATIVE).flags == row(DOCKER).flags == ()


@pytest.mark.parametrize("flag", PLANTED)
def test_a_planted_fault_raises_its_flag_and_a_finding(flag: str) -> None:
    found = row(PLANTED[flag])
    assert flag in found.flags
    (finding,) = [one for one in flagged([found]) if one.code == f"flag.{flag}"]
    assert finding.what == f"kvm: startup.ready: {stats.FLAGS[flag]}"
    assert finding.remedy


def test_order_dependence_is_told_from_eight_values_on() -> None:
    rising = row(range(1, 11))
    assert (rising.tau, rising.tau_p) == pytest.approx((1, 2 / 3628800))
    assert rising.lag1 == pytest.approx(0.7)
    for short in (row(range(1, 8)), row([2.0] * 10)):
        assert (short.tau, short.tau_p, short.lag1) == (None, None, None)


def test_values_at_the_resolution_are_flagged() -> None:
    assert row([0.11, 0.12, 0.12, 0.11, 0.11] * 4, 0.01).flags == ("at-resolution",)
    assert row([0.11] * 10, 0.01).flags == ("at-resolution",)
    assert row([0.11] * 10).flags == ()
    assert row([0.11], 0.01).flags == ()


def test_an_outlier_stays_in() -> None:
    found = row(UNTUNED)
    assert (found.flags, found.outliers, found.min, found.n) == (("outliers",), 1, 108.7559, 10)


def test_a_finding_names_its_quantities_once() -> None:
    rows = [row(PLANTED["drift"]).model_copy(update={"quantity": name}) for name in "abcde"]
    (few,) = [one.what for one in flagged(rows[:2]) if one.code == "flag.drift"]
    (many,) = [one.what for one in flagged(rows) if one.code == "flag.drift"]
    assert few.startswith("kvm: startup.a, startup.b: values rise or fall")
    assert many.startswith("kvm: 5 quantities: values rise or fall")


def test_mean_and_deviation() -> None:
    found = row([1, 2, 3, 4])
    assert found.mean == 2.5
    assert found.sd == pytest.approx(1.2909944487358056)


@pytest.mark.parametrize(
    ("n", "tails"), [(35, []), (36, ["p90"]), (72, ["p90", "p95"]), (368, ["p90", "p95", "p99"])]
)
def test_tail_quantiles_are_there_where_n_gives_them_an_interval(n: int, tails: list[str]) -> None:
    found = row(5 + NOISE[:n] / 10, 0.01)
    for name in ("p90", "p95", "p99"):
        value, low, high = (getattr(found, f"{name}{end}") for end in ("", "_low", "_high"))
        if name in tails:
            assert low < value < high
        else:
            assert (value, low, high) == (None, None, None)


def test_too_few_values_say_how_many_an_interval_needs() -> None:
    assert (row(NATIVE[:5]).low, row(NATIVE[:5]).needs) == (None, 6)
    assert row(NATIVE[:6]).needs is None


def test_one_value_has_neither_deviation_nor_interval() -> None:
    found = row([3.0])
    assert (found.median, found.mean, found.sd, found.low, found.needs, found.flags) == (
        3,
        3,
        None,
        None,
        6,
        (),
    )


def test_failures_have_a_rate_with_its_interval() -> None:
    failed = Cell(
        array("d", NATIVE[:8]), array("q", range(8)), None, 10, failures=Counter({"ready: late": 2})
    )
    found = row_of(KVM, READY, failed, 12)
    assert (found.n, found.failed, found.planned) == (8, 2, 12)
    assert (found.failed_low, found.failed_high) == pytest.approx((0.0567, 0.5098), abs=1e-4)
    assert row(NATIVE).failed_low == 0


def test_where_all_failed_or_nothing_ran_there_is_no_number() -> None:
    failed = row_of(KVM, READY, Cell(ended=5, failures=Counter({"create: no": 5})), 5)
    assert (failed.n, failed.median, failed.mean, failed.needs, failed.failed_high) == (
        0,
        None,
        None,
        None,
        1,
    )
    assert failed.reason == "5 of 5: create: no"
    nothing = row_of(KVM, READY, Cell(), 5)
    assert (nothing.failed_low, nothing.median, nothing.reason) == (None, None, "5 of 5: not measured yet")
