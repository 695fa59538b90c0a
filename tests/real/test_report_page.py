"""report.html in a real browser, from the file system: what it shows, and that it asks for nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.command import vmvc
from tests.real.browser import browser, context, opened
from tests.report import runs
from tests.report.test_page import HOSTILE
from vmvc import report
from vmvc.records import FindingRecord

pytestmark = pytest.mark.real("chromium")
__all__ = ["browser", "context"]

FAILING: Final = 5
"""A trial of the made run that fails."""
ROWS: Final = 3 * len(runs.quantities())
"""Rows of its table of numbers."""
RETRIED: Final = 8
"""A trial of it that succeeds at its second attempt."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a run whose every text is hostile."""
    folder = runs.make(
        tmp_path_factory.mktemp("made") / "run",
        title=HOSTILE,
        source=f"name: made # {HOSTILE}\n",
        console=f"booting {HOSTILE}\n",
        failing={FAILING: HOSTILE},
        retried={RETRIED: "no address"},
        without="shutdown.gone",
        findings=[FindingRecord(code="x", severity="warning", what=f"docker: {HOSTILE}", remedy=HOSTILE)],
    )
    report.write(folder)
    return folder / "report.html"


def test_a_page_opens_without_any_request_or_complaint(context: BrowserContext, made: Path) -> None:
    page, seen = opened(context, made)
    for select in page.locator("select.quantity").first.locator("option").all():
        page.select_option("#quantity", select.get_attribute("value"))
        page.wait_for_function("document.getElementById('chart-points').dataset.state === 'drawn'")
    assert seen.requests == [made.as_uri()]
    assert seen.said == []


def test_hostile_texts_are_shown_and_run_nothing(context: BrowserContext, made: Path) -> None:
    page, seen = opened(context, made)
    expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")
    page.click(f"#trial-{FAILING} button")
    detail = page.locator(f"#detail-{FAILING}")
    expect(detail).to_contain_text("<img src=x onerror=alert(2)>")
    expect(detail.locator("pre.console")).to_contain_text("booting </script>")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 3
    assert page.locator("a:not([href^='#'])").count() == 0
    assert seen.said == []


def test_the_policy_stops_what_would_still_get_in(context: BrowserContext, made: Path) -> None:
    page, seen = opened(context, made)
    stopped: list[tuple[str, str | None]] = []
    page.on("requestfailed", lambda request: stopped.append((request.url, request.failure)))
    page.evaluate(
        "() => { const box = document.createElement('div'); "
        'box.innerHTML = \'<img src="https://example.org/x" onerror="document.title = 1">\'; '
        "const script = document.createElement('script'); script.textContent = 'document.title = 2'; "
        "document.body.append(box, script); }"
    )
    page.wait_for_timeout(200)
    assert page.title() not in ("1", "2")
    assert stopped == [("https://example.org/x", "csp")]
    assert any("Content Security Policy" in text for text in seen.said)


