"""What guests and engines print -> plain text: no terminal sequences, no control characters."""

from __future__ import annotations

import re
from typing import Final

_SEQUENCE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|\Z)|[ -/]*[0-~])"
)
"""Terminal sequences: CSI, the strings of OSC, DCS, SOS, PM and APC, and the short ones. Source: ECMA-48."""
_KEPT: Final = dict.fromkeys(map(ord, "\n\t"))


def clean(text: str) -> str:
    """Return text without terminal sequences and control characters; line ends become ``\\n``."""
    if "\x1b" in text:
        text = _SEQUENCE.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.translate(_KEPT).isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
