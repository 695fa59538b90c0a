"""Comparisons with the baseline and trends across levels: partners, families, pairs, reasons."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest

from tests.stats.data import DOCKER, NATIVE, TUNED, UNTUNED
from vmvc.comparisons import beaten_hosts, comparisons, trends
from vmvc.plan import Condition
from vmvc.records_journal import QuantityRecord
from vmvc.records_summary import Comparison, Trend
from vmvc.rows import Cell
from vmvc.spec import Level

READY = QuantityRecord(metric="startup", quantity="ready", unit="s", better="lower", says="Ready.")
RSS = QuantityRecord(metric="memory", quantity="rss", unit="B", better="lower", says="Memory.")


def conditions(*settings: tuple[str, Mapping[str, Level]]) -> list[Condition]:
    return [Condition(number, backend, factors) for number, (backend, factors) in enumerate(settings)]


def cell(
    values: Iterable[float], blocks: Iterable[int] | None = None, resolution: float | None = None
) -> Cell:
    made = array("d", values)
    return Cell(made, array("q", range(len(made)) if blocks is None else blocks), resolution, len(made))


def compared(
    every: Sequence[Condition], cells: Mapping[str, Cell], baseline: str = "process", seed: int = 1
) -> list[Comparison]:
    def find(condition: Condition, quantity: QuantityRecord) -> Cell:
        return cells.get(condition.id, Cell())

    return list(comparisons(every, [READY], find, baseline, seed))


def followed(every: Sequence[Condition], cells: Mapping[str, Cell]) -> list[Trend]:
    return list(trends(every, [READY], lambda condition, quantity: cells.get(condition.id, Cell())))


LINPACK = conditions(("process", {}), ("docker", {}), ("untuned", {}), ("tuned", {}))
VALUES = {"process": cell(NATIVE), "docker": cell(DOCKER), "untuned": cell(UNTUNED), "tuned": cell(TUNED)}


def test_linpack_against_the_bare_host() -> None:
    docker, untuned, tuned = compared(LINPACK, VALUES)
    assert (docker.condition, docker.baseline, docker.n, docker.baseline_n) == ("docker", "process", 10, 10)
    assert tuned.ratio == pytest.approx(0.97716, abs=5e-6)
    assert tuned.difference == pytest.approx(np.median(TUNED) - np.median(NATIVE))
    assert (docker.test, docker.a12) == ("exact Mann-Whitney", 0.48)
    assert (untuned.statistic, untuned.delta) == (0, -1)
    assert [one.family for one in (docker, untuned, tuned)] == [3, 3, 3]
    assert [one.p_adjusted for one in (docker, untuned, tuned)] == pytest.approx(
        [0.91180, 3.24753e-5, 3.24753e-5], abs=3e-6
    )


def test_what_a_guests_own_clock_told_is_compared_with_no_other_backend() -> None:
    own = READY.model_copy(update={"own_clock": True})
    every = conditions(("kvm", {"guest.memory": "1GiB"}), ("kvm", {"guest.cpus": 2}), ("vbox", {}))
    cells = {one.id: cell(NATIVE) for one in every}
    found = list(comparisons(every, [own], lambda one, _: cells[one.id], "kvm", 1))
    assert [(one.condition, one.reason) for one in found if one.ratio is None] == [
        ("vbox", "the clocks of two guests do not compare")
    ]
    assert [one.condition for one in found if one.ratio is not None] == ["kvm guest.cpus=2"]


def test_partners_agree_on_the_guests_factors_and_not_on_a_backends_own() -> None:
    machine = "backends.kvm.options.machine"
    every = conditions(
        *(("process", {"guest.memory": size}) for size in ("1GiB", "2GiB")),
        *(
            ("kvm", {"guest.memory": size, machine: kind})
            for size in ("1GiB", "2GiB")
            for kind in ("q35", "pc")
        ),
    )
    found = [(one.condition, one.baseline) for one in compared(every, {})]
    assert found == [
        (f"kvm guest.memory={size} {machine}={kind}", f"process guest.memory={size}")
        for size in ("1GiB", "2GiB")
        for kind in ("q35", "pc")
    ]


def test_a_baselines_own_levels_are_compared_with_its_first() -> None:
    every = conditions(
        *(("process", {"backends.process.options.tidy": on}) for on in (True, False)), ("kvm", {})
    )
    first = "process backends.process.options.tidy=true"
    found = [(one.condition, one.baseline) for one in compared(every, {})]
    assert found == [("process backends.process.options.tidy=false", first), ("kvm", first)]


def test_nothing_is_compared_without_a_partner() -> None:
    every = conditions(("process", {"guest.cpus": 1}), ("kvm", {"guest.cpus": 2}))
    assert compared(every, {}) == []
    assert compared(LINPACK[:1], VALUES) == []
    assert compared(LINPACK, VALUES, baseline="gone") == []


def test_each_quantity_is_a_family_of_its_own() -> None:
    found = list(comparisons(LINPACK, [READY, RSS], lambda one, quantity: VALUES[one.id], "process", 1))
    assert [one.family for one in found] == [3] * 6
    assert found[0].p_adjusted == found[3].p_adjusted


def test_few_values_say_how_many_would_do_and_are_not_of_the_family() -> None:
    few = VALUES | {"docker": cell(DOCKER[:3]), "untuned": cell(UNTUNED[:5]), "tuned": Cell()}
    docker, untuned, tuned = compared(LINPACK, few)
    assert (docker.ratio_low, docker.p, docker.p_adjusted, docker.family, docker.needs) == (None,) * 4 + (6,)
    assert docker.reason == "n = 3, an interval needs 6; n = 3, a test needs 4"
    assert docker.ratio is not None
    assert (untuned.ratio_low, untuned.family, untuned.needs) == (None, 1, 6)
    assert untuned.p_adjusted == untuned.p
    assert (tuned.ratio, tuned.difference, tuned.a12, tuned.n) == (None, None, None, 0)
    assert tuned.reason == "no values of tuned"


def test_a_baseline_of_0_has_a_difference_and_no_ratio() -> None:
    (found,) = compared(LINPACK[:2], {"process": cell([0.0] * 8), "docker": cell([4.0] * 8)})
    assert (found.ratio, found.ratio_reason) == (None, "there is no ratio to 0")
    assert (found.difference, found.difference_low, found.difference_high) == (4, 4, 4)
    assert (found.a12, found.reason) == (1, "")


def test_common_blocks_are_paired_and_others_not() -> None:
    (paired,) = compared(LINPACK[:2], VALUES)
    (apart,) = compared(LINPACK[:2], VALUES | {"docker": cell(DOCKER, range(100, 110))})
    assert (paired.paired, apart.paired) == (True, False)


def test_the_resolutions_make_room() -> None:
    late = {"process": cell([2.0] * 8, resolution=0.5), "docker": cell([6.0] * 8, resolution=1.0)}
    (found,) = compared(LINPACK[:2], late)
    assert (found.ratio_low, found.ratio, found.ratio_high) == (2.5, 3, 4)
    assert (found.difference_low, found.difference_high) == (3, 4.5)


def test_the_runs_seed_decides_and_nothing_else() -> None:
    assert compared(LINPACK, VALUES) == compared(LINPACK, VALUES)
    assert compared(LINPACK, VALUES)[2] == compared([LINPACK[0], LINPACK[3]], VALUES)[0].model_copy(
        update={"p_adjusted": 3 * 1.082508822446903e-5, "family": 3}
    )
    assert compared(LINPACK, VALUES) != compared(LINPACK, VALUES, seed=2)


# --- trends -----------------------------------------------------------------------------------------------


def sizes(*levels: Level, backend: str = "kvm") -> list[Condition]:
    return conditions(*((backend, {"guest.memory": level}) for level in levels))


def test_a_trend_over_sizes_has_a_slope_in_its_units() -> None:
    every = sizes("1GiB", "2GiB", "4GiB")
    values = {
        one.id: cell(2 + 3 * level + place / 100 for place in range(-3, 4))
        for one, level in zip(every, (1, 2, 4), strict=True)
    }
    (found,) = followed(every, values)
    assert (found.factor, found.backend, found.levels, found.n) == (
        "guest.memory",
        "kvm",
        ("1GiB", "2GiB", "4GiB"),
        (7, 7, 7),
    )
    assert (found.unit, found.level_unit) == ("s", "B")
    assert found.slope is not None
    assert found.slope * 2**30 == pytest.approx(3)
    assert found.intercept == pytest.approx(2)
    assert found.slope_low is not None
    assert found.slope_high is not None
    assert found.slope_low < found.slope < found.slope_high
    assert found.test == "Kruskal-Wallis"
    assert found.p_adjusted == found.p
    assert found.p is not None
    assert found.p < 0.001


def test_other_factors_are_held() -> None:
    every = conditions(
        *(("kvm", {"guest.cpus": cpus, "guest.memory": size}) for cpus in (1, 2) for size in ("1GiB", "2GiB"))
    )
    found = [(one.factor, dict(one.factors)) for one in followed(every, {})]
    assert found == [
        ("guest.cpus", {"guest.memory": "1GiB"}),
        ("guest.memory", {"guest.cpus": 1}),
        ("guest.cpus", {"guest.memory": "2GiB"}),
        ("guest.memory", {"guest.cpus": 2}),
    ]


@pytest.mark.parametrize("levels", [("q35", "pc"), (True, False), (1, "2GiB")])
def test_levels_that_are_no_numbers_of_one_unit_have_no_slope(levels: tuple[Level, ...]) -> None:
    every = sizes(*levels)
    (found,) = followed(every, {one.id: cell(range(5)) for one in every})
    assert (found.slope, found.level_unit, found.p) == (None, "", 1)


def test_trends_without_values_say_so() -> None:
    every = sizes(1, 2)
    (empty,) = followed(every, {})
    assert (empty.levels, empty.p, empty.reason) == ((), None, "values at fewer than two levels")
    (few,) = followed(every, {one.id: cell([1.0]) for one in every})
    assert few.reason == "n = 1, a test needs 4; n = 2, an interval needs 5"
    assert (few.test, few.p, few.slope, few.slope_low) == ("", None, 0, None)


RATE = QuantityRecord(
    metric="cpu", quantity="events", unit="1/s", better="higher", says="Events.", host_best=True
)
DELAY = RATE.model_copy(update={"quantity": "delay", "unit": "s", "better": "lower"})


def beaten(quantity: QuantityRecord, values: float, host: float) -> list[str]:
    every = conditions(("process", {}), ("docker", {}))
    cells = {"process": cell([host] * 6), "docker": cell([values] * 6)}
    found = comparisons(every, [quantity], lambda one, _: cells[one.id], "process", 1)
    return [one.what for one in beaten_hosts(found, [quantity])]


def test_a_guest_that_is_more_than_three_percent_better_than_its_host_is_a_finding() -> None:
    assert beaten(RATE, 104, 100) == [
        "docker: cpu.events is 4% better than on the bare host (process), n = 6 and 6"
    ]
    assert beaten(DELAY, 100, 104) != []
    assert beaten(RATE, 103, 100) == beaten(RATE, 90, 100) == beaten(DELAY, 104, 100) == []


def test_only_what_the_host_does_best_can_be_beaten() -> None:
    other = RATE.model_copy(update={"host_best": None})
    assert beaten(other, 200, 100) == []
