"""The contract tests that every backend and metric, ours or a third party's, must pass; they need pytest.

Inherit, fill in the hooks, and let pytest collect the class::

    from vmvc.testing import BackendContract

    class TestMyBackend(BackendContract):
        def backend(self) -> Backend:
            return MyBackend("mine", MyOptions())
"""

import pytest

_PARTS = ("object", "life", "tags", "inside", "sight")
_REWRITTEN = ("lives", "machine", "metric", "plugin", *(f"backend_{part}" for part in _PARTS))
pytest.register_assert_rewrite(*(f"vmvc.testing.{name}" for name in _REWRITTEN))

from vmvc.testing.backend import BackendContract  # noqa: E402 - only what comes now is rewritten
from vmvc.testing.machine import MachineContract  # noqa: E402
from vmvc.testing.metric import MetricContract  # noqa: E402

__all__ = ["BackendContract", "MachineContract", "MetricContract"]
