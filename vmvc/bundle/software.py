"""The installed vmvc -> the versions of all that it stands on, and its licence."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vmvc


def constraints() -> str:
    """Return a constraints file for pip: vmvc's dependencies as they are installed here."""
    versions = sorted(set(_versions()))
    lines = [
        f"# With vmvc {vmvc.__version__} and Python {platform.python_version()}, where the bundle was made."
    ]
    return "\n".join([*lines, *(f"{name}=={version}" for name, version in versions), ""])


def licence() -> str:
    """Return the text of vmvc's licence."""
    return distribution("vmvc").read_text("licenses/LICENSE") or "Apache-2.0\n"


def _versions() -> Iterator[tuple[str, str]]:
    """Yield name and version of what vmvc needs, and of what that needs in turn; extras where installed."""
    seen: set[tuple[str, str]] = set()
    left = [("vmvc", extra) for extra in ("", "libvirt")]
    while left:
        name, extra = left.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if name != "vmvc":
            yield canonicalize_name(name), found.version
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(needed.name), more) for more in ("", *needed.extras)]
