"""The models -> JSON Schemas (draft 2020-12), as strict as the models where a schema can be.

What it cannot say: that 1.0 is no whole number, and whatever refers from one place of a file to another
(images, kinds and metrics by name, factor paths and their levels, the parts of a claim).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from vmvc.contract import Backend, Metric
from vmvc.errors import EngineError
from vmvc.records_about import About
from vmvc.records_claims import VERDICTS
from vmvc.records_compare import ComparedRuns
from vmvc.records_explain import Explained
from vmvc.records_journal import JOURNAL_LINE
from vmvc.records_summary import Summary
from vmvc.registry import BACKENDS, METRICS, backend_class, metric_class
from vmvc.spec import Experiment
from vmvc.units import Duration, Percent, Size

_Plugin = TypeVar("_Plugin", Backend, Metric)
Schema = dict[str, Any]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_ANY_VALUE: Final[Schema] = {
    "description": "Any value; there is no null.",
    "anyOf": [
        {"type": ["string", "number", "boolean"]},
        {"type": "array", "items": {"$ref": "#/$defs/JsonValue"}},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/JsonValue"}},
    ],
}
_KIND: Final[Schema] = {
    "type": "string",
    "description": "Kind of metric; by default the name it has in this file.",
}
_AMOUNTS: Final[Mapping[str, Schema]] = {
    "Duration": TypeAdapter(Duration).json_schema(),
    "Percent": TypeAdapter(Percent).json_schema(),
    "Size": TypeAdapter(Size).json_schema(),
}


class _Generator(GenerateJsonSchema):
    """No null (an absent key is absent), closed mappings, defaults as a file would write them, no titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if "default" in made and made["default"] is None:
            del made["default"]
        inner: Any = schema["schema"]
        while self.mode == "validation" and "default" in made and isinstance(inner, dict):
            if inner.get("serialization", {}).get("type") == "function-plain":
                made["default"] = inner["serialization"]["function"](made["default"])
                break
            inner = inner.get("schema")
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        made.pop("patternProperties", None)
        values = self.generate_inner(schema["values_schema"]) if "values_schema" in schema else {}
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        names = {"propertyNames": keys} if keys.keys() - {"type"} else {}
        return {**made, "additionalProperties": values, **names}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def experiment_schema() -> Schema:
    """Return the schema of an experiment file, with the options of every built-in backend and metric.

    Backends and metrics of third parties are open in it, as are built-in ones that cannot be imported here.
    """
    backends = dict(_plugins(BACKENDS, backend_class))
    metrics = dict(_plugins(METRICS, metric_class))
    plugins: list[type[Backend] | type[Metric]] = [*backends.values(), *metrics.values()]
    models: dict[type[BaseModel], None] = dict.fromkeys(
        (Experiment, *(plugin.options_model for plugin in plugins))
    )
    refs, made = models_json_schema([(model, "validation") for model in models], schema_generator=_Generator)
    definitions = {**made["$defs"], **_AMOUNTS, "JsonValue": _ANY_VALUE}
    root = definitions.pop("Experiment")

    def options(plugin: type[Backend] | type[Metric]) -> Schema:
        return {"description": plugin.says, **refs[plugin.options_model, "validation"]}

    definitions["BackendSpec"]["allOf"] = [
        {"if": _has_kind(kind), "then": {"properties": {"options": options(plugin)}}}
        for kind, plugin in backends.items()
    ]
    _settings_by_name(root, "backends")["properties"] = {
        kind: {
            "description": plugin.says,
            "$ref": "#/$defs/BackendSpec",
            "if": {"not": {"required": ["kind"]}},
            "then": {"properties": {"options": options(plugin)}},
        }
        for kind, plugin in backends.items()
    }
    for plugin in metrics.values():
        model = definitions[refs[plugin.options_model, "validation"]["$ref"].rpartition("/")[2]]
        model.setdefault("properties", {})["kind"] = _KIND
    by_name = _settings_by_name(root, "metrics")
    by_name["properties"] = {
        name: {**options(plugin), **_same_kind(name)} for name, plugin in metrics.items()
    }
    by_name["additionalProperties"] = {
        **by_name["additionalProperties"],
        "allOf": [{"if": _has_kind(name), "then": options(plugin)} for name, plugin in metrics.items()],
    }
    return {
        "$schema": _DRAFT,
        "title": "vmvc experiment",
        **_tidy(root),
        "$defs": {name: _tidy(definitions[name], name) for name in sorted(definitions)},
    }


