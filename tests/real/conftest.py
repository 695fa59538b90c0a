"""Which real tests may run beside one another: those of a class or module share guests and stay together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark also where pytest-xdist is not there: in the lab."""
    config.addinivalue_line("markers", "xdist_group: tests that stay together, in their order")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group of its class or module, unless it names one (that of the bare host)."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.rpartition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Refuse to run where pytest-xdist does not hold groups together: they would take one another's ports.

    A worker sends a test's group as the end of its id; pytest 9.2 no longer lets it.
    """
    if node.config.getoption("dist") == "loadgroup":
        alone = [one for one in ids if one.startswith("tests/real/") and "@" not in one]
        if alone:
            raise pytest.UsageError(f"pytest-xdist lost the groups of {alone[0]} and others")
