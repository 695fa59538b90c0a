"""The version of vl-convert -> Vega, Vega-Lite and their embedder as one script, for pages that open offline.

Bundling takes a second or two, so the script is kept in the cache; the same version gives the same bytes.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import platformdirs

from vmvc import durable


def script() -> str:
    """Return the script; it defines ``vegaEmbed`` and holds no ``</script``."""
    path = _cache() / f"vega-embed-{version('vl-convert-python')}.js"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    if text.endswith(_END):
        return text
    text = _bundle() + _END
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, text)
    except OSError:
        pass  # The cache saves time and nothing else.
    return text


_END = "\n// end\n"
"""Shows that a cached script is whole."""


def _bundle() -> str:
    from vl_convert import javascript_bundle

    text: str = javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return text.replace("</script", "<\\/script")


def _cache() -> Path:
    return Path(os.environ.get("VMVC_CACHE") or platformdirs.user_cache_dir("vmvc")) / "report"
