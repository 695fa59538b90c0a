"""Bounds: what meets them, what an interval says of them, and claims that cannot both hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.claimed import QUANTITIES, claim
from vmvc.bounds import Range, contradictions, range_of
from vmvc.spec_claims import Bound, Claim

NUMBERS = st.floats(-100, 100)


@pytest.mark.parametrize(
    ("bound", "unit", "wanted"),
    [
        ({"below": "2s"}, "s", Range(-math.inf, 2.0, open=True)),
        ({"above": 3}, "B", Range(3.0, math.inf, open=True)),
        ({"above": "5%"}, "1", Range(0.05, math.inf, open=True)),
        ({"between": ["1KiB", 2048]}, "B", Range(1024.0, 2048.0)),
        ({"equals": "2s", "within": "500ms"}, "s", Range(1.5, 2.5)),
        ({"equals": "2s", "within": "25%"}, "s", Range(1.5, 2.5)),
        ({"equals": -2, "within": "25%"}, "s", Range(-2.5, -1.5)),
        ({"equals": "50%", "within": "10%"}, "1", Range(0.45, 0.55)),
        ({"equals": "50%", "within": 0.1}, "1", Range(0.4, 0.6)),
    ],
)
def test_the_range_of_a_bound(bound: Mapping[str, Any], unit: str, wanted: Range) -> None:
    found = range_of(Bound.model_validate_json(json.dumps(bound)), unit)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.open is wanted.open


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.floats(0, 1))
def test_an_interval_says_what_all_of_its_numbers_say(
    a: float, b: float, c: float, d: float, outside: bool, share: float
) -> None:
    wanted = Range(min(a, b), max(a, b), open=outside)
    low, high = min(c, d), max(c, d)
    verdict = wanted.judge(low, high)
    between = low + share * (high - low)
    for number in (low, min(max(between, low), high), high):
        alone = wanted.judge(number, number)
        assert alone in ("supported", "refuted")
        if verdict != "inconclusive":
            assert alone == verdict


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_a_wider_interval_never_says_more(a: float, b: float, c: float, d: float) -> None:
    wanted = Range(min(a, b), max(a, b))
    low, high = min(c, d), max(c, d)
    assert wanted.judge(low - 1, high + 1) in (wanted.judge(low, high), "inconclusive")


def parsed(*claims: Mapping[str, Any]) -> list[Claim]:
    return [Claim.model_validate_json(json.dumps({**one, "id": f"c{i}"})) for i, one in enumerate(claims)]


def pair(of: str, to: str, **bound: Any) -> dict[str, Any]:
    return {"of": of, "to": to, **bound}


AT: Mapping[str, Any] = {"at": {"guest.memory": "1GiB"}}
SHARES: Mapping[str, Any] = {"metric": "isolation.shares_kernel"}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (claim("median", {"below": 2}), claim("median", {"above": 2}), False),
        (claim("median", {"below": 2}), claim("median", {"above": 1}), True),
        (claim("median", {"between": [1, 2]}), claim("median", {"between": [2, 3]}), True),
        (claim("median", {"between": [1, 2]}), claim("median", {"above": 2}), False),
        (claim("median", {"below": 2}), claim("quantile", {"at": "50%", "above": 2}), False),
        (claim("median", {"below": 2}), claim("quantile", {"at": "90%", "above": 2}), True),
        (claim("median", {"below": 2}), claim("median", {"above": 2}, backend="kvm"), True),
        (claim("median", {"below": 2}), claim("median", {"above": 2}, metric="memory.pss"), True),
        (claim("median", {"below": 2}), claim("median", {"above": 2}, **AT), False),
        (
            claim("median", {"below": 2}, at={"guest.memory": "2GiB"}),
            claim("median", {"above": 2}, **AT),
            True,
        ),
        (claim("ratio", pair("a", "b", above=2)), claim("ratio", pair("a", "b", below=1)), False),
        (claim("difference", pair("a", "b", above=2)), claim("difference", pair("b", "a", above=-1)), False),
        (claim("difference", pair("a", "b", above=2)), claim("difference", pair("b", "a", below=-1)), True),
        (claim("order", {"of": ["a", "b", "c"]}), claim("order", {"of": ["c", "b"]}), False),
        (claim("order", {"of": ["a", "b"]}), claim("difference", pair("a", "b", above=0)), False),
        (claim("success", {"above": "90%"}), claim("success", {"below": 0.5}), False),
        (claim("fact", {"is": True}, **SHARES), claim("fact", {"is": False}, **SHARES), False),
        (claim("fact", {"is": True}, **SHARES), claim("median", {"below": 1}, **SHARES), False),
        (
            claim("slope", {"over": "guest.memory", "below": 1}),
            claim("slope", {"over": "guest.memory", "above": 2}),
            False,
        ),
    ],
)
def test_claims_that_cannot_both_hold(one: dict[str, Any], other: dict[str, Any], both: bool) -> None:
    for claims in (parsed(one, other), parsed(other, one)):
        found = [(first.id, second.id) for first, second in contradictions(claims, QUANTITIES)]
        assert found == ([] if both else [("c0", "c1")])
