"""A command -> units for a machine that boots through systemd; the machine ends when the command ends."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from vmvc.images.archive import Item, file, link
from vmvc.images.root import Identity

_RUN: Final = "vmvc/run"
"""What becomes /run of the machine, as a folder of the initramfs."""

_UNIT: Final = """\
[Unit]
Description=The guest's command
SuccessAction=poweroff
FailureAction=poweroff

[Service]
ExecStart=/run/vmvc/command
ExecStopPost=+/bin/sh -c 'echo "vmvc: command ended with $$EXIT_STATUS" >/dev/console'
User={uid}
Group={gid}
KillSignal={signal}
StandardOutput=journal+console
StandardError=journal+console
"""

_AGENT: Final = """\
# The agent may miss a SIGTERM that comes while it starts; the machine would then wait 90 s for it.
[Service]
KillSignal=SIGKILL
"""


def files(
    argv: Sequence[str], env: Mapping[str, str], identity: Identity, workdir: str, stop_signal: str
) -> list[Item]:
    """Return the files for the initramfs that run a command, where there is one, and let the machine end."""
    agent = file(f"{_RUN}/systemd/system/qemu-guest-agent.service.d/vmvc.conf", _AGENT)
    if not argv:
        return [agent]
    environment = [f"{name}={value}" for name, value in env.items()]
    script = (
        "#!/bin/sh\necho 'vmvc: exec'\n"
        f"cd {shlex.quote(workdir)} && exec {shlex.join(['env', '-i', *environment, *argv])}\n"
    )
    unit = _UNIT.format(uid=identity.uid, gid=identity.gid, signal=stop_signal)
    return [
        agent,
        file(f"{_RUN}/vmvc/command", script.encode(errors="surrogateescape"), 0o755),
        file(f"{_RUN}/systemd/system/vmvc-command.service", unit),
        link(
            f"{_RUN}/systemd/system/multi-user.target.wants/vmvc-command.service", "../vmvc-command.service"
        ),
    ]
