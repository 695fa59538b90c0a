"""Text in, tree or faults out: the part of YAML that is a notation for JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml

from vmvc import notation
from vmvc.notation import DEEPEST, LARGEST, MOST, Node, read_tree

PARSERS = ["SafeLoader", *(["CSafeLoader"] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers must read alike; a host without libyaml has only one."""
    monkeypatch.setattr(notation, "_Loader", getattr(yaml, request.param))
    return str(request.param)


def tree(text: str) -> Node:
    root, faults = read_tree(text.encode(), "x.yaml")
    assert faults == []
    assert root is not None
    return root


def faults(text: str | bytes) -> list[str]:
    """Return every fault as ``line:column what``."""
    root, found = read_tree(text.encode() if isinstance(text, str) else text, "x.yaml")
    assert root is None or found
    return [f"{fault.line}:{fault.column} {fault.what}" for fault in found]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-0", 0),
        ("12", 12),
        ("-7", -7),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1.50", 1.5),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("-2.5E-1", -0.25),
        ('""', ""),
        ("'null'", "null"),
        ('"1"', "1"),
        ('"\\u00e9\\n"', "é\n"),
        ("{}", {}),
        ("[]", []),
        ("[1, a]", [1, "a"]),
        # What YAML 1.1 would have turned into something else stays text.
        *((word, word) for word in ("yes", "no", "on", "off", "y", "True", "FALSE", "010", "0o10", "0x1F")),
        *((word, word) for word in ("1:30", "1_000", "+1", "1.", ".5", ".inf", "-.inf", ".nan", "0b11", "=")),
        *((word, word) for word in ("2026-01-01", "2026-01-01T00:00:00Z", "99999-99-99", "nil", "1e", "--1")),
    ],
)
def test_what_a_scalar_means(parser: str, written: str, meant: object) -> None:
    value = tree(f"a: {written}").plain()["a"]
    assert value == meant
    assert type(value) is type(meant)


def test_blocks_and_brackets_are_the_same(parser: str) -> None:
    block = tree("a:\n  b:\n  - 1\n  - c: x\nd: |\n  two\n  lines\ne: >-\n  folded\n  text\n")
    flow = tree('{"a": {"b": [1, {"c": "x"}]}, "d": "two\\nlines\\n", "e": "folded text"}')
    assert block.plain() == flow.plain()


def test_places_count_characters_from_one(parser: str) -> None:
    root = tree("# é\nä: 'ö'\nb: [1, {c: d}]  # x\n😀: e\n")
    assert root.keys == {"ä": (2, 1), "b": (3, 1), "😀": (4, 1)}
    deep = root.get("b")
    assert deep is not None
    assert isinstance(deep.value, list)
    assert [item.place for item in deep.value] == [(3, 5), (3, 8)]
    assert deep.value[1].keys == {"c": (3, 9)}
    assert root.get("😀") is not None
    assert root.get("😀").place == (4, 4)  # type: ignore[union-attr]


def test_a_byte_order_mark_takes_no_column(parser: str) -> None:
    assert tree("\ufeffa: 1").keys == {"a": (1, 1)}


