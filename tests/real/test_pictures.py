"""The README's pictures, taken of the reference run in a real browser: still what its page shows."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser

from tests.real.browser import browser, opened
from vmvc import report

pytestmark = pytest.mark.real("chromium")
__all__ = ["browser"]

ROOT: Final = Path(__file__).parents[2]
COMMITTED: Final = ROOT / "experiments/pictures"
KINDS: Final = COMMITTED / "kinds.json"
"""Picture -> the headings of the page when it was taken: what tells that a picture is out of date."""
WRITE: Final = os.environ.get("VMVC_PICTURES") == "write"
MOST_BYTES: Final = 200_000
WIDTH: Final = 1100
SHOTS: Final = {"answer": ("light", 0, 860), "start-up": ("dark", "#start-up", 900)}
"""Picture -> colours, where it begins and its height."""


@pytest.fixture(scope="module")
def page_of_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = sorted((ROOT / "results/reference").glob("**/journal.jsonl"))
    assert runs, "the reference run is missing from results/reference"
    path = tmp_path_factory.mktemp("pictures") / "report.html"
    path.write_text(report.FORMS[".html"](report.view_of(runs[-1].parent)))
    return path


@pytest.mark.parametrize("name", SHOTS)
def test_the_readme_shows_what_the_page_shows(
    browser: Browser, page_of_reference: Path, tmp_path: Path, name: str
) -> None:
    scheme, place, height = SHOTS[name]
    context = browser.new_context(
        offline=True,
        viewport={"width": WIDTH, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page, seen = opened(context, page_of_reference)
    taken = (COMMITTED if WRITE else tmp_path) / f"{name}.png"
    if isinstance(place, str):
        page.add_style_tag(content="html { scroll-behavior: auto !important }")
        page.evaluate(f"document.querySelector({place!r}).scrollIntoView()")
    page.screenshot(path=taken)
    kinds = json.loads(KINDS.read_text()) if KINDS.exists() else {}
    if WRITE:
        KINDS.write_text(json.dumps(kinds | {name: _headings_of(page_of_reference)}, indent=1) + "\n")
        kinds = json.loads(KINDS.read_text())
    assert seen.said == []
    context.close()
    committed = COMMITTED / f"{name}.png"
    assert _size(committed) == _size(taken) == (WIDTH, height), "cure: make pictures"
    assert 10_000 < committed.stat().st_size < MOST_BYTES
    assert kinds[name] == _headings_of(page_of_reference), "cure: make pictures"
    assert f"experiments/pictures/{name}.png" in (ROOT / "README.md").read_text()


def _headings_of(path: Path) -> list[str]:
    text = path.read_text()
    return [part.split("</h2>")[0] for part in text.split("<h2>")[1:]]


def _size(path: Path) -> tuple[int, int]:
    """Return width and height that a PNG says it has. Source: PNG (W3C), 11.2.2 IHDR."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return width, height
