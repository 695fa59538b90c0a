"""compare.html and index.html in a real browser, and the parts of a report that only some runs have."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.claimed import around
from tests.compared import FACTS, READY, changed, run
from tests.real.browser import browser, context, opened
from tests.report import runs
from tests.report.test_index import later
from tests.report.test_page import HOSTILE
from vmvc import comparing, report
from vmvc.report import compared, index
from vmvc.report.material import MOST_TRIALS

pytestmark = pytest.mark.real("chromium")
__all__ = ["browser", "context"]

STILL = ("docker", "memory.pss")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compared")
    base = {READY: around(1, 0.01), STILL: around(2**20, 5)}
    a = run(place / "a", base, facts={**FACTS, "git": {"commit": HOSTILE}})
    b = run(place / "b", base | {READY: around(2, 0.01)}, facts=changed("host/kernel", HOSTILE))
    path = place / "compare.html"
    path.write_text(compared.page(comparing.compare([a, b])))
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("many")
    for day in (21, 22, 23):
        run(place / f"claimed/{day}", {READY: around(day / 20, 0.05)}, facts=later(day))
    runs.make(place / f"made/{HOSTILE[:30].replace('/', '')}", title=HOSTILE)
    path = place / "index.html"
    path.write_text(index.page_of(place))
    return path


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = runs.make(
        tmp_path_factory.mktemp("full") / "run",
        metrics=(*runs.METRICS, "density", "isolation"),
        work=runs.WORK,
        events={"kernel": 0.75, "lights": 0.8},
    )
    report.write(folder)
    return folder / "report.html"


def test_of_too_many_trials_marks_stand_for_them(context: BrowserContext, tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=("docker",), count=MOST_TRIALS + 1, console="")
    report.write(folder)
    page, seen = opened(context, folder / "report.html")
    assert seen.said == []
    expect(page.locator("#points")).to_contain_text("2002 trials are too many to draw each one")
    assert page.locator("#chart-points .mark-symbol.role-mark path").count() == 200
    assert page.locator("#chart-order .mark-symbol.role-mark path").count() == 60
    page.select_option("#quantity", "memory.pss")
    expect(page.locator("#chart-order")).to_contain_text("memory.pss (MiB)")
    assert seen.said == []


def test_a_comparison_opens_offline_sorts_and_filters(context: BrowserContext, comparison: Path) -> None:
    page, seen = opened(context, comparison)
    assert (seen.requests, seen.said) == ([comparison.as_uri()], [])
    expect(page.locator("#answer")).to_contain_text("startup.ready on docker is slower")
    assert page.locator("#chart-ratios-0 .mark-symbol.role-mark path").count() == 2
    expect(page.locator("#differences")).to_contain_text("<script>alert(1)</script>")
    page.fill("#filter-numbers-0", "worse")
    expect(page.locator("#table-numbers-0 tbody tr:visible")).to_have_count(1)
    page.fill("#filter-numbers-0", "")
    page.get_by_role("button", name="median", exact=True).click()
    values = [one.get_attribute("data-v") for one in page.locator("#table-numbers-0 td:nth-child(4)").all()]
    assert [float(one or "nan") for one in values] == sorted(float(one or "nan") for one in values)


def test_an_index_draws_every_quantity_of_every_experiment(context: BrowserContext, many: Path) -> None:
    page, seen = opened(context, many)
    for select in page.locator("select").all():
        for option in select.locator("option").all():
            select.select_option(option.get_attribute("value"))
            page.wait_for_function("!document.querySelector('.chart[data-state=drawing]')")
    assert (seen.requests, seen.said) == ([many.as_uri()], [])
    assert page.locator("#chart-history-0 .mark-symbol.role-mark path").count() == 3
    page.fill("#filter-runs", "claimed")
    expect(page.locator("#table-runs tbody tr:visible")).to_have_count(3)


@pytest.mark.parametrize("name", ["comparison", "many", "full"])
def test_pages_are_dark_narrow_and_printed(
    context: BrowserContext, request: pytest.FixtureRequest, name: str
) -> None:
    page, seen = opened(context, request.getfixturevalue(name))
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    assert seen.said == []
    for chart in page.locator(".chart").all():
        assert chart.get_attribute("aria-label"), chart.get_attribute("id")


def test_every_part_of_a_full_report_is_drawn(context: BrowserContext, full: Path) -> None:
    page, seen = opened(context, full)
    assert (seen.requests, seen.said) == ([full.as_uri()], [])
    expect(page.locator("#chart-waterfall")).to_contain_text("until lights")
    assert page.locator("#chart-workloads .mark-symbol.role-mark path").count() == 4
    assert page.locator("#chart-fleet-taken .mark-line.role-mark path").count() == 12
    expect(page.locator("#table-drift tbody tr")).to_have_count(3)
    page.select_option("#quantity-order", "encode.frames")
    expect(page.locator("#chart-order")).to_contain_text("encode.frames")
    page.fill("#filter-isolation", "seccomp")
    expect(page.locator("#table-isolation tbody tr:visible")).to_have_count(1)