def test_every_measured_point_is_drawn_and_leads_to_its_trial(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    dots = page.locator("#chart-points .mark-symbol.role-mark path")
    assert dots.count() == 23
    assert page.locator("#chart-order .mark-symbol.role-mark path").count() == 26
    dots.first.click()
    expect(page.locator("tr.detail")).to_have_count(1)
    expect(page.locator("tr.detail")).to_contain_text("Events since the request")
    expect(page.locator("#trials button[aria-expanded=true]")).to_be_focused()


def test_tables_filter_and_sort(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    page.fill("#filter-numbers", "docker startup.ready")
    expect(page.locator("#table-numbers tbody tr:visible")).to_have_count(1)
    expect(page.locator("#numbers [role=status]")).to_have_text(f"1 of {ROWS} rows")
    page.fill("#filter-numbers", "startup.ready")
    medians = page.locator("#table-numbers tbody tr:visible td:nth-child(3)")
    header = page.locator("#table-numbers th", has_text="median")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    up = [float(one.get_attribute("data-v") or "nan") for one in medians.all()]
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    down = [float(one.get_attribute("data-v") or "nan") for one in medians.all()]
    assert up == sorted(up)
    assert down == up[::-1]
    page.fill("#filter-trials", "failed")
    expect(page.locator("#table-trials tbody tr:visible")).to_have_count(2)
    page.click(f"#trial-{RETRIED}-1 button")
    expect(page.locator(f"#detail-{RETRIED}-1")).to_contain_text("no address")


def test_the_chooser_shows_another_quantity_everywhere(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    page.select_option("#quantity-order", "memory.pss")
    expect(page.locator("#quantity")).to_have_value("memory.pss")
    expect(page.locator("#chart-points")).to_contain_text("memory.pss (MiB)")
    expect(page.locator("#chart-order")).to_contain_text("memory.pss (MiB)")
    assert "docker: median" in (page.get_attribute("#chart-points", "aria-label") or "")
    page.click("#points summary")
    expect(page.locator("#numbers-of-quantity tbody tr")).to_have_count(3)


def test_a_quantity_without_values_says_why(context: BrowserContext, made: Path) -> None:
    page, seen = opened(context, made)
    page.select_option("#quantity", "shutdown.gone")
    for chart in ("points", "ecdf", "order"):
        expect(page.locator(f"#chart-{chart}")).to_contain_text("process: 8 of 8: not measured yet")
    page.select_option("#quantity", "startup.ready")
    expect(page.locator("#chart-points")).to_contain_text("startup.ready (s)")
    assert seen.said == []


def test_dark_follows_the_system_and_the_button(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    light = _colours(page)
    page.emulate_media(color_scheme="dark")
    dark = _colours(page)
    assert dark != light
    page.get_by_role("button", name="use light colours").click()
    assert _colours(page) == light
    page.get_by_role("button", name="use dark colours").click()
    assert _colours(page) == dark


def _colours(page: Page) -> list[str]:
    """Return the colours of the page, its text and an axis label."""
    return [
        str(page.evaluate(f"getComputedStyle(document.querySelector({place!r})).{name}"))
        for place, name in (
            ("body", "backgroundColor"),
            ("body", "color"),
            ("#chart-points .role-axis-label text", "fill"),
        )
    ]


def test_the_keyboard_is_enough(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#answer$"))
    page.locator("#trial-2 button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-2")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-2")).to_have_count(0)
    page.locator("#table-trials th button").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#table-trials th").first).to_have_attribute("aria-sort", "ascending")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_it_prints_on_a4_in_light_colours(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    light = _colours(page)
    page.emulate_media(color_scheme="dark", media="print")
    assert _colours(page)[0] == light[0]
    assert not page.locator(".bar").is_visible()
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert b"/MediaBox [0 0 594" in printed or b"/MediaBox [0 0 595" in printed


def test_a_narrow_window_scrolls_tables_and_not_the_page(context: BrowserContext, made: Path) -> None:
    page, _ = opened(context, made)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_scripts_every_number_is_in_tables(browser: Browser, made: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(made.as_uri())
    expect(page.get_by_text("Scripts are off")).to_be_visible()
    expect(page.locator("#table-numbers tbody tr")).to_have_count(ROWS)
    context.close()


@pytest.mark.real("docker")
def test_the_report_of_a_real_run_opens(context: BrowserContext, tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(
        "name: real\ntitle: A container, for real\nbackends: [docker]\nmetrics: [startup, shutdown, disk]\n"
        "trials: {count: 6, warmup: 1}\n"
    )
    said = vmvc("run", "real.yaml", "--quiet", "--wait", cwd=tmp_path)
    assert said.code == 0, said.err
    (path,) = tmp_path.glob("results/real/*/report.html")
    page, seen = opened(context, path)
    expect(page.locator("h1")).to_have_text("A container, for real")
    expect(page.locator(".answers")).to_contain_text("Ready to answer after: docker")
    assert page.locator("#chart-points .mark-symbol.role-mark path").count() == 6
    expect(page.locator("#layers")).to_contain_text("docker")
    assert (seen.requests, seen.said) == ([path.as_uri()], [])
