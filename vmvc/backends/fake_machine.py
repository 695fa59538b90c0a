"""Names in a script -> machines that "existed before": off, or running by somebody else's doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from vmvc.contract import Guest
from vmvc.errors import Fault, InputError
from vmvc.wording import did_you_mean

State = Literal["off", "running", "saved"]


def look_up(machines: Mapping[str, State], guest: Guest) -> None:
    """Find the machine that the guest names; a guest that names none passes.

    Raises: InputError where it is not there, or not in the state that the guest needs.
    """
    name = guest.machine
    if name is None:
        return
    if name not in machines:
        hint = did_you_mean(name, machines) or "name one in options.machines"
        raise InputError(Fault(f"there is no machine {name!r}", hint=hint))
    state = machines[name]
    if state == "saved":
        what = f"the machine {name!r} has a saved state, which a start would use up"
        raise InputError(Fault(what, hint="start it and shut it down once, or discard the saved state"))
    if state == "running" and not guest.attach:
        what = f"the machine {name!r} runs already"
        raise InputError(Fault(what, hint="shut it down, or only observe it: guest.attach: true"))
    if state == "off" and guest.attach:
        what = f"the machine {name!r} does not run, and guest.attach only observes"
        raise InputError(Fault(what, hint="start it, or leave guest.attach out"))
