"""Verdicts: every form in all three, decided on the interval, with the numbers in a sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.claimed import Values, around, claim, judge, write
from vmvc import results
from vmvc.bounds import Range
from vmvc.claims_figures import Figure, trials_needed
from vmvc.claims_sentence import significant
from vmvc.errors import ResultsError
from vmvc.records_claims import VerdictRecord

READY: Final = "startup.ready"
SHARES: Final = "isolation.shares_kernel"
DATA: Final[Values] = {
    ("process", READY): around(0.3, 0.05),
    ("docker", READY): around(0.8, 0.1),
    ("kvm", READY): around(8.0, 1.0),
    ("docker", "memory.pss"): around(20e6, 1e6),
    ("kvm", "memory.pss"): around(300e6, 10e6),
    ("docker", SHARES): [1.0] * 10,
    ("kvm", SHARES): [0.0] * 10,
    ("mixed", SHARES): [1.0] * 9 + [0.0],
    ("mixed", READY): [*around(1.0, 0.1, 18), None, None],
}
Judge = Callable[..., VerdictRecord]


@pytest.fixture
def verdict(tmp_path: Path) -> Judge:
    def of(one: dict[str, Any], values: Values = DATA, **rest: Any) -> VerdictRecord:
        (found,) = judge(tmp_path, [one], values, **rest)
        (tmp_path / "journal.jsonl").unlink()
        return found

    return of


def quantile(share: str, **bound: Any) -> dict[str, Any]:
    return {"at": share, **bound}


def pair(of: str, to: str, **bound: Any) -> dict[str, Any]:
    return {"of": of, "to": to, **bound}


FORMS: Final = [
    ("median", {"below": "2s"}, {}, "supported"),
    ("median", {"below": 0.7}, {}, "refuted"),
    ("median", {"below": "800ms"}, {}, "inconclusive"),
    ("median", {"above": "500ms"}, {}, "supported"),
    ("median", {"above": "2s"}, {}, "refuted"),
    ("median", {"above": "0.8s"}, {}, "inconclusive"),
    ("median", {"between": ["0.5s", "1s"]}, {}, "supported"),
    ("median", {"between": ["30s", "60s"]}, {"backend": "kvm"}, "refuted"),
    ("median", {"between": ["0.8s", "1s"]}, {}, "inconclusive"),
    ("median", {"equals": "0.8s", "within": "20%"}, {}, "supported"),
    ("median", {"equals": "0.8s", "within": "200ms"}, {}, "supported"),
    ("median", {"equals": "2s", "within": "20%"}, {}, "refuted"),
    ("median", {"equals": "0.8s", "within": "1%"}, {}, "inconclusive"),
    ("median", {"below": "25MB"}, {"metric": "memory.pss"}, "supported"),
    ("quantile", quantile("60%", below="1s"), {}, "supported"),
    ("quantile", quantile("60%", above="1s"), {}, "refuted"),
    ("quantile", quantile("60%", above="0.85s"), {}, "inconclusive"),
    ("ratio", pair("kvm", "docker", above=5), {}, "supported"),
    ("ratio", pair("kvm", "docker", above=20), {}, "refuted"),
    ("ratio", pair("kvm", "docker", above=10), {}, "inconclusive"),
    ("ratio", pair("docker", "kvm", below="50%"), {}, "supported"),
    ("ratio", pair("kvm", "docker", quantile="60%", above=5), {}, "supported"),
    ("difference", pair("docker", "process", below="1s"), {}, "supported"),
    ("difference", pair("process", "docker", below=-0.1), {}, "supported"),
    ("difference", pair("docker", "process", below="0.1s"), {}, "refuted"),
    ("difference", pair("docker", "process", below="500ms"), {}, "inconclusive"),
    ("difference", pair("kvm", "docker", above="100MB"), {"metric": "memory.pss"}, "supported"),
    ("order", {"of": ["process", "docker", "kvm"]}, {}, "supported"),
    ("order", {"of": ["process", "kvm", "docker"]}, {}, "refuted"),
    ("success", {"above": "50%"}, {}, "supported"),
    ("success", {"above": "99.9%"}, {"backend": "mixed"}, "refuted"),
    ("success", {"above": 0.95}, {}, "inconclusive"),
    ("fact", {"is": True}, {"metric": SHARES}, "supported"),
    ("fact", {"is": 1}, {"metric": SHARES}, "supported"),
    ("fact", {"is": False}, {"metric": SHARES, "backend": "kvm"}, "supported"),
    ("fact", {"is": True}, {"metric": SHARES, "backend": "kvm"}, "refuted"),
    ("fact", {"is": True}, {"metric": SHARES, "backend": "mixed"}, "refuted"),
    ("fact", {"is": True}, {"metric": SHARES, "backend": "process"}, "inconclusive"),
]


@pytest.mark.parametrize(("form", "about", "rest", "wanted"), FORMS)
def test_every_form_in_every_verdict(verdict: Judge, form: str, about: Any, rest: Any, wanted: str) -> None:
    found = verdict(claim(form, about, **rest))
    assert found.verdict == wanted
    assert found.sentence.startswith(wanted.capitalize())
    assert found.sentence.endswith(".")
    assert (found.reason == "") == (wanted != "inconclusive")
    assert "nan" not in found.sentence
    assert "inf" not in found.sentence


def test_an_order_that_is_close_is_left_open(verdict: Judge) -> None:
    values = {
        ("a", READY): around(1.0, 0.1),
        ("b", READY): around(1.01, 0.1)[::-1],
        ("c", READY): around(5.0, 0.1),
    }
    found = verdict(claim("order", {"of": ["a", "b", "c"]}), values)
    assert (found.verdict, found.conditions) == ("inconclusive", ("a", "b"))
    assert found.decided == {"inconclusive": 1, "supported": 1}
    assert found.confidence == pytest.approx(0.975)


SWEPT: Final = {"guest.memory": ["256MiB", "512MiB", "1GiB"]}
LINE: Final[Values] = {
    (f"kvm guest.memory={level}", READY): around(seconds, 0.01)
    for level, seconds in (("256MiB", 1.25), ("512MiB", 1.5), ("1GiB", 2.0))
}


@pytest.mark.parametrize(
    ("bound", "wanted"),
    [
        ({"per": "1GiB", "below": "1.1s"}, "supported"),
        ({"per": "1GiB", "below": "0.9s"}, "refuted"),
        ({"per": "1GiB", "below": "1s"}, "inconclusive"),
        ({"per": "512MiB", "between": ["0.45s", "0.55s"]}, "supported"),
        ({"below": 1.1 / 2**30}, "supported"),
    ],
)
def test_slopes(verdict: Judge, bound: Any, wanted: str) -> None:
    about = claim("slope", {"over": "guest.memory", **bound}, backend="kvm")
    found = verdict(about, LINE, axes={"kvm": SWEPT})
    assert found.verdict == wanted
    assert found.n == 30
    assert len(found.conditions) == 3


def test_one_slope_for_each_level_of_what_else_is_swept(verdict: Judge) -> None:
    axes = {"kvm": {"guest.cpus": [1, 2], "guest.boot": ["command", "systemd"]}}
    values = {
        (f"kvm guest.cpus={cpus} guest.boot={boot}", READY): around(cpus * factor, 0.01)
        for cpus in (1, 2)
        for boot, factor in (("command", 1.0), ("systemd", 3.0))
    }
    about = claim("slope", {"over": "guest.cpus", "below": "2s"}, backend="kvm")
    found = verdict(about, values, axes=axes)
    assert (found.verdict, found.decided) == ("refuted", {"refuted": 1, "supported": 1})
    assert found.conditions == (
        "kvm guest.cpus=1 guest.boot=systemd",
        "kvm guest.cpus=2 guest.boot=systemd",
    )
    assert "on kvm guest.boot=systemd with every 1 of guest.cpus (from 1 to 2) is 3 s" in found.sentence


def test_more_trials_of_a_slope_are_counted_for_each_level(verdict: Judge) -> None:
    about = claim("slope", {"over": "guest.memory", "per": "1GiB", "below": "1.005s"}, backend="kvm")
    found = verdict(about, LINE, axes={"kvm": SWEPT})
    assert found.verdict == "inconclusive"
    assert found.interval is not None
    assert found.value is not None
    arm, room = found.interval[1] - found.value, 1.005 - found.value
    assert found.needs_trials == pytest.approx(10 * (arm / room) ** 2, rel=0.1)
    assert f"({found.needs_trials} in all)" in found.sentence
    few = {condition: values[:1] for condition, values in LINE.items()}
    found = verdict(about, few, axes={"kvm": SWEPT})
    assert (found.n, found.interval, found.needs_trials) == (3, None, 2)


def test_the_sentence_of_a_supported_claim(verdict: Judge) -> None:
    found = verdict(claim("median", {"below": "2s"}))
    assert found.sentence == (
        "Supported: the median of startup.ready on docker is 0.8 s (95% interval 0.73 to 0.87 s, n = 10), "
        "which is below 2 s."
    )
    assert (found.metric, found.quantity, found.form, found.unit) == ("startup", "ready", "median", "s")
    assert (found.n, found.confidence, found.method) == (10, 0.95, "order statistics")
    assert found.interval == pytest.approx((0.73, 0.87))
    assert found.needs_trials is None


def test_absolute_values_stand_beside_a_ratio(verdict: Judge) -> None:
    found = verdict(claim("ratio", pair("kvm", "docker", above=5)))
    assert found.values == pytest.approx({"kvm": 8.0, "docker": 0.8})
    assert "on kvm (8 s) divided by that on docker (800 ms) is 10 (95% interval" in found.sentence
    assert found.conditions == ("kvm", "docker")


# --- the interval decides ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "wanted"),
    [
        ({"below": 1.0}, "refuted"),
        ({"above": 1.0}, "refuted"),
        ({"between": [1, 2]}, "supported"),
        ({"between": [0, 1]}, "supported"),
        ({"equals": 1, "within": 0}, "supported"),
        ({"below": 1.0000001}, "supported"),
    ],
)
def test_values_that_are_all_the_limit(verdict: Judge, bound: Any, wanted: str) -> None:
    """``below`` and ``above`` leave their limit out, ``between`` and ``equals`` take theirs in."""
    found = verdict(claim("median", bound), {("docker", READY): [1.0] * 10})
    assert found.interval == (1.0, 1.0)
    assert found.verdict == wanted


def test_the_resolution_widens_the_interval_that_decides(verdict: Judge) -> None:
    values = {("docker", READY): [1.0] * 10, ("kvm", READY): [2.0] * 10}
    assert verdict(claim("median", {"above": 0.9}), values).verdict == "supported"
    found = verdict(claim("median", {"above": 0.9}), values, resolution=0.25)
    assert (found.verdict, found.interval) == ("inconclusive", (0.75, 1.0))
    assert (
        found.reason
        == "the limit is within the resolution of the instrument, and no number of trials decides"
    )
    assert found.needs_trials is None
    assert verdict(claim("ratio", pair("kvm", "docker", above=1.9)), values).verdict == "supported"
    found = verdict(claim("ratio", pair("kvm", "docker", above=1.9)), values, resolution=0.25)
    assert found.interval == pytest.approx((1.75, 2.0 / 0.75))
    assert found.verdict == "inconclusive"
    found = verdict(claim("difference", pair("kvm", "docker", above=0.9)), values, resolution=0.25)
    assert found.interval == pytest.approx((0.75, 1.25))
    assert found.verdict == "inconclusive"
    about = claim("slope", {"over": "guest.memory", "per": "256MiB", "above": "0.2s"}, backend="kvm")
    assert verdict(about, LINE, axes={"kvm": SWEPT}).verdict == "supported"
    assert verdict(about, LINE, axes={"kvm": SWEPT}, resolution=0.1).verdict == "inconclusive"


def test_ties_and_zeros(verdict: Judge) -> None:
    found = verdict(
        claim("ratio", pair("a", "b", below=2)), {("a", READY): [1.0] * 10, ("b", READY): [0.0] * 10}
    )
    assert (found.verdict, found.value) == ("inconclusive", None)
    assert "there is no ratio to 0" in found.sentence
    same = {("a", READY): [1.0] * 10, ("b", READY): [1.0] * 10}
    assert verdict(claim("difference", pair("a", "b", equals=0, within=0)), same).verdict == "supported"
    assert verdict(claim("order", {"of": ["a", "b"]}), same).verdict == "refuted"


@pytest.mark.parametrize(
    ("about", "values", "needs"),
    [
        (claim("median", {"below": 2}), 5, 6),
        (claim("median", {"below": 2}), 1, 6),
        (claim("median", {"below": 2}, confidence="99%"), 7, 8),
        (claim("quantile", quantile("99%", below=2)), 30, 368),
        (claim("ratio", pair("kvm", "docker", above=1)), 5, 6),
        (claim("difference", pair("kvm", "docker", above=0)), 3, 6),
    ],
)
def test_too_few_values_say_how_many_would_do(
    verdict: Judge, about: dict[str, Any], values: int, needs: int
) -> None:
    found = verdict(about, {("docker", READY): around(1, 0.1, values), ("kvm", READY): around(9, 1, values)})
    assert (found.verdict, found.n, found.interval, found.needs_trials) == (
        "inconclusive",
        values,
        None,
        needs,
    )
    assert f"{needs} trials of each condition would do" in found.sentence
    assert found.value is not None


def test_one_value_is_no_plural(verdict: Judge) -> None:
    found = verdict(claim("median", {"below": 2}), {("docker", READY): [1.0]})
    assert "1 value allows no 95% interval" in found.sentence


def test_more_trials_are_asked_for_by_the_root_of_n(verdict: Judge) -> None:
    found = verdict(claim("median", {"below": "0.835s"}))
    assert found.verdict == "inconclusive"
    assert found.needs_trials == 40  # the arm of 0.07 s must halve
    assert found.sentence.endswith("about 30 more trials of each condition (40 in all) would decide.")
    found = verdict(claim("median", {"below": 0.8}))
    assert found.needs_trials is None
    assert "sits on the limit" in found.sentence
    found = verdict(claim("median", {"below": 0.8001}))
    assert found.needs_trials is None
    assert "more than 10000 trials would be needed" in found.sentence


@pytest.mark.parametrize(
    ("wanted", "needs"),
    [
        (Range(-math.inf, 2.0, open=True), 40),
        (Range(0.0, math.inf, open=True), 40),
        (Range(0.0, 2.0), 40),
        (Range(0.5, 9.0), 160),
        (Range(3.0, 4.0), 11),
        (Range(-9.0, 0.0), 40),
        (Range(1.0, 2.0), math.inf),
    ],
)
def test_trials_needed(wanted: Range, needs: float) -> None:
    """An interval of 1 from -1 to 3 at n = 10 has arms of 2."""
    figure = Figure(1.0, (-1.0, 3.0), 10)
    assert trials_needed(figure, wanted, 0.95) == needs


def test_trials_needed_of_a_rate_that_is_perfect(verdict: Judge) -> None:
    found = verdict(claim("success", {"above": "95%"}))
    assert (found.value, found.needs_trials) == (1.0, 73)  # z^2 * 0.95 / 0.05


def test_numbers_never_look_like_a_limit_that_they_are_not(verdict: Judge) -> None:
    found = verdict(claim("median", {"below": "2s"}), {("docker", READY): [1.99999] * 10})
    assert "is 1.99999 s (95% interval 1.99999 to 1.99999 s" in found.sentence


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (1234.6, "1235"),
        (0.000123456, "0.000123"),
        (-0.5, "-0.5"),
        (1e-12, "0.000000000001"),
        (100, "100"),
    ],
)
def test_significant_digits(number: float, text: str) -> None:
    assert significant(number, 3) == text


# --- conditions -------------------------------------------------------------------------------------------

TWO: Final = {"docker": {"guest.memory": ["1GiB", "2GiB"]}, "kvm": {"guest.memory": ["1GiB", "2GiB"]}}
BY_LEVEL: Final[Values] = {
    ("docker guest.memory=1GiB", READY): around(1.0, 0.1),
    ("docker guest.memory=2GiB", READY): around(1.5, 0.1),
    ("kvm guest.memory=1GiB", READY): around(2.0, 0.1),
    ("kvm guest.memory=2GiB", READY): around(6.0, 0.1),
}


@pytest.mark.parametrize(
    ("limit", "wanted", "decided", "condition"),
    [
        (2.0, "supported", {"supported": 2}, "docker guest.memory=2GiB"),
        (1.2, "refuted", {"refuted": 1, "supported": 1}, "docker guest.memory=2GiB"),
        (1.5, "inconclusive", {"inconclusive": 1, "supported": 1}, "docker guest.memory=2GiB"),
        (0.5, "refuted", {"refuted": 2}, "docker guest.memory=1GiB"),
        (1.0, "refuted", {"inconclusive": 1, "refuted": 1}, "docker guest.memory=2GiB"),
    ],
)
def test_a_claim_holds_in_all_conditions_or_falls_with_one(
    verdict: Judge, limit: float, wanted: str, decided: dict[str, int], condition: str
) -> None:
    found = verdict(claim("median", {"below": limit}), BY_LEVEL, axes=TWO)
    assert (found.verdict, found.decided, found.conditions) == (wanted, decided, (condition,))
    assert condition in found.sentence
    assert "2 conditions" in found.sentence


def test_at_pins_the_condition(verdict: Judge) -> None:
    first = claim("median", {"below": 1.2}, at={"guest.memory": "1GiB"})
    assert verdict(first, BY_LEVEL, axes=TWO).verdict == "supported"
    second = claim("median", {"below": 1.2}, at={"guest.memory": "2GiB"})
    found = verdict(second, BY_LEVEL, axes=TWO)
    assert (found.verdict, found.confidence) == ("refuted", 0.95)


def test_backends_are_compared_at_equal_levels_of_what_both_sweep(verdict: Judge) -> None:
    found = verdict(claim("ratio", pair("kvm", "docker", above=1.5)), BY_LEVEL, axes=TWO)
    assert (found.verdict, found.decided) == ("supported", {"supported": 2})
    assert found.conditions == ("kvm guest.memory=1GiB", "docker guest.memory=1GiB")
    order = verdict(claim("order", {"of": ["docker", "kvm"]}), BY_LEVEL, axes=TWO)
    assert (order.verdict, order.decided) == ("supported", {"supported": 2})


def test_levels_of_one_backend_alone_are_each_compared(verdict: Judge) -> None:
    axes = {"docker": {}, "kvm": {"backends.kvm.options.machine": ["q35", "pc"]}}
    values = {
        ("docker", READY): around(1.0, 0.1),
        ("kvm backends.kvm.options.machine=q35", READY): around(2.0, 0.1),
        ("kvm backends.kvm.options.machine=pc", READY): around(5.0, 0.1),
    }
    found = verdict(claim("ratio", pair("kvm", "docker", above=3)), values, axes=axes)
    assert (found.verdict, found.decided) == ("refuted", {"refuted": 1, "supported": 1})


def test_one_of_many_conditions_refutes_only_at_the_level_that_they_share(verdict: Judge) -> None:
    """The interval of n = 6 exists at 95%, and not at the 97.5% that two conditions need."""
    values = {
        ("docker guest.memory=1GiB", READY): around(1.0, 0.1, 6),
        ("docker guest.memory=2GiB", READY): around(1.5, 0.1, 6),
    }
    axes = {"docker": TWO["docker"]}
    found = verdict(claim("median", {"below": 1.2}), values, axes=axes)
    assert (found.verdict, found.confidence, found.needs_trials) == ("inconclusive", 0.975, 7)
    assert verdict(claim("median", {"below": 2.0}), values, axes=axes).verdict == "supported"


def test_a_condition_without_values_leaves_the_claim_open(verdict: Judge) -> None:
    values = {("docker guest.memory=1GiB", READY): around(1.0, 0.1)}
    found = verdict(claim("median", {"below": 2}), values, axes={"docker": TWO["docker"]})
    assert (found.verdict, found.decided) == ("inconclusive", {"inconclusive": 1, "supported": 1})
    assert found.reason == "no value of startup.ready was measured on docker guest.memory=2GiB"
    assert found.value is None


def test_a_backend_that_was_left_out_leaves_the_claim_open(verdict: Judge) -> None:
    found = verdict(claim("median", {"below": 2}, backend="kvm"), DATA, only=["docker"])
    assert (found.verdict, found.reason) == (
        "inconclusive",
        "the run has no condition that the claim is about",
    )


@pytest.mark.parametrize("form", ["median", "success", "fact"])
def test_warm_ups_decide_nothing(verdict: Judge, form: str) -> None:
    about = {"median": {"below": 2}, "success": {"above": "1%"}, "fact": {"is": 1}}[form]
    found = verdict(claim(form, about), {("docker", READY): [1.0] * 10}, trial={"warmup": True})
    assert (found.verdict, found.n) == ("inconclusive", 0)
    assert found.reason


def test_all_trials_failed(verdict: Judge) -> None:
    found = verdict(claim("median", {"below": 2}), {("docker", READY): [None] * 10})
    assert (found.verdict, found.n, found.value) == ("inconclusive", 0, None)
    assert [one.code for one in found.spoilers] == ["claims.failed-trials"]
    found = verdict(claim("success", {"above": "50%"}), {("docker", READY): [None] * 10})
    assert (found.verdict, found.value) == ("refuted", 0.0)


# --- another run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("there", "wanted"), [(0.8, "supported"), (2.0, "refuted"), (0.75, "inconclusive")])
def test_a_reference(verdict: Judge, there: float, wanted: str) -> None:
    samples = {"docker": {"values": around(there, there / 8), "resolution": 0.0}}
    found = verdict(
        claim("reference", {"run": "../old", "within": "20%" if wanted != "inconclusive" else "10%"}),
        references=[{"claim": "c", "run": "old", "samples": samples}],
    )
    assert found.verdict == wanted
    assert f"divided by that of run old ({there * 1000 if there < 1 else there:g} " in found.sentence
    assert "interval" in found.sentence


def test_a_reference_without_values(verdict: Judge) -> None:
    found = verdict(
        claim("reference", {"run": "../old", "within": "20%"}),
        references=[{"claim": "c", "run": "old", "samples": {}}],
    )
    assert (found.verdict, found.reason) == (
        "inconclusive",
        "run old has no value of startup.ready on docker",
    )


# --- what spoils a claim ----------------------------------------------------------------------------------


def codes(found: VerdictRecord) -> list[str]:
    return [one.code for one in found.spoilers]


EMULATED: Final = {"code": "libvirt.emulated", "severity": "warning", "what": "kvm: the machine is emulated"}
HOST: Final = [
    {"code": "host.load", "severity": "warning", "what": "the host is busy"},
    {"code": "host.ksm", "severity": "warning", "what": "KSM merges"},
    {"code": "host.turbo", "severity": "info", "what": "turbo is on"},
]


def test_an_emulated_machine_stands_beside_its_claims_and_no_others(verdict: Judge) -> None:
    clean = verdict(claim("median", {"below": "20s"}, backend="kvm"))
    found = verdict(claim("median", {"below": "20s"}, backend="kvm"), findings=[EMULATED])
    assert codes(found) == ["libvirt.emulated"]
    assert found.model_copy(update={"spoilers": ()}) == clean
    assert codes(verdict(claim("median", {"below": "2s"}), findings=[EMULATED])) == []
    assert codes(verdict(claim("ratio", pair("kvm", "docker", above=1)), findings=[EMULATED])) == [
        "libvirt.emulated"
    ]
    about = {**EMULATED, "what": "kvm guest.memory=1GiB: the machine is emulated"}
    assert codes(verdict(claim("median", {"below": "20s"}, backend="kvm"), findings=[about])) == [
        "libvirt.emulated"
    ]


def test_findings_on_the_host_stand_beside_what_they_concern(verdict: Judge) -> None:
    assert codes(verdict(claim("median", {"below": "2s"}), findings=HOST)) == ["host.load"]
    memory = claim("median", {"below": "1GB"}, metric="memory.pss")
    assert codes(verdict(memory, findings=HOST)) == ["host.ksm"]
    assert codes(verdict(claim("fact", {"is": True}, metric=SHARES), findings=HOST)) == []


def test_findings_on_the_host_in_a_trial_concern_durations(verdict: Judge) -> None:
    stolen = {"code": "host.steal", "severity": "warning", "what": "CPU time was stolen"}
    found = verdict(claim("median", {"below": "2s"}), trial={"findings": [stolen]})
    assert codes(found) == ["host.steal"]
    found = verdict(claim("fact", {"is": True}, metric=SHARES), trial={"findings": [stolen]})
    assert codes(found) == []


def test_findings_of_trials_are_counted(verdict: Judge) -> None:
    late = {"code": "clock.late", "severity": "warning", "what": "the clock jumped"}
    forced = {"code": "stop.forced", "severity": "warning", "what": "forced"}
    grown = {"code": "density.stopped", "severity": "warning", "what": "growth ended"}
    found = verdict(claim("median", {"below": "2s"}), trial={"findings": [late, forced, grown]})
    assert [one.what for one in found.spoilers] == ["docker: the clock jumped (30 trials)"]


def test_findings_of_a_workload_concern_its_own_claims_and_rates_are_heeded_as_times_are(
    verdict: Judge,
) -> None:
    values = {("docker", "cpu.events"): around(100.0, 1.0, 20)}
    own = {"code": "workload.short", "severity": "warning", "what": "cpu: too short"}
    other = {"code": "workload.little", "severity": "warning", "what": "reads: too few in flight"}
    rate = claim("median", {"above": "50/s"}, metric="cpu.events")
    found = verdict(rate, values, trial={"findings": [own, other]}, findings=HOST)
    assert codes(found) == ["host.load", "workload.short"]
    assert "which is above 50 /s" in found.sentence


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (around(1.0, 0.1, 9), "claims.few-trials"),
        ([1 + i / 100 for i in range(20)], "flag.drift"),
        ([5.0, *around(1.0, 0.1, 19)], "flag.slow-first"),
        ([*around(1.0, 0.1, 19), 5.0], "flag.outliers"),
        (
            [v for pair in zip(around(1.0, 0.01, 20), around(3.0, 0.01, 20), strict=True) for v in pair],
            "flag.bimodal",
        ),
        ([*around(1.0, 0.1, 19), None], "claims.failed-trials"),
    ],
)
def test_flags_of_the_samples(verdict: Judge, values: list[float | None], code: str) -> None:
    found = verdict(claim("median", {"below": "2s"}), {("docker", READY): values})
    assert code in codes(found)
    (one,) = [one for one in found.spoilers if one.code == code]
    assert "docker" in one.what


def test_a_steady_sample_has_no_flag(verdict: Judge) -> None:
    assert codes(verdict(claim("median", {"below": "2s"}))) == []


def test_contradictory_claims_stand_beside_each_other(tmp_path: Path) -> None:
    claims = [
        claim("median", {"below": "2s"}, id="a"),
        claim("median", {"above": "2s"}, id="b"),
        claim("median", {"below": "1s"}, id="c"),
    ]
    first, second, third = judge(tmp_path, claims, DATA)
    assert (first.verdict, second.verdict, third.verdict) == ("supported", "refuted", "supported")
    assert [one.what for one in first.spoilers] == ["it cannot hold together with the claim b"]
    assert len(second.spoilers) == 2
    assert codes(third) == ["claims.contradiction"]


# --- the file ---------------------------------------------------------------------------------------------


def test_the_same_journal_gives_the_same_bytes(tmp_path: Path) -> None:
    claims = [claim(form, about, id=f"c{i}", **rest) for i, (form, about, rest, _) in enumerate(FORMS)]
    write(tmp_path, claims, DATA, findings=[EMULATED, *HOST])
    results.rebuild(tmp_path)
    before = (tmp_path / "claims.json").read_bytes()
    (tmp_path / "claims.json").unlink()
    results.rebuild(tmp_path)
    assert (tmp_path / "claims.json").read_bytes() == before
    assert [one["id"] for one in json.loads(before)] == [one["id"] for one in claims]


def test_a_run_without_claims_has_an_empty_list(tmp_path: Path) -> None:
    write(tmp_path, [], DATA)
    results.rebuild(tmp_path)
    assert (tmp_path / "claims.json").read_text() == "[]\n"


def test_a_claim_that_was_edited_into_another_unit_is_refused(verdict: Judge) -> None:
    with pytest.raises(
        ResultsError, match=r"journal\.jsonl:1: a claim does not fit its quantity: expected a dur"
    ):
        verdict(claim("median", {"below": "2MB"}))


def test_hostile_words_stay_words(verdict: Judge) -> None:
    says = 'x\x1b[2J "; <script>\u202e {{7*7}} %s \n' + "y" * 900
    found = verdict(claim("median", {"below": "2s"}, says=says))
    assert found.says == says
    assert json.loads(found.model_dump_json())["says"] == says
