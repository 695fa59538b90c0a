"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from vmvc.errors import Fault, InputError
from vmvc.unpacking import is_bundle

only_option = click.option(
    "--only", multiple=True, metavar="WHICH",
    help="A backend's name or a pattern of condition ids, such as '*memory=1GiB'; may be repeated.",
)  # fmt: skip
trials_option = click.option(
    "--trials",
    type=click.IntRange(1, 10**6),
    metavar="N",
    help="Measured trials of each condition, instead of the file's number or stop rule.",
)
strict_option = click.option("--strict", is_flag=True, help="Exit with 1 where a claim is refuted.")
force_option = click.option("--force", is_flag=True, help="Replace files that exist.")


def refuse_bundle(path: Path, what: str, hint: str) -> None:
    """Refuse to write into a bundle, which is only read.

    Raises: InputError.
    """
    if is_bundle(path):
        raise InputError(Fault(what, str(path), hint=hint))


def refuse_existing(paths: Sequence[Path], force: bool) -> None:
    """Refuse to replace files unless that was asked for.

    Raises: InputError naming each that exists.
    """
    there = [path for path in paths if path.exists()]
    if there and not force:
        raise InputError(
            [Fault("exists already", str(path), hint="add --force to replace it") for path in there]
        )
