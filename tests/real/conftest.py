"""Which real tests may run beside one another: those of a class or module share guests and stay together."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group of its class or module, unless it names one (that of the bare host)."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.rpartition("::")[0]))
