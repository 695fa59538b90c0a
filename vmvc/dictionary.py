"""The records' own declarations -> a dictionary of every column and key: unit, meaning and absence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vmvc.errors import EngineError
from vmvc.host.description import SAYS
from vmvc.records_about import About
from vmvc.records_claims import VerdictRecord
from vmvc.records_compare import ComparedRuns
from vmvc.records_journal import ReadingRecord, ResumeRecord, RunRecord, StopRecord, TrialRecord
from vmvc.records_summary import Summary, SummaryRow
from vmvc.registry import METRICS, metric_class
from vmvc.results_csv import ITERATION_COLUMNS, MEASUREMENT_COLUMNS, SERIES_COLUMNS, SUMMARY_COLUMNS

Row = tuple[str, str, str, str]
"""Name, unit, meaning, absence."""

FILES: Final[Mapping[str, tuple[type[BaseModel], ...]]] = {
    "journal.jsonl": (RunRecord, TrialRecord, StopRecord, ResumeRecord),
    "run.json": (About,),
    "summary.json": (Summary,),
    "claims.json": (VerdictRecord,),
    "vmvc compare --json": (ComparedRuns,),
}
"""File -> the models of its top level."""
SHARES: Final = frozenset(
    {
        *("failed_low", "failed_high", "relative", "wanted", "relative_ci", "tolerance", "confidence"),
        *("a12", "p", "p_adjusted", "tau_p", "quantile", "at", "within"),
    }
)
"""Keys whose values are shares of one."""
BARE: Final = frozenset({"ratio", "ratio_low", "ratio_high", "delta", "tau", "lag1", "statistic"})
"""Keys whose values have no unit."""
OWN_UNITS: Final = {
    "noise": "each by its name",
    "proof": "B",
    "pause": "s",
    "slope": "`unit` per `level_unit`",
    "slope_low": "`unit` per `level_unit`",
    "slope_high": "`unit` per `level_unit`",
    "at_ns": "ns",
    "repaired_bytes": "B",
    "rows": "each by its column",
}
"""Key -> its unit, where neither its type nor its meaning says it."""
OWN_COLUMNS: Final = {
    "iteration": ("1", "Place of the value among those of its trial, from 1.", "always there"),
    "discarded": (
        *("true or false", "True for an iteration that only warmed up, and is in no statistic."),
        "always there",
    ),
}
"""Column of a table that is no field of a record -> unit, meaning, absence."""
_SECONDS: Final = re.compile(r"\bseconds\b", re.IGNORECASE)
_ABSENT: Final = re.compile(r"(?:^|[;,.] )((?:absent|empty|none|null)\b[^;.]*)", re.IGNORECASE)


def dictionary() -> str:
    """Return the dictionary as Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield "# Result dictionary"
    yield ""
    yield (
        "Every column and key that a run leaves: unit, meaning, and what it means where it is not there. "
        "Written by `vmvc schema --dictionary` from the declarations in the code; a missing value is never 0."
    )
    yield ""
    yield (
        "Units: `s` seconds, `B` bytes, `1` a count or a ratio, and those of the table of quantities; "
        "`unit` means that the value is in the unit that stands beside it. In CSV an absent value is an "
        "empty cell, in JSON a key that is not there. A name in capitals and small letters is a table below."
    )
    for title, rows in _tables():
        yield from ("", f"## {title}", "")
        yield from table(("name", "unit", "meaning", "where it is absent"), rows)
    yield from ("", "## Quantities", "", "What `metric` and `quantity` name, of vmvc's own metrics.", "")
    yield from table(("quantity", "unit", "better", "meaning"), _quantities())
    told: set[type[BaseModel]] = set()
    for file, models in FILES.items():
        yield from ("", f"## `{file}`")
        for model in _with_parts(models):
            if model in told:
                continue
            told.add(model)
            yield from ("", f"### {model.__name__}", "", " ".join((model.__doc__ or "").split()), "")
            yield from table(("key", "unit", "meaning", "where it is absent"), _keys(model))
    yield from ("", "## Facts of the host", "")
    yield from ("Keys of `host` in `run.json`; one that the host does not show is absent.", "")
    yield from table(("key", "meaning"), ([f"`{name}`", says] for name, says in SAYS.items()))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


