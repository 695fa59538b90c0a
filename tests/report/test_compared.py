"""The page of a comparison: what differs first, every number to the digit, and nothing hostile in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.claimed import around
from tests.command import vmvc
from tests.compared import FACTS, READY, changed, run
from tests.report.test_page import HOSTILE, Page
from vmvc import comparing, schema
from vmvc.records_compare import ComparedRuns
from vmvc.report import compared as html
from vmvc.report import compared_words as words
from vmvc.sheet import number

STILL = ("docker", "memory.pss")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ComparedRuns:
    """Return a run that is slower than the reference, emulated and hostile, and one that is the same."""
    place = tmp_path_factory.mktemp("compared")
    base = {READY: around(1, 0.01), STILL: around(2**20, 5), ("kvm", "startup.ready"): around(3, 0.1)}
    slow = {READY: around(2, 0.01), STILL: around(2**20, 5)}
    a = run(place / "a", base, facts={**FACTS, "git": {"commit": HOSTILE}})
    b = run(place / "b", slow, facts=changed("backends/docker/facts/emulated", True))
    return comparing.compare([a, b, run(place / "c", base, name="another")])


def test_what_is_worse_comes_first_with_its_numbers_and_what_spoils_it(found: ComparedRuns) -> None:
    text = html.page(found)
    answer = text[text.index('id="answer"') : text.index('id="ratios"')]
    assert "1 worse, 1 the same within 5%." in answer
    assert "startup.ready on docker is slower" in answer
    assert "2\u00a0s against 1\u00a0s, ratio 2\u00a0[" in answer
    assert "flagged, so that the runs may not be alike: emulated" in answer
    assert "No quantity differs by more than the tolerance" in answer
    assert "the experiments differ: claimed and another" in text
    assert "has no such condition" in text


def test_numbers_are_those_of_the_json_to_the_digit(found: ComparedRuns) -> None:
    text = html.page(found)
    told = json.loads(words.as_json(found))
    for one in told["runs"]:
        for row in one["rows"]:
            for key in ("median", "reference_median", "ratio", "p_adjusted", "a12"):
                assert f'data-v="{number(float(row[key]))}"' in text, (key, row[key])
    drawn = {
        (index, row["k"]): row["v"]
        for index, chart in enumerate(Page(text).payload["fixed"])
        for row in chart["sets"]["ratios"]
    }
    assert drawn == {
        (index, f"{row['condition']} {row['metric']}.{row['quantity']}"): row["ratio"]
        for index, one in enumerate(told["runs"])
        for row in one["rows"]
    }


def test_json_is_what_the_published_schema_says(found: ComparedRuns) -> None:
    published = json.loads((Path(__file__).parents[2] / "schemas/compare.schema.json").read_text())
    assert published == schema.SCHEMAS["compare"]()
    told = json.loads(words.as_json(found))
    Draft202012Validator(published).validate(told)
    told["runs"][0]["rows"][0]["verdict"] = "greener"
    assert not Draft202012Validator(published).is_valid(told)


def test_hostile_facts_are_text(found: ComparedRuns) -> None:
    page = Page(html.page(found))
    assert not [attributes for tag, attributes in page.elements if tag in ("img", "link", "iframe")]
    assert len(page.scripts) == 3
    assert any("alert(1)" in text for text in page.words)


@pytest.mark.parametrize(("count", "drawn"), [(61, 60), (3, 3)])
def test_of_many_rows_those_that_differ_are_drawn_first(found: ComparedRuns, count: int, drawn: int) -> None:
    slower, same = found.runs[0].rows
    rows = [*([same.model_copy(update={"condition": f"c{one}"}) for one in range(count - 1)]), slower]
    one = found.runs[0].model_copy(update={"rows": tuple(rows)})
    page = Page(html.page(found.model_copy(update={"runs": (one,)})))
    kinds = [row["kind"] for row in page.payload["fixed"][0]["sets"]["ratios"]]
    assert (len(kinds), kinds.count("worse")) == (drawn, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "x.doc"), "expected a file that ends in .html, .md or .json"),
        (("--output", "there.html"), "there.html: exists already"),
        (("--output", "no/such/x.html"), "no/such/x.html: cannot be written: No such file"),
    ],
)
def test_bad_outputs_have_one_clear_message(tmp_path: Path, arguments: Sequence[str], message: str) -> None:
    for name in ("a", "b"):
        run(tmp_path / name, {READY: around(1, 0.01)})
    (tmp_path / "there.html").write_text("mine")
    said = vmvc("compare", "a", "b", *arguments, cwd=tmp_path)
    assert said.code in (2, 3)
    assert message in said.err
    assert (tmp_path / "there.html").read_text() == "mine"


def test_warmups_alone_have_nothing_in_common(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(tmp_path / name, {READY: [1.0]})
    journal = tmp_path / "b/journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text(
        "".join(f"{json.dumps(line | ({'warmup': True} if 'trial' in line else {}))}\n" for line in lines)
    )
    said = vmvc("compare", "a", "b", cwd=tmp_path)
    assert said.code == 2
    assert "a and b have nothing in common" in said.err
