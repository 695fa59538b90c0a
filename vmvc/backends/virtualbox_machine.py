"""The UUID of any machine of VirtualBox -> its end: in an orderly way, by force, and out of the registry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from vmvc.backends import virtualbox_host
from vmvc.backends.virtualbox_manage import STARTS_WITHIN, TAKEN, Hangs, Manage, NotFound
from vmvc.backends.virtualbox_process import Process
from vmvc.backends.virtualbox_settings import GROUP, read_tag
from vmvc.contract import LABEL, Tag
from vmvc.errors import DeadlineExceeded, StepFailed

PRESS_EVERY: Final = 10.0
"""Seconds between presses of the power button: a guest that still boots does not feel it."""
LETS_GO_WITHIN: Final = 30.0
"""Seconds for VirtualBox's daemon to take note of a machine's end."""


def start(manage: Manage, identity: str) -> None:
    """Have a machine run.

    Raises: StepFailed, which names what else may have VT-x or AMD-V where that is the cause.
    """
    try:
        manage.run(
            *("startvm", identity, "--type", "headless"), doing="start the machine", patience=STARTS_WITHIN
        )
    except StepFailed as error:
        if error.hint != TAKEN:
            raise
        what = f"another hypervisor has VT-x or AMD-V ({virtualbox_host.others()}): {error.what}"
        raise StepFailed(what, hint=error.hint) from error


def press_until_gone(manage: Manage, identity: str, process: Process, timeout: float) -> None:
    """Press the power button again and again, until the process has ended.

    Raises: DeadlineExceeded; StepFailed where the button cannot be pressed.
    """
    deadline = time.monotonic() + timeout
    failed: StepFailed | None = None
    while process.alive():
        left = deadline - time.monotonic()
        if left <= 0:
            raise _late(timeout, failed) from failed
        try:
            manage.run(
                *("controlvm", identity, "acpipowerbutton"),
                doing="press the power button",
                patience=min(manage.patience, left),
            )
            failed = None
        except Hangs as error:
            failed = error
        except StepFailed:
            # It may be ending just now.
            if not process.wait(PRESS_EVERY):
                raise
        process.wait(min(PRESS_EVERY, max(0.0, deadline - time.monotonic())))


def _late(timeout: float, failed: StepFailed | None) -> DeadlineExceeded:
    if failed is not None:
        return DeadlineExceeded(failed.what, hint=failed.hint)
    return DeadlineExceeded(
        f"the guest did not power off within {timeout:g} s of its power button",
        hint="let its command heed the stop signal, or raise trials.stop_timeout",
    )


def end(manage: Manage, identity: str) -> None:
    """Cut the power of a machine that runs, by VirtualBox or, where it does not obey, by the kernel.

    Raises: StepFailed.
    """
    process = Process.of(identity)
    if process is None:
        return
    patience = LETS_GO_WITHIN
    try:
        manage.run("controlvm", identity, "poweroff", doing="cut the machine's power")
    except Hangs:
        patience = 0.0
    except StepFailed:
        pass  # it may be ending just now
    if not process.wait(patience):
        process.kill()


def forget(manage: Manage, identity: str) -> None:
    """Have VirtualBox know the machine and its disks no more; the files stay.

    Raises: StepFailed.
    """
    deadline = time.monotonic() + LETS_GO_WITHIN
    while True:
        try:
            manage.run("unregistervm", identity, doing="let go of the machine")
        except NotFound:
            return
        except Hangs:
            raise
        except StepFailed:
            # Its daemon may not have noticed the end of the machine yet.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def find(manage: Manage, tag: Tag) -> str:
    """Return the UUID of the machine that carries a tag; empty where there is none."""
    return next((identity for found, identity in tagged(manage) if found == tag), "")


def tagged(manage: Manage) -> Iterator[tuple[Tag, str]]:
    """Return tag and UUID of every machine that VirtualBox knows and vmvc has made.

    Raises: EngineError, StepFailed.
    """
    for name, identity in manage.machines():
        if not name.startswith(f"{LABEL}-"):
            continue
        with suppress(NotFound):
            shown = manage.show(identity)
            tag = read_tag(shown.get("description", ""))
            if tag is not None and tag.name == name and shown.get("groups") == GROUP:
                yield tag, identity
