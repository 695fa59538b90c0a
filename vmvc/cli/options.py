"""Options that several commands share."""

from __future__ import annotations

import click

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