# --- CSV --------------------------------------------------------------------------------------------------


def _tables() -> Iterator[tuple[str, list[Row]]]:
    """Yield each CSV file: its columns are fields of records, and then a column a factor."""
    shapes = (TrialRecord, ReadingRecord, RunRecord)
    yield "`measurements.csv`", [*_columns(MEASUREMENT_COLUMNS, shapes), _factors()]
    yield "`summary.csv`", [*_columns(SUMMARY_COLUMNS, (SummaryRow,)), _factors()]
    yield "`iterations.csv`", [*_columns(ITERATION_COLUMNS, shapes), _factors()]
    yield "`series-METRIC.csv`", [
        *_columns(SERIES_COLUMNS, shapes),
        ("each column of the metric", "by `series.columns` in `journal.jsonl`", "What the metric took.",
         "it took none at that moment"),
        _factors(),
    ]  # fmt: skip


def _columns(names: Sequence[str], shapes: Sequence[type[BaseModel]]) -> Iterator[Row]:
    for name in names:
        if name in OWN_COLUMNS:
            yield f"`{name}`", *OWN_COLUMNS[name]
            continue
        field = next(shape.model_fields[name] for shape in shapes if name in shape.model_fields)
        yield _row(
            name, field, absent="there is no value; `journal.jsonl` says why" if name == "value" else ""
        )


def _factors() -> Row:
    return "each factor, by its path", "as in the experiment", "Its level.", "the factor does not apply"


def _quantities() -> Iterator[Sequence[str]]:
    for name in METRICS:
        try:
            declared = metric_class(name).quantities
        except EngineError:
            continue
        for one in declared:
            yield f"`{name}.{one.name}`", f"`{one.unit}`", one.better, one.says


# --- JSON -------------------------------------------------------------------------------------------------


def _with_parts(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """Return the models and all that they are made of, each once, in the order of reading."""
    found: dict[type[BaseModel], None] = {}

    def add(model: type[BaseModel]) -> None:
        if model not in found:
            found[model] = None
            for field in model.model_fields.values():
                for part in _models_in(field.annotation):
                    add(part)

    for model in models:
        add(model)
    return list(found)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _keys(model: type[BaseModel]) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        yield _row(field.alias or name.rstrip("_"), field)


def _row(name: str, field: FieldInfo, absent: str = "") -> Row:
    says = field.description or "As in the experiment."
    return f"`{name}`", unit_of(name, field), says, absent or _absence(field, says)


def _absence(field: FieldInfo, says: str) -> str:
    """Say what it means that the key is not there: by its own words, else by its default."""
    if field.is_required():
        return "always there"
    if found := _ABSENT.search(says):
        return found[1][0].lower() + found[1][1:]
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "there is none"
    return "empty where there is none" if default in ("", (), {}) else "always there"


def unit_of(name: str, field: FieldInfo) -> str:
    """Return the unit of a field, or what kind of thing it is."""
    parts = set(_leaves(field.annotation))
    inner = [f"`{model.__name__}`" for model in dict.fromkeys(_models_in(field.annotation))]
    if inner:
        return ", ".join(inner)
    if name in OWN_UNITS:
        return OWN_UNITS[name]
    if float not in parts:
        kinds = ((bool, "true or false"), (int, "1"), (str, "text"))
        return next((word for kind, word in kinds if kind in parts), "any")
    if str in parts:
        return "as in the experiment"
    if name in SHARES:
        return "1 (a share)"
    if name in BARE:
        return "1"
    says = field.description or ""
    return "s" if _SECONDS.search(says) else "`unit`"


def _leaves(annotation: Any) -> Iterator[type]:
    """Yield the plain types that an annotation is made of."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif origin in (Union, UnionType) or get_args(annotation):
        arguments = get_args(annotation)
        for part in arguments[1:] if origin is not None and _is_mapping(origin) else arguments:
            yield from _leaves(part)
    elif isinstance(annotation, type) and annotation not in (NoneType, type(...)):
        yield annotation


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)
