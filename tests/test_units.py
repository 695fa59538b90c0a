"""Units of quantities: read from a file, written for people, and the same value back."""

from __future__ import annotations

import pytest

from vmvc.claims_sentence import Scale
from vmvc.units import PARSERS, UNITS, amount, measure, scaled, show, unit_named


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("100 MiB/s", 100 * 2**20, "B/s"),
        ("1.5kB/s", 1500, "B/s"),
        ("1001/s", 1001, "1/s"),
        ("100 1/s", 100, "1/s"),
        ("2.5 Gbit/s", 2.5e9, "bit/s"),
        ("3GHz", 3e9, "Hz"),
        ("5 mJ", 0.005, "J"),
        ("2kW", 2000, "W"),
        ("2s", 2, "s"),
        ("5%", 0.05, "1"),
        ("1GiB", 2**30, "B"),
    ],
)
def test_an_amount_is_read_in_the_one_unit_that_it_has(text: str, value: float, unit: str) -> None:
    assert amount(text, unit) == pytest.approx(value)
    found = measure(text)
    assert found is not None
    assert found[0] == pytest.approx(value)
    assert found[1] == unit
    for other in UNITS.keys() - {unit}:
        with pytest.raises(ValueError, match="expected"):
            amount(text, other)


@pytest.mark.parametrize("text", ["5 parsecs", "MiB/s", "-1 MiB/s", "1e3/s", "5 mib/s", ""])
def test_what_is_no_amount_is_none(text: str) -> None:
    assert measure(text) is None


def test_every_unit_can_be_read_and_every_name_is_of_one_unit() -> None:
    assert PARSERS.keys() == UNITS.keys()
    assert {unit: names[unit] for unit, names in UNITS.items()} == dict.fromkeys(UNITS, 1)
    names = [name for known in UNITS.values() for name in known]
    assert len(names) == len(set(names))
    assert unit_named("KiB/s") == ("B/s", 1024.0)
    assert unit_named("%") == ("1", 0.01)
    assert unit_named("furlong") is None


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (12345.6, "1/s", "12346/s"),
        (0.5, "1/s", "0.5/s"),
        (184e6, "B/s", "175 MiB/s"),
        (1.5e9, "bit/s", "1.5 Gbit/s"),
        (3.2e9, "Hz", "3.2 GHz"),
        (0.0001, "J", "100 uJ"),
        (0.0, "W", "0 W"),
        (-2 * 2**20, "B/s", "-2 MiB/s"),
    ],
)
def test_values_are_written_for_people(value: float, unit: str, said: str) -> None:
    assert show(value, unit) == said


def test_an_axis_takes_the_name_that_fits() -> None:
    assert scaled(5e6, "bit/s") == ("Mbit/s", 1e6)
    assert scaled(0.5, "Hz") == ("Hz", 1.0)


def test_a_sentence_takes_the_unit_of_the_limit() -> None:
    assert Scale.of("bit/s", ("2Gbit/s",), (1.9e9,)).show(1.9e9) == "1.9 Gbit/s"
    assert Scale.of("1/s", ("1001/s",), (12.0,)).show(12.0) == "12 /s"
    assert Scale.of("B/s", (), (3.0 * 2**20,)).show(3.0 * 2**20) == "3 MiB/s"
