"""Parsers: the one number, or the file, the line and the text at which it is not to be had."""

from __future__ import annotations

import pytest

from vmvc.parsing import LONGEST, Output, Parse, Unreadable, by_csv, by_json, by_line, by_regex


def out(text: str | bytes) -> Output:
    return Output("stdout", text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (by_regex(r"took (\S+) ms"), "a\ntook 12.5 ms\nb\n", 12.5),
        (by_regex(r"^(\d+)$"), "no 1\n7\n", 7),
        (by_json("jobs.0.read.iops"), '{"jobs": [{"read": {"iops": 3e2}}]}', 300),
        (by_json(r"p.99\.0"), '{"p": {"99.0": 4}}', 4),
        (by_json("a"), '{"a": "1.5"}', 1.5),
        (by_csv("ms", None), "n,ms\n1,2.5\n", 2.5),
        (by_csv("ms", 2), 'n,ms\n1,2.5\n"x, y",-3\n', -3),
        (by_line(None, None), "\n 42 \n\n", 42),
        (by_line(-1, 2), "a\nb 1\nc 2 d\n\n", 2),
        (by_line(1, 1), ".5 a\n", 0.5),
    ],
)
def test_the_number_is_read(parse: Parse, text: str, value: float) -> None:
    assert parse(out(text)) == value


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (by_regex(r"took (\d+)"), "", r"stdout: no line matches 'took (\\d+)'; nothing was printed there"),
        (by_regex(r"took (\d+)"), "a\nlast\n", r"stdout: no line matches 'took (\\d+)'; it ends with 'last'"),
        (by_regex(r"(\d+)"), "a 1\nb 2\n", r"stdout:2: '(\\d+)' matches again, first in line 1, got 'b 2'"),
        (by_regex(r"t (\S+)"), "\nt soon\n", "stdout:2: expected a number, got 'soon'"),
        (by_regex(r"t (\S+)"), "t nan\n", "stdout:1: expected a number, got 'nan'"),
        (by_regex(r"t (\S+)"), "t 1e999\n", "stdout:1: expected a number, got '1e999'"),
        (by_regex(r"t (\S*)"), "t \n", "stdout:1: expected a number, got 'nothing'"),
        (by_json("a"), "x\n{", "stdout:1: expected JSON, got 'x'"),
        (by_json("a"), "", "stdout:1: expected JSON, got ''"),
        (by_json("a.b"), '{"a": {}}', "stdout: the JSON has no a.b; it ends with '{\"a\": {}}'"),
        (by_json("a.1"), '{"a": [1]}', "stdout: the JSON has no a.1; it ends with '{\"a\": [1]}'"),
        (by_json("a"), '{"a": true}', "stdout: a: expected a number, got 'true'"),
        (by_json("a"), '{"a": null}', "stdout: a: expected a number, got 'null'"),
        (by_json("a"), '{"a": NaN}', "stdout: a: expected a number, got 'NaN'"),
        (by_json("a"), '{"a": 1e200}', "stdout: a: expected a number, got '1e+200'"),
        (
            by_json("a"),
            "[" * 100_000,
            "stdout: the JSON is nested too deeply; it ends with '" + "[" * 80 + "...'",
        ),
        (
            by_csv("ms", None),
            "x" * 200_000,
            "stdout: expected CSV (field larger than field limit (131072)); "
            "it ends with '" + "x" * 80 + "...'",
        ),
        (by_csv("ms", None), "n,s\n1,2\n", "stdout:1: no column 'ms', got 'n,s'"),
        (
            by_csv("ms", None),
            "ms\n1\n2\n",
            "stdout: expected one row below the header, got 2; it ends with '2'",
        ),
        (by_csv("ms", 3), "ms\n1\n2\n", "stdout: there is no row 3, only 2; it ends with '2'"),
        (by_csv("ms", 1), "n,ms\n1\n", "stdout:2: this row has no cell 'ms', got '1'"),
        (by_csv("ms", None), "n,ms\n1,x\n", "stdout:2: expected a number, got 'x'"),
        (by_line(None, None), "1\n2\n", "stdout: expected one line, got 2; it ends with '2'"),
        (by_line(3, None), "1\n2\n", "stdout: there is no line 3, only 2; it ends with '2'"),
        (by_line(1, None), "1 2\n", "stdout:1: expected one word, got 2, got '1 2'"),
        (by_line(1, 4), "1 2\n", "stdout:1: there is no word 4, only 2, got '1 2'"),
    ],
)
def test_what_is_no_number_is_told_with_its_place(parse: Parse, text: str, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(out(text))
    assert caught.value.what == said
    assert caught.value.hint


@pytest.mark.parametrize("parse", [by_regex(r"(\d+)"), by_json("a"), by_csv("a", None), by_line(None, None)])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"1\n\xff\xfe", "stdout:2: this is no text: byte 0xff"),
        (b"1\n2\0", "stdout:2: this is no text: byte 0x00"),
        (b"1" * (LONGEST + 1), f"stdout: {LONGEST + 1} bytes, and at most {LONGEST} are read"),
    ],
)
def test_binary_and_endless_output_is_refused_by_every_parser(parse: Parse, data: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(out(data))
    assert caught.value.what == said


def test_a_long_line_is_shortened() -> None:
    with pytest.raises(Unreadable) as caught:
        by_line(None, None)(out("x" * 10_000))
    assert len(caught.value.what) < 200
