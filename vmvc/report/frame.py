"""A template, its words and its charts -> one page that opens offline and runs no script but its own.

Everything that guests, engines and files say is escaped; beyond that the page's own policy lets the browser
run the two scripts whose digests it names, and load nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from vmvc.report import vega
from vmvc.report.payload import embed
from vmvc.report.view import Notice

FILES: Final = Path(__file__).with_name("files")
_ON_ONE_LINE: Final = re.compile(r"(?<=\d) (?=\S)|(?<=to) (?=\d)")


def render(
    template: str,
    payload: Mapping[str, Any],
    *,
    script: str = "",
    version: str,
    title: str,
    about: Sequence[str],
    notices: Sequence[Notice],
    sections: Sequence[tuple[str, str]],
    footer: str,
    words: Mapping[str, Any],
) -> str:
    """Return the page.

    ``payload``: what the scripts draw, with ``fixed`` charts; ``script``: a file of the page's own, after
    that of all pages; ``about``: what stands below the title; ``sections``: id and title, the answer first.
    """
    from markupsafe import Markup

    parts = ["page.js", script or "plain.js"]
    own = "".join((FILES / one).read_text(encoding="utf-8") for one in parts)
    library = vega.script()
    return str(
        _templates().get_template(template).render(
            policy=_policy(library, own),
            css=Markup((FILES / "page.css").read_text(encoding="utf-8")),
            payload=Markup(embed(payload)),
            vega=Markup(library),
            script=Markup(own),
            version=version,
            title=title,
            about=about,
            notices=notices,
            sections=sections,
            footer=footer,
            **words,
        )
    )  # fmt: skip


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["tie"] = lambda text: _ON_ONE_LINE.sub("\u00a0", text)
    return made


def _policy(*scripts: str) -> str:
    """Return the content security policy: these scripts, inline styles, and no request whatsoever."""
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
