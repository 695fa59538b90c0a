"""A plan's metrics and guests -> what the metrics lack in them, before the first trial."""

from __future__ import annotations

from vmvc.contract import Finding, Metric, Severity
from vmvc.errors import Fault, InputError
from vmvc.loading import Loaded
from vmvc.plan import Plan


def lacks(loaded: Loaded, plan: Plan) -> list[Finding]:
    """Return what the metrics find lacking in the plan's guests, each thing once.

    Raises: InputError naming every metric that such a guest cannot serve, with its remedy.
    """
    asking = [metric for metric in loaded.metrics if type(metric).check is not Metric.check]
    if not asking:
        return []
    guests = {
        id(guest): guest for guest in (loaded.bind(one.backend, one.factors)[1] for one in plan.conditions)
    }
    found = [
        (metric.name, finding)
        for metric in asking
        for guest in guests.values()
        for finding in metric.check(guest)
    ]
    errors = dict.fromkeys((name, one) for name, one in found if one.severity is Severity.ERROR)
    if errors:
        raise InputError([Fault(f"metrics.{name}: {one.what}", hint=one.remedy) for name, one in errors])
    return list(dict.fromkeys(finding for _, finding in found))
