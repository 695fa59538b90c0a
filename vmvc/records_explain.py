"""The shape that ``vmvc explain --json`` prints: the lesson's tables, filled for one host from records."""

from __future__ import annotations

from pydantic import Field

from vmvc.records import VERSION, Record


class ExplainedCell(Record):
    """One thing on one condition: what was found and where that is recorded, or why it is not known."""

    text: str = Field(default="", description="What was found, in words and units; empty where it is absent.")
    value: float | None = Field(default=None, description="The figure, where the cell is one; in `unit`.")
    unit: str = Field(default="", description="`s`, `B` or `1`; empty where the cell is no figure.")
    source: tuple[str, ...] = Field(
        default=(),
        description="Where it is recorded: keys of run.json, or `METRIC.QUANTITY` of the journal's readings.",
    )
    reason: str = Field(default="", description="Why it is absent; empty where it is not.")


class ExplainedRow(Record):
    """One question of the lesson, answered for each column."""

    name: str = Field(description="What the row is about.")
    says: str = Field(description="What its cells tell, in one sentence.")
    cells: tuple[ExplainedCell, ...] = Field(description="One a column, in their order.")


class ExplainedTable(Record):
    """One table of the lesson."""

    name: str = Field(description="Short stable name: `layers`, `comparison` or `mechanisms`.")
    title: str = Field(description="Title for people.")
    rows: tuple[ExplainedRow, ...] = Field(description="From the bottom of the stack to its top.")


class ExplainedColumn(Record):
    """One condition of the run."""

    condition: str = Field(description="Condition: the backend and its factor levels.")
    backend: str = Field(description="Backend, by its name in the experiment.")
    kind: str = Field(default="", description="Kind of backend; empty where run.json does not say.")
    isolation: str = Field(default="", description="`none`, `container` or `vm`; empty where not known.")
    emulated: bool = Field(default=False, description="True for a machine without hardware virtualisation.")


class Explained(Record):
    """The lesson's tables for one run."""

    version: int = Field(default=VERSION, description="Version of this shape.")
    run: str = Field(description="Id of the run.")
    name: str = Field(description="Name of the experiment.")
    columns: tuple[ExplainedColumn, ...] = Field(description="What is compared, in file order.")
    tables: tuple[ExplainedTable, ...] = Field(description="The tables.")
    notes: tuple[str, ...] = Field(default=(), description="What to know before reading them.")
