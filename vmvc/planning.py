"""A loaded experiment -> its plan."""

from __future__ import annotations

from collections.abc import Sequence

from vmvc.contract import Observes
from vmvc.loading import Loaded
from vmvc.plan import Plan, group_metrics


def plan_of(loaded: Loaded, *, only: Sequence[str] = (), count: int | None = None) -> Plan:
    """Return the plan of an experiment; ``count`` overrides its number of measured trials or stop rule."""
    settings = loaded.experiment.trials
    if count is not None:
        settings = settings.model_copy(update={"count": count, "until": None})
    axes = {name: loaded.axes(name) for name in loaded.experiment.backends}
    loading = [
        metric.name for metric in loaded.metrics if metric.loads_guest or metric.observes is Observes.FLEET
    ]
    groups = group_metrics([metric.name for metric in loaded.metrics], loading)
    return Plan(axes, groups, settings, tuple(only), loaded.include, loaded.exclude)
