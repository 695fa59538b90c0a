"""The example notebook runs on the reference run, and shows what it is kept with."""

from __future__ import annotations

import warnings

import nbformat

from tests.notebook import NOTEBOOK, executed, outputs


def test_the_notebook_runs_and_its_outputs_are_those_that_are_kept() -> None:
    kept = nbformat.read(NOTEBOOK, as_version=4)
    assert NOTEBOOK.stat().st_size < 60_000
    assert all(outputs(kept)), "every cell shows something; make notebook writes them"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the kernel's own libraries.
        assert outputs(executed()) == outputs(kept)
