"""What backends and metrics promise alike: options, names, sentences."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Iterable, Mapping

from vmvc.contract import Finding, Options, Severity

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
CODE = re.compile(r"[a-z0-9-]+(\.[a-z0-9_-]+)+")


def check_options(options: Options) -> None:
    """Options are frozen, closed, described, and come back from JSON as they were."""
    model = type(options)
    assert model.model_config.get("frozen"), f"{model.__name__} must be frozen"
    assert model.model_config.get("extra") == "forbid", f"{model.__name__} must refuse unknown keys"
    bare = [name for name, field in model.model_fields.items() if not field.description]
    assert not bare, f"options without a description: {bare}"
    assert model.model_validate_json(options.model_dump_json(by_alias=True, exclude_none=True)) == options
    assert model.model_json_schema(), "options have a JSON Schema"


def check_pickle(thing: object) -> None:
    """A plug-in's object reaches the child process whole."""
    copy = pickle.loads(pickle.dumps(thing))
    assert type(copy) is type(thing)
    assert vars(copy) == vars(thing)


def check_sentence(text: str) -> None:
    assert text.strip() == text
    assert text
    assert "\n" not in text


def check_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        assert isinstance(finding.severity, Severity)
        assert CODE.fullmatch(finding.code), finding
        assert finding.what, finding
        assert finding.remedy, f"a finding names its remedy: {finding}"


def check_facts(facts: Mapping[str, object]) -> None:
    """Facts are JSON scalars, and none stands for "unknown"."""
    for name, value in facts.items():
        assert isinstance(name, str)
        assert name
        assert isinstance(value, str | int | float | bool), f"{name} is not a scalar: {value!r}"
        assert not isinstance(value, float) or math.isfinite(value), f"{name} is no number: {value!r}"
