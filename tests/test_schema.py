"""The JSON Schemas are fresh, complete, and as strict as the loader wherever a schema can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from vmvc.errors import EngineError, InputError
from vmvc.loading import loads
from vmvc.notation import read_tree
from vmvc.registry import BACKENDS, METRICS, backend_class, metric_class
from vmvc.schema import SCHEMAS, experiment_schema, write_schemas
from vmvc.wording import PATTERNS

FILES = Path(__file__).parent / "files"
COMMITTED = Path(__file__).parents[1] / "schemas"

BEYOND_A_SCHEMA: Final = {
    "claims": "ids, metrics, quantities, backends and units refer to other places",
    "claims-on-own-clocks": "which clock told a quantity is the metric's to say",
    "claims-of-every-form": "factors, levels and units refer to other places, and runs to other folders",
    "factor-beside-another-probe": "a path is read together with the guest's settings",
    "everything-excluded": "conditions are counted, and backends",
    "exclude": "an entry refers to what is swept",
    "include": "paths and levels are judged together with settings and backends",
    "include-twice": "1024MiB is 1GiB",
    "factor-levels": "a level is judged at the end of its path",
    "factor-paths": "a path is text to a schema; it knows only its form",
    "factor-that-a-backend-fixes": "two places of the file together",
    "until-of-something-else": "metrics refer to another place",
    "ssh": "settings of guest, images and backends together",
    "ssh-unused": "settings of guest and backends together",
    "machines-swept": "settings of a backend and factors together",
    "unknown-images": "names refer to other places",
    "unknown-plug-ins": "third parties may add kinds and metrics",
    "whole-number-with-a-point": "1.0 is a whole number in JSON Schema",
}
"""Bad file -> why a schema takes it all the same."""


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(experiment_schema())


def parts(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from parts(inner, (*path, key))


# --- the table of good and bad files (tests/test_loading.py puts it through the loader) ---------------------


@pytest.mark.parametrize("path", sorted(FILES.glob("good/*.yaml")), ids=lambda path: path.stem)
def test_good_files(schema: Draft202012Validator, path: Path) -> None:
    root, _ = read_tree(path.read_bytes(), path.name)
    assert root is not None
    assert [error.message for error in schema.iter_errors(root.plain())] == []


def bad_files() -> Iterator[Path]:
    """Those that are JSON in the end: what the notation refuses never reaches a schema."""
    for path in sorted(FILES.glob("bad/*.yaml")):
        if read_tree(path.read_bytes(), path.name)[1] == []:
            yield path


@pytest.mark.parametrize("path", [*bad_files()], ids=lambda path: path.stem)
def test_bad_files(schema: Draft202012Validator, path: Path) -> None:
    root, _ = read_tree(path.read_bytes(), path.name)
    assert root is not None
    assert schema.is_valid(root.plain()) == (path.stem in BEYOND_A_SCHEMA)


def test_the_list_of_what_is_beyond_a_schema_is_of_bad_files() -> None:
    assert {path.stem for path in bad_files()} >= BEYOND_A_SCHEMA.keys()


FIRST: Any = {"name": "first", "backends": ["fake"], "metrics": ["startup"]}


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("name", "a" * 64, True),
        *(("name", name, False) for name in ("A B", "a/b", "..", "-a", "a-", "", "a" * 65, "ä")),
        *(("trials", {"timeout": text}, True) for text in ("30d", "720h", "2592000s", "0.5 s", "0s", "1ns")),
        *(
            ("trials", {"timeout": text}, False)
            for text in ("31d", "30.1d", "721h", "1", "-1s", "1 s ", "1S")
        ),
        *(("guest", {"memory": text}, True) for text in ("1B", "1024TiB", "0.5kB", "1.5 GiB")),
        *(
            ("guest", {"memory": text}, False)
            for text in ("0B", "0.0GiB", "1025TiB", "0.5B", "1gb", "1K", "B")
        ),
        *(("backends", {"fake": {"options": {"jitter": text}}}, True) for text in ("0%", "100%", "99.9 %")),
        *(("backends", {"fake": {"options": {"jitter": text}}}, False) for text in ("200%", "100.1%", "5")),
        ("backends", {"fake": {"options": {"strat": "1s"}}}, False),
        ("backends", {"other": {"kind": "fake", "options": {"seed": 1}}}, True),
        ("backends", {"other": {"kind": "fake", "options": {"seed": "1"}}}, False),
        ("backends", {"docker": {"kind": "fake", "options": {"seed": 1}}}, True),
        ("backends", {"fake": {"kind": "docker", "options": {"seed": 1}}}, False),
        ("backends", [], False),
        ("backends", ["fake", "fake"], False),
        ("metrics", {"memory": {"settle": "1s"}}, True),
        ("metrics", {"memory": {"settle": 1}}, False),
        ("factors", {"guest.cpus": [1, 2]}, True),
        ("factors", {"guest.cpus": []}, False),
        ("factors", {"guest.cpus": 1}, False),
        ("factors", {"trials.count": [1]}, False),
        ("factors", {"include": [{"guest.cpus": 2}, {"backend": "fake"}]}, True),
        ("factors", {"guest.cpus": [1, 2], "exclude": [{"guest.cpus": 1}]}, True),
        ("factors", {"guest.cpus": [1, 2], "exclude": [1]}, False),
        ("factors", {"include": [{"cpus": 2}]}, False),
        ("factors", {"include": [{}]}, False),
        ("images", {"a": {"base": "tiny", "files": {"/a/.b..c": "x"}}}, True),
        *(
            ("images", {"a": {"base": "tiny", "files": {path: "x"}}}, False)
            for path in ("a", "/", "/a/", "/a/..")
        ),
    ],
)
def test_values_get_the_same_verdict_from_both(
    schema: Draft202012Validator, key: str, value: Any, good: bool
) -> None:
    document = {**FIRST, key: value}
    assert schema.is_valid(document) is good
    try:
        loads(json.dumps(document).encode(), "x.json", Path())
    except InputError:
        assert not good
    except EngineError:
        assert good
    else:
        assert good


def test_a_third_partys_backend_and_metric_are_open(schema: Draft202012Validator) -> None:
    document = {
        **FIRST,
        "backends": {"toy": {"options": {"x": [1]}}},
        "metrics": {"smile": {"y": {"z": "a"}}},
    }
    assert schema.is_valid(document)
    document["metrics"]["smile"]["y"]["z"] = None
    assert not schema.is_valid(document)


# --- what every schema promises ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name: str) -> None:
    made = SCHEMAS[name]()
    Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    told = [path for path, part in parts(made) if path and path[-1] == "$ref"]
    assert all(
        str(part).removeprefix("#/$defs/") in made["$defs"] for path, part in parts(made) if path in told
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_described(name: str) -> None:
    for path, part in parts(SCHEMAS[name]()):
        if path and path[-1] == "properties" and not {"if", "then"} & {*path}:
            assert [key for key, says in part.items() if not says.get("description")] == [], path


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_object_is_closed_and_nothing_is_null(name: str) -> None:
    for path, part in parts(SCHEMAS[name]()):
        if isinstance(part, dict):
            assert part.get("type") != "null", path
            assert "default" not in part or part["default"] is not None, path
            if part.get("type") == "object":
                assert "additionalProperties" in part, path


def test_every_pattern_of_the_language_has_plain_words() -> None:
    amounts = {"Duration", "Percent", "Size"}
    for path, part in parts(experiment_schema()):
        ours = (
            not {*path} & amounts and "not" not in path and not any("Options" in str(step) for step in path)
        )
        if path and path[-1] == "pattern" and isinstance(part, str) and ours:
            assert part in PATTERNS, path


def test_the_committed_schemas_are_fresh(tmp_path: Path) -> None:
    for name in BACKENDS:
        try:
            backend_class(name)
        except EngineError as error:
            pytest.skip(f"the committed schema has the options of every backend; here {error.what}")
    for name in METRICS:
        metric_class(name)
    for path in write_schemas(tmp_path):
        committed = COMMITTED / path.name
        assert path.read_bytes() == committed.read_bytes(), "cure: make schemas"
    assert {path.name for path in COMMITTED.glob("*.json")} == {path.name for path in tmp_path.iterdir()}
