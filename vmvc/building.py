"""An experiment in Python, as mappings, lists and numbers or as models -> the same as its file would give.

It is written as JSON, which the language of the files is a notation for, and goes the files' way from there:
the same validation, the same defaults, the same complaints. Their place is a key instead of a line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from vmvc import loading
from vmvc.errors import Fault, InputError
from vmvc.loading import Loaded
from vmvc.notation import DEEPEST, Node, Place, in_order, read_tree
from vmvc.spec import Experiment

Source = Path | str | Mapping[str, Any] | Experiment | Loaded
"""A file's path, what a file would say, or an experiment that has been read or built already."""

NAME: Final = "experiment"
"""What stands for a file's name in messages."""


def load_experiment(source: Source, *, folder: str | Path = ".") -> Loaded:
    """Return a checked experiment; ``folder`` anchors the relative paths of one that is no file.

    Raises: InputError with every fault; EngineError where it is good and a plug-in cannot be imported.
    """
    match source:
        case Loaded():
            return source
        case str() | Path():
            return loading.read(Path(source))
        case Experiment():
            given: object = source.model_dump(mode="json", by_alias=True, exclude_unset=True)
        case _:
            given = source
    faults = list(_foreign(given, (), 0))
    if faults:
        raise InputError(faults)
    text = json.dumps(_plain(given), ensure_ascii=False, indent=1).encode()
    try:
        return loading.loads(text, NAME, Path(folder).absolute())
    except InputError as error:
        raise InputError(_placed(error.faults, text)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _foreign(value: object, path: tuple[str | int, ...], depth: int) -> Iterator[Fault]:
    """Yield what no file could say."""
    where = f"{NAME}: {_write(path)}" if path else NAME
    hint = "give text, numbers, true or false, and mappings and lists of them"
    if depth > DEEPEST:
        yield Fault(f"nested deeper than {DEEPEST} levels", where, hint="does it hold itself?")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(key, str):
                yield from _foreign(one, (*path, key), depth + 1)
            else:
                yield Fault(
                    f"expected text as a key, got {key!r:.80}", where, hint="put it in quotation marks"
                )
    elif isinstance(value, (list, tuple)):
        for at, one in enumerate(value):
            yield from _foreign(one, (*path, at), depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Fault(
            f"expected a finite number, got {value!r}", where, hint="leave it out where there is none"
        )
    elif not isinstance(value, (str, bool, int, float)):
        what = "nothing" if value is None else f"{type(value).__name__} {value!r:.80}"
        yield Fault(f"expected what a file can say, got {what}", where, hint=hint)
    elif isinstance(value, str) and any(0xD800 <= ord(one) <= 0xDFFF for one in value):
        yield Fault(f"expected text, got half a character in {value!r:.80}", where, hint="mend its encoding")


def _placed(faults: Sequence[Fault], text: bytes) -> list[Fault]:
    """Name keys instead of lines, which nobody has seen."""
    root, _ = read_tree(text, NAME)
    places = dict(_places(root, ())) if root is not None else {}
    placed = []
    for fault in in_order(faults):
        path = places.get((fault.line or 0, fault.column or 0), ())
        source = f"{fault.source}: {_write(path)}" if path else fault.source
        placed.append(replace(fault, source=source, line=None, column=None))
    return placed


def _places(node: Node, path: tuple[str | int, ...]) -> Iterator[tuple[Place, tuple[str | int, ...]]]:
    yield node.place, path
    if isinstance(node.value, list):
        for at, one in enumerate(node.value):
            yield from _places(one, (*path, at))
    for key, place, one in node.items():
        yield place, (*path, key)
        yield from _places(one, (*path, key))


def _write(path: Sequence[str | int]) -> str:
    """Write a path as people do: ``claims[2].says``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
