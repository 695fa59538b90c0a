"""Whatever the bytes are: an experiment, or faults in plain words at places that exist; and in good time."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vmvc.errors import Fault, InputError
from vmvc.loading import Loaded, loads
from vmvc.schema import experiment_schema

GOOD = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).parent / "files" / "good").glob("*.yaml"))
    if b"docker" not in path.read_bytes()
}
PYDANTIC = re.compile(
    r"Input should|valid (string|integer|number|dictionary)|\[type=|pydantic|Field required"
)
in_good_time = settings(
    deadline=timedelta(seconds=5), max_examples=int(os.environ.get("VMVC_FUZZ_EXAMPLES", "300"))
)
"""``make fuzz`` raises the number of examples of each test."""


@cache
def schema() -> Draft202012Validator:
    return Draft202012Validator(experiment_schema())


def check(data: bytes) -> Loaded | None:
    """Load; look at every fault; return what was loaded."""
    faults: Sequence[Fault]
    try:
        return loads(data, "x.yaml", Path())
    except InputError as error:
        faults = error.faults
    assert faults
    assert len({*faults}) == len(faults)
    placed = [(fault.line, fault.column) for fault in faults if fault.line and fault.column]
    assert placed == sorted(placed)
    for fault in faults:
        _look(fault, data)
    return None


def _look(fault: Fault, data: bytes) -> None:
    assert fault.source == "x.yaml"
    assert 0 < len(fault.what) < 1000
    assert not PYDANTIC.search(fault.what)
    assert not PYDANTIC.search(fault.hint)
    if fault.line is not None:
        text = data.decode("utf-8-sig", errors="replace")
        lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
        assert 1 <= fault.line <= len(lines) + 1
        assert fault.column is not None
        assert fault.column >= 1
        if fault.line <= len(lines):
            assert fault.column <= len(lines[fault.line - 1]) + 1


@given(st.binary(max_size=2000))
@in_good_time
def test_random_bytes(data: bytes) -> None:
    check(data)


SYNTAX = st.sampled_from(
    [*"[]{}:,-?#&*!|>%@`\"' \n\t~<=", ": ", "- ", "\n  ", "---", "...", "null", "<<", "1e9"]
)
WORDS = st.sampled_from(
    [
        "name",
        "guest",
        "backends",
        "metrics",
        "factors",
        "claims",
        "images",
        "fake",
        "startup",
        "first",
        "ready",
    ]
)


@given(st.lists(SYNTAX | WORDS | st.characters(codec="utf-8"), max_size=200))
@in_good_time
def test_random_yaml(parts: list[str]) -> None:
    check("".join(parts).encode())


@given(st.sampled_from(sorted(GOOD)), st.data())
@in_good_time
def test_good_files_with_a_piece_cut_out_doubled_or_put_in(name: str, data: st.DataObject) -> None:
    source = GOOD[name]
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, min(len(source), start + 40)))
    piece = data.draw(
        st.sampled_from([b"", source[start:end] * 2, b" ", b"\n", b"~"]) | st.binary(max_size=8)
    )
    check(source[:start] + piece + source[end:])


# --- values of any kind in any place ----------------------------------------------------------------------

EVERY_KEY: Any = {
    "name": "a",
    "images": {"w": {"base": "debian:bookworm", "packages": ["x"]}, "o": {"oci": "x"}, "d": {"disk": "x"}},
    "guest": {"image": "w", "memory": "1GiB", "cpus": 1, "env": {"A": "1"}, "ready": {"http": {"port": 80}}},
    "backends": {"fake": {}, "b": {"kind": "fake", "options": {"start": "1s"}, "guest": {"cpus": 1}}},
    "factors": {"guest.memory": ["1GiB", "2GiB"], "backends.b.options.seed": [1, 2]},
    "metrics": {"startup": {}, "memory": {"settle": "1s"}},
    "trials": {"count": 1, "order": "sequential", "timeout": "1s"},
    "claims": [
        {"id": "a", "says": "x", "metric": "startup.ready", "backend": "b", "median": {"below": "1s"}},
        {"id": "b", "says": "x", "metric": "memory.pss", "ratio": {"of": "b", "to": "fake", "above": 2}},
    ],
}
KEYS = st.sampled_from(
    [
        "name",
        "image",
        "memory",
        "ready",
        "http",
        "tcp",
        "port",
        "kind",
        "options",
        "guest",
        "fake",
        "b",
        "base",
    ]
) | st.text(max_size=5)
TEXTS = st.sampled_from(
    ["", "a", "A b", "1s", "31d", "256mb", "1GiB", "5%", "200%", "tiny", "fake", "w", "b"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    # Neither is a number to vmvc's YAML, and JSON has none of them.
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: changed(value[key], tuple(rest), new)}
    return [changed(inner, tuple(rest), new) if index == key else inner for index, inner in enumerate(value)]


def judged_alike(document: Any) -> None:
    """What the loader takes, the JSON Schema takes; the reverse is not always sayable in a schema."""
    if check(json.dumps(document).encode()) is not None:
        assert [error.message for error in schema().iter_errors(document)] == []


@given(st.sampled_from(places(EVERY_KEY)), VALUES)
@example((), EVERY_KEY)
@example(("metrics", "startup"), {"kind": ""})  # Found here: was no metric, and no fault.
@in_good_time
def test_any_value_in_any_place(path: tuple[Any, ...], value: Any) -> None:
    judged_alike(changed(EVERY_KEY, path, value))


@given(st.sampled_from(places(EVERY_KEY)), KEYS, VALUES)
@example(("metrics", "startup"), "kind", "")
@in_good_time
def test_any_key_in_any_mapping(path: tuple[Any, ...], key: str, value: Any) -> None:
    inner = EVERY_KEY
    for step in path:
        inner = inner[step]
    if isinstance(inner, dict):
        judged_alike(changed(EVERY_KEY, path, {**inner, key: value}))
