"""report.html: one file, whole, the same each time, and nothing that others said is more than text in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.report import runs
from vmvc import report
from vmvc.records import FindingRecord
from vmvc.report import page as html
from vmvc.report.growth import grown
from vmvc.report.material import MOST_TRIALS
from vmvc.report.payload import embed

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> javascript:alert(3) \x1b[31m{{7*7}} &amp;"
)


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif self._within != "style":
            self.words.append(data)

    @property
    def payload(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Draw a run that is made for the tests, and return its page; the plain one is drawn once."""

    @cache
    def plain() -> str:
        return draw(backends=("process", "docker", "kvm"))

    def draw(**about: Any) -> str:
        folder = runs.make(tmp_path_factory.mktemp("made") / "run", **about)
        report.write(folder)
        return (folder / "report.html").read_text()

    return lambda **about: draw(**about) if about else plain()


def test_the_page_holds_all_that_it_needs(drawn: Callable[..., str]) -> None:
    page = Page(drawn())
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"link", "iframe", "img", "object", "embed", "base", "form"}
    assert len(page.scripts) == 3
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_its_policy_allows_its_own_scripts_and_no_request(drawn: Callable[..., str]) -> None:
    page = Page(drawn())
    (policy,) = [one["content"] for tag, one in page.elements if one.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert policy.count("sha256-") == 2


def test_sections_stand_in_the_order_in_which_people_ask(drawn: Callable[..., str]) -> None:
    ids = [one["id"] for tag, one in Page(drawn()).elements if tag == "section"]
    assert ids == [
        *("answer", "start-up", "points", "memory", "disk", "order", "layers", "numbers", "trials"),
        *("findings", "method", "environment", "experiment", "again"),
    ]


def test_every_chart_has_words_and_a_table(drawn: Callable[..., str]) -> None:
    text = drawn()
    charts = [one for tag, one in Page(text).elements if (one.get("class") or "") == "chart"]
    assert len(charts) == 11
    for chart in charts:
        assert chart["role"] == "img"
        assert chart.get("aria-label") or chart["id"] in ("chart-points", "chart-ecdf", "chart-order")
    payload = Page(text).payload
    assert all(one["alt"] and one["says"] for one in payload["quantities"])
    assert text.count("<summary>The numbers</summary>") == 5


def test_numbers_in_words_are_those_of_the_summary(drawn: Callable[..., str]) -> None:
    text = drawn()
    words = " ".join(Page(text).words)
    assert "process" in words
    payload = Page(text).payload
    ready = [one["key"] for one in payload["quantities"]].index("startup.ready")
    values = [one[1] for trial in payload["trials"] for one in trial["values"] if one[0] == ready]
    assert len(values) == 27
    assert payload["quantities"][ready]["title"] == "startup.ready (s)"


def test_what_others_say_is_text_and_nothing_else(drawn: Callable[..., str]) -> None:
    text = drawn(
        title=HOSTILE,
        source=f"name: made # {HOSTILE}\n",
        console=f"{HOSTILE}\n",
        failing={5: HOSTILE},
        findings=[FindingRecord(code="x", severity="warning", what=f"docker: {HOSTILE}", remedy=HOSTILE)],
    )
    page = Page(text)
    assert len(page.scripts) == 3
    assert "img" not in {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, one in page.elements for name in one)
    assert not any("javascript:" in (one.get("href") or "") for _, one in page.elements)
    assert "\x1b" not in text
    assert "49" not in "".join(word for word in page.words if "alert(3)" in word)
    shown = [one for one in page.payload["trials"] if one["t"] == 5]
    assert "<script>alert(1)</script>" in shown[0]["failure"]
    assert "<script>alert(1)</script>" in shown[0]["console"]


def test_every_attempt_has_a_row_of_its_own(drawn: Callable[..., str]) -> None:
    page = Page(drawn(backends=("docker",), retried={5: "no address"}))
    ids = [one["id"] for tag, one in page.elements if tag == "tr" and one.get("id")]
    assert len(ids) == len(set(ids)) == 10
    assert {"trial-5-1", "trial-5"} < set(ids)
    assert [one["key"] for one in page.payload["trials"] if one["t"] == 5] == ["5-1", "5"]


def test_json_in_the_page_cannot_end_its_element() -> None:
    written = embed({"a": "</script><!--\u2028\u2029&"})
    assert not re.search("[<>&\u2028\u2029]", written)
    assert json.loads(written) == {"a": "</script><!--\u2028\u2029&"}


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=("process", "docker"), failing={5: "too late"})
    before = {path.name: path.read_bytes() for path in report.write(folder)}
    elsewhere = tmp_path / "moved"
    folder.rename(elsewhere)
    assert {path.name: path.read_bytes() for path in report.write(elsewhere)} == before