def _same_kind(name: str) -> Schema:
    """Return what keeps the name of one metric from being given to another."""
    return {"not": {"properties": {"kind": {**_KIND, "not": {"const": name}}}, "required": ["kind"]}}


def journal_schema() -> Schema:
    """Return the schema of one line of ``journal.jsonl``."""
    return _records_schema(JOURNAL_LINE, "vmvc journal: one line")


def summary_schema() -> Schema:
    """Return the schema of ``summary.json``."""
    return _records_schema(TypeAdapter(Summary), "vmvc summary")


def claims_schema() -> Schema:
    """Return the schema of ``claims.json``."""
    return _records_schema(VERDICTS, "vmvc claims")


def explain_schema() -> Schema:
    """Return the schema of what ``vmvc explain --json`` prints."""
    return _records_schema(TypeAdapter(Explained), "vmvc explain")


def run_schema() -> Schema:
    """Return the schema of ``run.json``."""
    return _records_schema(TypeAdapter(About), "vmvc run")


def compare_schema() -> Schema:
    """Return the schema of what ``vmvc compare --json`` prints."""
    return _records_schema(TypeAdapter(ComparedRuns), "vmvc comparison of runs")


SCHEMAS: Final[Mapping[str, Callable[[], Schema]]] = {
    "experiment": experiment_schema,
    "journal": journal_schema,
    "summary": summary_schema,
    "claims": claims_schema,
    "explain": explain_schema,
    "compare": compare_schema,
    "run": run_schema,
}
"""Name of a file in ``schemas/`` -> what makes its schema."""


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema as ``NAME.schema.json``; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, make in SCHEMAS.items():
        path = folder / f"{name}.schema.json"
        path.write_text(json.dumps(make(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _plugins(
    table: Mapping[str, str], plugin_class: Callable[[str], type[_Plugin]]
) -> Iterator[tuple[str, type[_Plugin]]]:
    for name in sorted(table):
        try:
            yield name, plugin_class(name)
        except EngineError:
            continue


def _has_kind(kind: str) -> Schema:
    return {"properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _settings_by_name(root: Schema, key: str) -> Schema:
    """Return the form of ``backends`` or ``metrics`` that is a mapping; the other is a list of names."""
    names, settings = root["properties"][key]["oneOf"]
    names["uniqueItems"] = True
    return cast(Schema, settings)


def _records_schema(adapter: TypeAdapter[Any], title: str) -> Schema:
    made = _tidy(adapter.json_schema(mode="serialization", schema_generator=_Generator))
    text = json.dumps(made)
    amounts = {name: says for name, says in _AMOUNTS.items() if f'"#/$defs/{name}"' in text}
    return {
        "$schema": _DRAFT,
        "title": title,
        **{key: value for key, value in made.items() if key != "title"},
        "$defs": dict(sorted({**made["$defs"], **amounts}.items())),
    }


def _tidy(part: Any, name: str = "") -> Any:
    """Drop generated titles, and write an amount as a reference to its definition."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("title"), str):
        part = {key: value for key, value in part.items() if key != "title"}
    for amount, says in _AMOUNTS.items():
        if amount != name and part.get("pattern") == says["pattern"]:
            rest = {key: value for key, value in part.items() if key not in says}
            return {"$ref": f"#/$defs/{amount}", **rest}
    return {key: _tidy(value) for key, value in part.items()}
