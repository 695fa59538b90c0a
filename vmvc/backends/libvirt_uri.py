"""A connection URI as a file gives it -> accepted, or refused with the reason; and its driver."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from vmvc.wording import did_you_mean

AUTO: Final = "auto"
MAKERS: Final = (AUTO, "qemu:///system", "qemu:///session", "qemu:///embed")
"""Those with which vmvc makes machines itself; any other runs machines that exist already."""
DRIVERS: Final = (
    *("bhyve", "ch", "esx", "gsx", "hyperv", "lxc", "openvz", "qemu", "test", "vbox", "vmwarefusion"),
    *("vmwareplayer", "vmwarews", "vpx", "vz", "xen"),
)
"""Schemes of libvirt's drivers."""
TRANSPORTS: Final = ("ext", "libssh", "libssh2", "ssh", "tcp", "tls", "unix")
_FORM: Final = r"[a-z0-9]+(\+[a-z0-9]+)?://[\x21-\x7e]*"
_USERINFO: Final = re.compile(r"://[^/?]*:[^/?]*@")
_SECRET: Final = re.compile(r"pass|pwd|secret|token|credential", re.IGNORECASE)


def _driver_uri(uri: str) -> str:
    """Accept ``auto``, or a URI of a driver of libvirt that holds no secret."""
    if uri == AUTO:
        return uri
    if _USERINFO.search(uri) or any(_SECRET.search(key) for key, _ in parse_qsl(uri.partition("?")[2])):
        raise PydanticCustomError(
            "uri_secret",
            "a password in the URI would be kept with the results; libvirt reads it from its own file: "
            "~/.config/libvirt/auth.conf, or LIBVIRT_AUTH_FILE",
        )
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise PydanticCustomError("uri", "expected a URI that parses ({why})", {"why": str(error)}) from error
    driver, _, transport = parts.scheme.partition("+")
    known = driver in DRIVERS and transport in ("", *TRANSPORTS)
    if not known or not re.fullmatch(_FORM, uri):
        near = did_you_mean(driver, DRIVERS) if driver not in DRIVERS else ""
        tip = near if near.startswith("did") else "such as qemu:///system or lxc:///"
        raise PydanticCustomError(
            "uri", "expected auto or the URI of a driver of libvirt, {tip}", {"tip": tip}
        )
    return uri


DriverUri = Annotated[
    str,
    Field(max_length=1024, json_schema_extra={"pattern": f"^(auto|{_FORM})$"}),
    AfterValidator(_driver_uri),
]


def driver_of(uri: str) -> str:
    """Return the scheme without its transport: ``lxc`` of ``lxc+ssh://host/``."""
    return _split(uri).scheme.partition("+")[0]


def here(uri: str) -> bool:
    """Say whether the driver's machines run on this host."""
    parts = _split(uri)
    transport = parts.scheme.partition("+")[2]
    return parts.hostname is None and transport in ("", "unix") and driver_of(uri) != "test"


def _split(uri: str) -> SplitResult:
    return urlsplit("qemu:///system" if uri == AUTO else uri)
