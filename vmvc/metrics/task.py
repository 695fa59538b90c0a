"""A task: a command, how it is run, and how numbers are read from what it prints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from vmvc.contract import Options
from vmvc.parsing import Parse, by_csv, by_json, by_line, by_regex
from vmvc.spec import Argument, Command, EnvName, GuestPath, Port
from vmvc.spec_model import schema_of_exactly_one
from vmvc.units import UNITS, unit_named

PARSERS: Final = ("regex", "json", "csv", "lines")
_UNIT_NAMES: Final = tuple(dict.fromkeys(name for names in UNITS.values() for name in names))


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise PydanticCustomError(
            "regex", "expected a regular expression ({why})", {"why": str(error)}
        ) from error
    if groups != 1:
        raise PydanticCustomError(
            "regex", "expected one group (...) around the number, got {groups}", {"groups": groups}
        )
    return text


def _unit(name: str) -> str:
    if unit_named(name) is None:
        raise PydanticCustomError("unit", "expected one of {units}", {"units": ", ".join(_UNIT_NAMES)})
    return name


class Cell(Options):
    """A cell of a table with a header."""

    column: str = Field(min_length=1, max_length=200, description="Name of the column.")
    row: int | None = Field(
        default=None, ge=1, le=10**6, description="Row below the header, from 1; by default the only one."
    )


class Word(Options):
    """A word of a line; lines that hold nothing do not count."""

    line: int | None = Field(
        default=None,
        ge=-(10**6),
        le=10**6,
        json_schema_extra={"not": {"const": 0}},
        description="Line, from 1, or from -1 for the last; by default the only one.",
    )
    field: int | None = Field(
        default=None, ge=1, le=10**4, description="Word of the line, from 1; by default the only one."
    )

    @model_validator(mode="after")
    def _some_line(self) -> Word:
        if self.line == 0:
            raise PydanticCustomError("line", "lines count from 1, or from -1 for the last")
        return self


class Wanted(Options):
    """One number that the command gives: its meaning, and exactly one way to find it."""

    model_config = ConfigDict(
        serialize_by_alias=True,
        populate_by_name=True,
        json_schema_extra=schema_of_exactly_one(PARSERS),
    )

    unit: Annotated[str, AfterValidator(_unit), Field(json_schema_extra={"enum": list(_UNIT_NAMES)})] = Field(
        default="1", description="Unit in which the command gives it, such as `ms`, `MiB/s` or `1/s`."
    )
    better: Literal["lower", "higher", "neutral"] = Field(
        default="neutral", description="Which direction is better."
    )
    says: str = Field(default="", max_length=300, description="Meaning, in one sentence.")
    file: Annotated[str, Field(pattern=r"^(stdout|stderr)$")] | GuestPath = Field(
        default="stdout", description="Where it stands: `stdout`, `stderr`, or a file in the guest."
    )
    regex: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_pattern)] | None = Field(
        default=None, description="Regular expression that matches once; its one group is the number."
    )
    json_: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        alias="json",
        description="Keys and places (from 0) in a JSON document: `jobs.0.read.iops`; a point of a key "
        "has a backslash before it.",
    )
    csv: Cell | None = Field(default=None, description="Which cell of a table with a header it is.")
    lines: Word | None = Field(default=None, description="Which word of which line it is.")

    @model_validator(mode="after")
    def _one_way(self) -> Wanted:
        given = [name for name in ("regex", "json_", "csv", "lines") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError("exactly_one", "expected exactly one of regex, json, csv, lines")
        return self

    def parser(self) -> Parse:
        """Return what reads the number, in the unit that the command gives it in."""
        if self.regex is not None:
            return by_regex(self.regex)
        if self.json_ is not None:
            return by_json(self.json_)
        if self.csv is not None:
            return by_csv(self.csv.column, self.csv.row)
        word = self.lines or Word()
        return by_line(word.line, word.field)


QuantityName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
OWN: Final = ("wall", "exec_cost", "exit_code")
"""Quantities that every workload has, or may have."""


class Task(Options):
    """What is run, and what is read from it; a preset is one, and an experiment may write its own."""

    command: Command = Field(
        description="Command to run (argv, no shell). `{threads}`, `{seconds}`, `{size}`, `{memory}`, "
        "`{host}` and `{port}` in an argument are replaced."
    )
    on: Literal["guest", "host"] = Field(
        default="guest",
        description="Where it runs: in the guest, or on the host against the guest's `port`.",
    )
    port: Port | None = Field(
        default=None, description="Guest port for `{host}` and `{port}`; by default the one of readiness."
    )
    stdin: str = Field(default="", max_length=2**20, description="What the command reads.")
    env: Mapping[EnvName, Argument] = Field(
        default_factory=dict, description="Environment variables for the command."
    )
    setup: Command | None = Field(
        default=None, description="Command that runs once in the guest before the first iteration, untimed."
    )
    teardown: Command | None = Field(
        default=None, description="Command that runs once in the guest after the last one, untimed."
    )
    quantities: Mapping[QuantityName, Wanted] = Field(
        default_factory=dict, description="Numbers that the command gives, by name."
    )


_NOWHERE: Final = re.compile(r"\b(if|of)=/dev/(zero|null)\b")


def refuse(task: Task) -> None:
    """Refuse what is no measurement of what it looks like, with the reason."""
    if taken := sorted(set(task.quantities) & set(OWN)):
        raise PydanticCustomError(
            "workload", "run.quantities: {name} is a quantity of every workload", {"name": taken[0]}
        )
    text = " ".join(task.command)
    if re.search(r"(^|[\s/;&|])dd\s", text):
        ends = {match[1]: match[2] for match in _NOWHERE.finditer(text)}
        reads, writes = re.search(r"\bif=", text), re.search(r"\bof=", text)
        if ends.get("if") and (ends.get("of") or not writes):
            raise PydanticCustomError(
                "workload",
                "run.command: dd from {end} to nowhere is no I/O: no disk takes part, it copies memory and "
                "makes system calls (use: fio-seqread reads a disk, syscall makes system calls)",
                {"end": f"/dev/{ends['if']}"},
            )
        if ends.get("if") and not re.search(r"conv=\S*sync|flag=\S*(direct|sync)", text):
            raise PydanticCustomError(
                "workload",
                "run.command: dd without conv=fdatasync writes to the page cache, not to the disk "
                "(use: fio-seqwrite, or add conv=fdatasync)",
            )
        if ends.get("of") and reads and not re.search(r"iflag=\S*direct", text):
            raise PydanticCustomError(
                "workload",
                "run.command: dd to {end} without iflag=direct reads from the page cache, not from the disk "
                "(use: fio-seqread, or add iflag=direct)",
                {"end": f"/dev/{ends['of']}"},
            )
    if re.search(r"(^|[\s/;&|])tar\s.*(-[a-zA-Z]*f\s*|--file[= ])/dev/null\b", text):
        raise PydanticCustomError(
            "workload",
            "run.command: tar reads no file where its archive is /dev/null, it only looks at names "
            "(let it write to a pipe: tar --create DIR | wc --bytes)",
        )
    if re.search(r"--ioengine[= ]null\b|--filename[= ]/dev/(null|zero)\b", text):
        raise PydanticCustomError(
            "workload", "run.command: fio on a null engine or device is no I/O (use: fio-randread)"
        )
