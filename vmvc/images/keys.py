"""This user's image cache -> the keys by which commands get into its machines, for nobody else to read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.errors import ImageError
from vmvc.images import cache, tool
from vmvc.images.dropbear import dropbear

ALIAS: Final = "vmvc"
"""The name by which the host key of every guest is known."""
_PRIVATE: Final = ("key", "host")
_PUBLIC: Final = ("key.pub", "known_hosts")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cache, as files of ``folder``: that of this user, and that of all guests.

    Guests of one cache share a host key, as all of them are this user's own: so it is known before the first
    connection, and whatever else answers at a guest's port is refused.
    """

    folder: Path

    @property
    def private(self) -> Path:
        """The user's private key; it stays where it is."""
        return self.folder / "key"

    @property
    def public(self) -> str:
        """The line for ``authorized_keys``."""
        return (self.folder / "key.pub").read_text()

    @property
    def host(self) -> bytes:
        """The guests' private key, as dropbear reads it."""
        return (self.folder / "host").read_bytes()

    @property
    def known_hosts(self) -> Path:
        """The file by which OpenSSH knows ``ALIAS``."""
        return self.folder / "known_hosts"

    def digest(self) -> str:
        """Return what tells these keys from others, and nothing of what is secret."""
        return cache.digest_of(self.public, self.known_hosts.read_text())


def ssh_keys() -> Keys:
    """Return the keys, made where the cache has none.

    Raises: ImageError where they cannot be made or read, or others may read them.
    """
    folder = cache.once(cache.cache_dir() / "ssh" / "keys", _make)
    found = Keys(folder)
    anew = f"remove {folder}: the next run makes other keys"
    for name in (*_PRIVATE, *_PUBLIC):
        if not (folder / name).is_file():
            raise ImageError(
                f"the SSH keys of the image cache are not whole: {folder / name} is missing", hint=anew
            )
    for path in (folder, *(folder / name for name in _PRIVATE)):
        if os.name == "posix" and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            raise ImageError(
                f"the SSH keys of the image cache can be read by others: {path} has the mode {mode:04o}",
                hint=f"{anew}; or, where nobody has read them, chmod go= {path}",
            )
        if not os.access(path, os.R_OK):
            raise ImageError(
                f"the SSH keys of the image cache are another user's: {path} cannot be read",
                hint="set VMVC_CACHE to a folder of your own",
            )
    return found


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    tool.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vmvc", "-f", folder / "key"],
        doing="make an SSH key for the image cache",
    )
    public = dropbear().key(folder / "host")
    (folder / "known_hosts").write_text(f"{ALIAS} {public}\n")
    for name in _PRIVATE:
        (folder / name).chmod(0o600)
