"""The recipe ``debian:SUITE`` with packages, services and files -> a root file system, made by mmdebstrap.

Every such root holds systemd with the guest agent, whether or not a machine boots it: the root stays the same
one for all backends. It holds no kernel. Only the listed services are enabled, and no timers.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from vmvc.images import archive, cache, tool
from vmvc.images.root import PATH, Config
from vmvc.spec import RecipeImage

log = logging.getLogger(__name__)

FORMAT: Final = 1
"""Raised whenever the same recipe gives another root file system."""

INIT: Final = ("systemd", "systemd-sysv", "udev", "dbus", "qemu-guest-agent")
"""What a machine needs to boot through systemd and to be reached inside."""

STARTER: Final = "/usr/local/sbin/vmvc-services"
"""The default command of an image with services."""

_MISSING: Final = re.compile(
    r"Unable to locate package (\S+)|Package '?([a-z0-9][^\s']*)'? has no installation"
)
_NO_SERVICE: Final = re.compile(r"vmvc: no init script for (\S+), there are: (.*)")


def build(image: RecipeImage) -> tuple[str, Config]:
    """Return the digest and configuration; the tar is in the cache then (some 40 s when it is built).

    Raises: ImageError.
    """
    recipe = image.model_dump(mode="json", include={"base", "packages", "services", "files"})
    architecture = tool.run(["dpkg", "--print-architecture"], doing="ask dpkg for the architecture").decode()
    digest = cache.digest_of("debian", FORMAT, architecture.strip(), recipe, _starter(), INIT)
    cache.note_recipe(digest, recipe)
    cache.once(cache.image_folder(digest) / cache.ROOT, lambda path: _bootstrap(image, digest, path))
    command = (STARTER, *image.services) if image.services else ()
    return digest, Config(command=command, env=(("PATH", PATH),))


def _bootstrap(image: RecipeImage, digest: str, path: Path) -> None:
    suite = image.base.partition(":")[2]
    packages = dict.fromkeys((*INIT, *image.packages))
    log.info(
        "building debian:%s with %s (about 40 s)", suite, " ".join(image.packages) or "no packages of its own"
    )
    with tempfile.TemporaryDirectory(prefix="vmvc-") as name:
        staged = Path(name)
        staged.chmod(0o755)
        hook = staged / "customize"
        hook.write_text(customize(image, digest, staged))
        hook.chmod(0o755)
        root = os.geteuid() == 0
        tool.run(
            [
                *(
                    "mmdebstrap",
                    "--variant=minbase",
                    f"--mode={'root' if root else 'unshare'}",
                    "--format=tar",
                ),
                f"--include={','.join(packages)}",
                f"--customize-hook={hook}",
                *(suite, path),
                *sources(suite),
            ],
            doing=f"build debian:{suite}",
            env={"SOURCE_DATE_EPOCH": "1"},
            hint=lambda said: hint_of(said, suite, root=root),
            progress=lambda line: log.info("%s", line) if line.startswith("I: ") else log.debug("%s", line),
        )


def sources(suite: str) -> list[str]:
    """Return this machine's own apt sources for a Debian suite; none: mmdebstrap has a default."""
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    said = tool.run(
        [
            *("apt-get", "indextargets", "Identifier: Packages", "Origin: Debian"),
            *("--format", "$(RELEASE)\t$(REPO_URI)\t$(COMPONENT)"),
        ],
        doing="read this machine's apt sources",
    ).decode()
    rows = [line.split("\t") for line in said.splitlines()]
    lines = dict.fromkeys(f"deb {uri} {release} {part}" for release, uri, part in rows if release in wanted)
    return list(lines) if any(release == suite for release, _, _ in rows) else []


def _starter() -> str:
    return (resources.files("vmvc.images") / "guest" / "services.sh").read_text()


def customize(image: RecipeImage, digest: str, staged: Path) -> str:
    """Return the script that finishes the root, run by mmdebstrap outside with the root as its argument."""
    services = shlex.join(image.services)
    enabled = [*image.services, "qemu-guest-agent"]
    texts = {
        "/etc/hostname": "vmvc\n",
        "/etc/hosts": "127.0.0.1 localhost vmvc\n",
        "/etc/machine-id": f"{digest[:32]}\n",
        "/etc/systemd/system-preset/00-vmvc.preset": "".join(
            [*(f"enable {name}.service\n" for name in enabled), "disable *\n"]
        ),
        STARTER: _starter(),
        **image.files,
    }
    lines = [
        "#!/bin/sh",
        "set -eu",
        "root=$1",
        f"for service in {services}; do" if services else "for service in; do",
        '  if [ ! -x "$root/etc/init.d/$service" ]; then',
        '    echo "vmvc: no init script for $service, there are: $(cd "$root/etc/init.d" && echo *)" >&2',
        "    exit 1",
        "  fi",
        "done",
        'rm -f "$root/etc/resolv.conf" "$root/etc/machine-id"',
    ]
    for number, (path, content) in enumerate(texts.items()):
        source = staged / str(number)
        source.write_bytes(content.encode())
        place, above = shlex.quote(path), shlex.quote(str(Path(path).parent))
        lines += [
            f'chroot "$root" mkdir -p -- {above}',
            f'chroot "$root" sh -c \'cat >"$1"\' - {place} <{source}',
            f'chroot "$root" chmod {archive.text_mode(content):o} -- {place}',
        ]
    lines += [
        'chroot "$root" systemctl --quiet preset-all',
        'rm -rf "$root"/var/log/apt "$root"/var/log/*.log "$root"/var/lib/apt/lists/*',
    ]
    return "\n".join([*lines, ""])


def hint_of(said: str, suite: str, *, root: bool) -> str:
    """Turn what mmdebstrap complained about into one action."""
    if found := _NO_SERVICE.search(said):
        return f"no package of the image has the service '{found[1]}'; there are: {found[2]}"
    if found := _MISSING.search(said):
        return f"debian:{suite} has no package '{found[1] or found[2]}'; correct packages"
    if "does not have a Release file" in said or "404  Not Found" in said:
        return f"there is no Debian suite '{suite}' where this machine gets its packages; correct base"
    if "NO_PUBKEY" in said or "keyring" in said:
        return "sudo apt-get install debian-archive-keyring"
    if "unshare" in said or "newuidmap" in said or "subuid" in said:
        return (
            "sudo apt-get install uidmap, and give this user ids in /etc/subuid; or build the image as root"
        )
    return ""