def test_a_page_of_many_readings_says_that_marks_stand_for_many(tmp_path: Path) -> None:
    count = MOST_TRIALS + 100
    folder = runs.make(tmp_path / "run", backends=("docker",), count=count, warmup=0, console="")
    report.write(folder)
    text = (folder / "report.html").read_text()
    payload = Page(text).payload
    assert f"{count} trials are too many to draw each one" in text
    ready = payload["aggregates"]["startup.ready"]
    assert (len(ready["points"]), len(ready["order"])) == (200, 60)
    assert len(payload["trials"]) == 400


def test_emulation_is_a_visible_warning(drawn: Callable[..., str]) -> None:
    text = drawn()
    assert '<li class="warning"><b>Warning:</b> kvm ran emulated (tcg)' in text
    assert "kvm (emulated)" in json.dumps(Page(text).payload["fixed"])


def test_verdicts_come_first_and_are_words(drawn: Callable[..., str]) -> None:
    hostile = {**runs.CLAIMS[0], "id": "one", "says": f"It is {HOSTILE}"}
    text = drawn(claims=[hostile, *runs.CLAIMS])
    assert text.index('id="claim-one"') < text.index('class="headlines"')
    assert "<q>It is &lt;/script&gt;" in text
    assert re.findall('<div class="verdict ([a-z]+)">', text) == [
        *("supported", "supported", "refuted", "inconclusive"),
    ]
    words = " ".join(" ".join(Page(text).words).split())
    assert all(word in words for word in ("✓ Supported", "✗ Refuted", "? Inconclusive"))


def test_fleets_that_grew_have_their_charts(tmp_path: Path) -> None:
    view = report.view_of(runs.make(tmp_path / "run"))
    one, two = (
        [
            {"instance": number, "ready": speed * number, "available": 2.0**30 - number * 2.0**20}
            for number in (1, 2)
        ]
        for speed in (0.2, 0.4)
    )
    found = tuple(grown({"docker": [one, two]}, view.conditions))
    assert [(each.what, each.instance, each.n, each.median) for each in found] == [
        ("ready", 1, 2, pytest.approx(0.3)),
        ("ready", 2, 2, pytest.approx(0.6)),
        ("taken", 1, 2, 0.0),
        ("taken", 2, 2, 2.0**20),
    ]
    text = html.page(replace(view, fleets=found))
    drawn = [each["id"] for each in Page(text).payload["fixed"]]
    assert {"chart-fleet-ready", "chart-fleet-taken"} <= set(drawn)
    assert "docker 2: 600 ms" in text
    assert ">400 to 800 ms<" in text


@pytest.mark.parametrize("until", [0, 2, 3, 4])
def test_runs_that_have_only_begun_have_a_page(tmp_path: Path, until: int) -> None:
    folder = runs.make(tmp_path / "run", backends=("docker", "kvm"), until=until)
    report.write(folder)
    page = Page((folder / "report.html").read_text())
    assert len(page.payload["trials"]) == until


def test_nothing_that_draws_is_imported_until_something_is_drawn() -> None:
    code = (
        "import sys\n"
        "import vmvc, vmvc.report, vmvc.execution\n"
        "import vmvc.cli.run_command, vmvc.cli.report_command, vmvc.cli.plot_command, vmvc.cli.show_command\n"
        "heavy = ('altair', 'jinja2', 'vl_convert', 'markupsafe', 'numpy', 'scipy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
