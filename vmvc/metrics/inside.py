"""A command -> what it printed in a guest, or why the guest cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vmvc.contract import Completed, Instance
from vmvc.errors import DeadlineExceeded, GuestDied, TrialError, Unavailable


def ask(instance: Instance, argv: Sequence[str], timeout: float) -> str | Unavailable:
    """Return what a command in the guest prints, or why it cannot be asked.

    Raises: GuestDied.
    """
    ended = run(instance, argv, timeout)
    if isinstance(ended, Unavailable):
        return ended
    if ended.returncode:
        said = " ".join(ended.stderr.decode(errors="replace").split())[-200:]
        return Unavailable(f"'{argv[0]}' in the guest ended with {ended.returncode}: {said}".rstrip(": "))
    return ended.stdout.decode(errors="replace")


def run(instance: Instance, argv: Sequence[str], timeout: float) -> Completed | Unavailable:
    """Return how a command in the guest ended, whatever its exit code, or why it did not run.

    Raises: GuestDied.
    """
    return told(argv[0], lambda: instance.run(argv, timeout=timeout))


def told(name: str, run: Callable[[], Completed]) -> Completed | Unavailable:
    """Return how the command of that name, which ``run`` runs or waits for, ended, or why it did not run.

    Raises: GuestDied.
    """
    try:
        ended = run()
    except GuestDied:
        raise
    except Unavailable as reason:
        return reason
    except DeadlineExceeded as error:
        return Unavailable(error.what)
    except TrialError as error:
        return Unavailable(f"'{name}' cannot be run in the guest: {error.what}")
    if ended.returncode == 127:
        return Unavailable(f"the guest has no command '{name}'")
    return ended
