"""The contract tests that every backend and metric, ours or a third party's, must pass; they need pytest.

Inherit, fill in the hooks, and let pytest collect the class::

    from vmvc.testing import BackendContract

    class TestMyBackend(BackendContract):
        def backend(self) -> Backend:
            return MyBackend("mine", MyOptions())
"""

import pytest

pytest.register_assert_rewrite(
    *("vmvc.testing.backend", "vmvc.testing.machine", "vmvc.testing.metric", "vmvc.testing.plugin")
)

from vmvc.testing.backend import BackendContract  # noqa: E402 - only what comes now is rewritten
from vmvc.testing.machine import MachineContract  # noqa: E402
from vmvc.testing.metric import MetricContract  # noqa: E402

__all__ = ["BackendContract", "MachineContract", "MetricContract"]
