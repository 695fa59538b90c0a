"""A Debian package's name -> its files in a temporary folder; the host's own apt fetches it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmvc.errors import ImageError
from vmvc.images import tool


@contextmanager
def unpacked(package: str) -> Iterator[tuple[Path, str]]:
    """Yield a folder with the package's files, and its version.

    Raises: ImageError where this host has no apt, or apt cannot find or fetch the package.
    """
    if shutil.which("apt-get") is None:
        raise ImageError(
            f"the Debian package '{package}' is needed, and this host has no apt-get",
            hint="build images on Debian or Ubuntu, then copy the folder that VMVC_CACHE names",
        )
    with tempfile.TemporaryDirectory(prefix="vmvc-") as name:
        folder = Path(name)
        tool.run(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package],
            doing=f"download the package '{package}'",
            cwd=folder,
            hint=lambda _: "sudo apt-get update, then try again",
        )
        archive = next(folder.glob("*.deb"))
        version = (
            tool.run(["dpkg-deb", "-f", archive, "Version"], doing=f"read {archive.name}").decode().strip()
        )
        tool.run(["dpkg-deb", "-x", archive, folder / "files"], doing=f"unpack {archive.name}")
        yield folder / "files", version


def depends(package: str) -> list[str]:
    """Return the names of the packages that the newest version of a package depends on.

    Raises: ImageError where apt does not know the package.
    """
    said = tool.run(
        ["apt-cache", "depends", "--no-recommends", "--no-suggests", package],
        doing=f"look up the package '{package}'",
        hint=lambda _: "sudo apt-get update, then try again",
    ).decode()
    return [line.split()[1] for line in said.splitlines() if line.strip().startswith("Depends:")]