def test_a_tree_can_be_walked() -> None:
    root = tree("a: {b: {c: 1}}\nd: [x]")
    assert root.get("a", "b", "c") is not None
    assert root.get("a", "x", "c") is None
    assert root.get("d", "x") is None
    assert [key for key, _, _ in root.items()] == ["a", "d"]
    assert list(Node((1, 1), "x").items()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: !!str 1", ["1:4 the tag !!str has no use"]),
        ("a: ! 1", ["1:4 the tag ! has no use"]),
        ("a: !!python/object:os.system {}", ["1:4 the tag !!python/object:os.system has no use"]),
        ("a: &x 1\nb: *x", ["1:4 the anchor &x has no use", "2:4 the alias *x is not a value"]),
        ("a: *nothing", ["1:4 the alias *nothing is not a value"]),
        ("&a [*a]", ["1:1 the anchor &a has no use", "1:5 the alias *a is not a value"]),
        ("a: {<<: {b: 1}}", ["1:5 merge keys (<<) have no use"]),
        ("a: 1\nb: 2\na: 3\n", ["3:1 the key 'a' stands here again, first in line 1"]),
        ("1: a", ["1:1 a key must be text, got 1"]),
        ("true: a", ["1:1 a key must be text, got true"]),
        ("~: a", ["1:1 a key must be text, got ~"]),
        ("?\n: a", ["1:2 a key must be text, got nothing"]),
        ("[a]: b", ["1:1 a key must be text, got a list"]),
        ("{a: b}: c", ["1:1 a key must be text, got a mapping"]),
        ("a:\nb: c", ["1:1 'a' has no value"]),
        ("a: {b, c: 1}", ["1:5 'b' has no value"]),
        ("a: ~\nb: null\nc: NULL", ["1:4 'a' is ~", "2:4 'b' is null", "3:4 'c' is NULL"]),
        ("- ~\n-\n- a", ["1:3 a list item is ~", "2:2 a list item has no value"]),
        ("a: 1e999", ["1:4 the number 1e999 is too long"]),
        ("a: " + "1" * 5000, [f"1:4 the number {'1' * 80}... is too long"]),
        ('a: "\\0"', ["1:4 the character U+0000 cannot stand in a text"]),
        ("a: 1\n---\nb: 2", ["2:1 a second document begins"]),
    ],
)
def test_more_than_json_is_a_fault(parser: str, text: str, found: list[str]) -> None:
    assert faults(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: b: c", "1:5 a second key in this value, or a wrong indentation"),
        ("a: 'x\n", "1:4 a quotation mark is never closed"),
        ("a: [1, 2\nb: 1\n", "2:2 a list lacks a comma or its ] (it begins in line 1)"),
        ("a: {x: 1\nb: 1\n", "2:2 a mapping lacks a comma or its } (it begins in line 1)"),
        ("a: [1, 2", "1:4 a bracket is never closed"),
        ("a: [", "1:4 a bracket is never closed"),
        ("a: {b: [1], c: {d: e\n\n", "1:16 a bracket is never closed"),
        ("a:\n  b: 1\n c: 2\n", "3:2 this does not belong to the block before it (it begins in line 1)"),
        ("- a\nb: 1", "2:1 this does not belong to the block before it (it begins in line 1)"),
        ("a: 'b' c", "1:8 this does not belong to the block before it (it begins in line 1)"),
        ("a:\n\t b: 1", "2:1 a tab stands where only spaces can indent"),
        ("a: @x", "1:4 a value cannot begin with @"),
        ("a: ]", "1:4 a value is missing before ]"),
        ("a: - b", "1:4 a list item cannot begin here"),
        ("a: b\n...\nc: d", "3:1 something stands after the end of the document"),
        ("a: 1\nb: \x07", "2:4 the character U+0007 cannot stand in a file"),
    ],
)
def test_what_is_no_yaml_is_told_in_plain_words(parser: str, text: str, found: str) -> None:
    assert faults(text) == [found]


@pytest.mark.parametrize("text", ['a: "\\q"', 'a: "\\uD800"', 'a: "\\UFFFFFFFF"', 'a: "\\x1"'])
def test_escapes_that_are_no_characters(parser: str, text: str) -> None:
    assert len(faults(text)) == 1


def test_every_fault_comes_at_once_in_file_order() -> None:
    assert faults("a: &x !!int 1\nb:\na: 2\nc: [~, {d: 1, d: 2}]\n") == [
        "1:4 the anchor &x has no use",
        "1:4 the tag !!int has no use",
        "2:1 'b' has no value",
        "3:1 the key 'a' stands here again, first in line 1",
        "4:5 a list item is ~",
        "4:15 the key 'd' stands here again, first in line 4",
    ]


def test_faults_before_a_syntax_error_are_kept() -> None:
    assert [line[:3] for line in faults("a: ~\nb: [")] == ["1:4", "2:4"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "~", "null", "\ufeff"])
def test_an_empty_file(parser: str, text: str) -> None:
    assert faults(text) == ["None:None the file is empty"]


@pytest.mark.parametrize(
    ("data", "place"),
    [(b"\xff\xfea", "1:1"), (b"a: 1\nb: \xe9\n", "2:4"), ("é: ".encode() + b"\x80", "1:4")],
)
def test_only_utf8(data: bytes, place: str) -> None:
    assert faults(data)[0].startswith(f"{place} the file is not UTF-8 text: byte 0x")


def test_the_largest_file() -> None:
    start = b"a: "
    root, found = read_tree(start + b"x" * (LARGEST - len(start)), "x.yaml")
    assert root is not None
    assert not found
    assert faults(b"a: " + b"x" * LARGEST) == ["None:None the file is larger than 1 MiB"]


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_the_deepest_nesting() -> None:
    assert tree(nested(DEEPEST)).plain() is not None
    assert faults(nested(DEEPEST + 1)) == [f"1:{DEEPEST + 1} nested deeper than {DEEPEST} levels"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", '{"a":', "[{", "!x [", "&a ["])
def test_a_file_of_brackets_ends_quickly(opening: str) -> None:
    start = time.perf_counter()
    assert faults((opening * LARGEST)[:LARGEST])
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("part", ["*a,", "~,", "!!x y,", "{a: 1, a: 2},"])
def test_a_file_of_faults_ends_quickly_and_tells_the_first(part: str) -> None:
    start = time.perf_counter()
    found = faults("[" + (part * (LARGEST // len(part)))[: LARGEST - 2])
    assert MOST <= len(found) <= MOST + 1
    assert time.perf_counter() - start < 5


def test_numbers_keep_what_json_can_say() -> None:
    value: Any = tree("a: [0.1, 1e-7, 123456789.123456789, 9007199254740993]").plain()
    assert json.loads(json.dumps(value)) == {"a": [0.1, 1e-7, 123456789.123456789, 9007199254740993]}
