"""An experiment is data: reading it does nothing, and whatever it says stays in its run's folder, as text."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests import audited
from vmvc.backends.libvirt_domain import Boot, Hardware, Places, domain_xml
from vmvc.contract import Guest, Tag
from vmvc.errors import InputError
from vmvc.spec import Console, ReadyConsole, RecipeImage

ROOT = Path(__file__).parent.parent
HOSTILE = (
    "../../../../tmp/outside",
    "/tmp/outside",
    "--output=/tmp/outside",
    "-rf",
    "$(touch outside)`touch outside`; touch outside | touch outside & touch outside",
    "'; touch outside; '",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>&x;</domain><domain type='kvm'>",
    "!!python/object/apply:os.system ['touch outside']",
    "\x1b[2J\x1b]0;owned\x07\x1b[31m\x9b2J\r\x08",
    '=HYPERLINK("http://outside/"&A1)',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "{{7*7}}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}${7*7}",
    "\u202egnp.exe\u202c\u2066\ufeff",
    "%s%n%x{0.__class__}\\",
    "a\nb\n- c: d\n# e",
)
"""Paths, options, shell, XML, YAML, ANSI, formulas, HTML, templates, bidirectional marks, formats, lines."""


def experiment(folder: Path) -> Path:
    """Write an experiment that says all of it wherever the language takes text."""
    quoted = [json.dumps(one) for one in HOSTILE]
    reasons = [json.dumps(f"{number} {one}") for number, one in enumerate(HOSTILE)]
    listed = ", ".join(quoted)
    form = "metric: startup.ready, backend: one, median: {below: 2s}"
    claims = "".join(f"  - {{id: c{n}, says: {one}, {form}}}\n" for n, one in enumerate(reasons))
    path = folder / "e.yaml"
    path.write_text(
        f"""\
name: hostile
title: {json.dumps(" ".join(HOSTILE[8:14]))}
images:
  web: {{base: tiny, files: {{"/www/a b;$(id)<&>": {json.dumps(" ".join(HOSTILE))}}}, command: [{listed}]}}
guest:
  image: web
  command: [{listed}]
  env: {{A: {quoted[4]}, B: {quoted[8]}, LD_PRELOAD: {quoted[0]}}}
backends:
  one:
    kind: fake
    options: {{console: [{listed}]}}
  two:
    kind: fake
    options: {{fail: {{start: {json.dumps(" ".join(HOSTILE))}}}}}
factors:
  backends.one.options.log: [=log, '@log', -log, +log]
metrics: [startup]
trials: {{count: 2, warmup: 0}}
claims:
{claims}"""
    )
    return path


LOGS = ("=log", "@log", "-log", "+log")
"""Files that `fake` is asked to write its calls to: the levels of a factor are cells of a table."""
UUID = "0b3c3e5d-f06f-4c0a-9fec-1e926b5917ef"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_reading_validating_and_planning_do_nothing(tmp_path: Path) -> None:
    place = tmp_path / "here"
    place.mkdir()
    files = [experiment(place), *sorted((ROOT / "experiments").glob("*.yaml"))]
    files += sorted((ROOT / "tests" / "files" / "good").glob("*.yaml"))
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("validate", *files),
        ("plan", files[0]),
        ("plan", files[0], "--json"),
        ("plan", files[1]),
    )
    for arguments in commands:
        did = audited.vmvc(*arguments, cwd=place, scratch=tmp_path / "audit")
        assert did.code == 0, did.err
        assert not CONTROL.search(did.out)
        harmless = {("socket.bind", "('::1', 0)")}  # urllib3 asks so whether the host has IPv6
        assert set(did.events) <= harmless
    assert [path.name for path in place.iterdir()] == ["e.yaml"]


def test_the_hook_sees_what_it_is_there_for(tmp_path: Path) -> None:
    (tmp_path / "vmvc").mkdir()
    (tmp_path / "vmvc" / "__init__.py").write_text("")
    (tmp_path / "vmvc" / "cli.py").write_text(
        "import os, socket, subprocess, sys\n"
        "def main():\n"
        "    subprocess.run([sys.executable, '-c', 'open(\"deep\", \"w\")'])\n"
        "    open('wide', 'a'); os.rename('wide', 'moved'); os.mkdir('made')\n"
        "    socket.socket().bind(('127.0.0.1', 0))\n"
    )
    did = audited.vmvc(cwd=tmp_path, scratch=tmp_path / "audit")
    assert {path.name for path in did.written()} == {"deep", "wide", "moved", "made"}
    counts = Counter(event for event, _ in did.events)
    assert counts["subprocess.Popen"] == counts["socket.bind"] == 1


class Page(HTMLParser):
    """Counts what a page would run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.handlers += [value or "" for name, value in attributes if "javascript:" in (value or "").lower()]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, audited.Did]:
    """The folder where the hostile experiment was run, and what that did."""
    place = tmp_path_factory.mktemp("here")
    scratch = tmp_path_factory.mktemp("audit")
    env = {f"VMVC_{name.upper()}": str(place / name) for name in ("lock", "cache", "state")}
    did = audited.vmvc("run", experiment(place), cwd=place, scratch=scratch, env=env)
    assert did.code == 1, did.err  # backend two fails in every trial
    return place, did


def run_of(place: Path) -> Path:
    return next(place.glob("results/hostile/*/journal.jsonl")).parent


def test_nothing_is_written_but_the_run_and_the_cache(hostile: tuple[Path, audited.Did]) -> None:
    place, did = hostile
    allowed = [place / name for name in ("results", "cache", "state", "lock", *LOGS)]
    probes = re.compile(rf"{re.escape(tempfile.gettempdir())}/[a-z0-9_]{{8}}|/dev/null")  # of tempfile itself
    outside = [
        path
        for path in did.written()
        if not any(path.is_relative_to(one) for one in allowed)
        and not probes.fullmatch(str(path))
        and not (path.is_dir() and place.is_relative_to(path))  # exist_ok
    ]
    assert outside == []
    assert not list(place.rglob("outside"))
    programs = {Path(what).name for event, what in did.events if event == "subprocess.Popen"}
    assert {name for name in programs if not name.startswith("python")} == {"git"}
    for event, what in did.events:
        if event in ("socket.connect", "socket.bind"):
            assert what.startswith(("('127.0.0.1', ", "('::1', 0)")), what


def test_the_terminal_gets_no_control_characters(hostile: tuple[Path, audited.Did]) -> None:
    place, did = hostile
    assert not CONTROL.search(did.out + did.err)
    for command in ("show", "claims", "validate"):
        said = audited.vmvc(command, run_of(place), cwd=place, scratch=place / "audit")
        assert not CONTROL.search(said.out + said.err)


def test_no_cell_of_a_table_is_a_formula(hostile: tuple[Path, audited.Did]) -> None:
    place, _ = hostile
    tables = list(run_of(place).glob("*.csv"))
    assert tables
    for path in tables:
        with path.open(newline="") as file:
            for row in csv.reader(file):
                assert [cell for cell in row if cell[:1] in tuple("=+-@\t\r") and not _is_number(cell)] == []


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", cell) is not None


def test_the_page_runs_nothing_of_it(hostile: tuple[Path, audited.Did]) -> None:
    place, _ = hostile
    page = Page()
    page.feed((run_of(place) / "report.html").read_text())
    assert page.handlers == []
    assert page.tags["img"] == 0
    markdown = re.sub(r"(?ms)^(`{3,}).*?^\1$|`[^`\n]*`", "", (run_of(place) / "report.md").read_text())
    assert re.findall(r"(?<!\\)<(?:script|img|/script)", markdown) == []


def test_a_bundle_of_it_is_as_tame(hostile: tuple[Path, audited.Did], tmp_path: Path) -> None:
    place, _ = hostile
    arguments = ("bundle", run_of(place), "--output", tmp_path / "a.zip", "--author", HOSTILE[13])
    did = audited.vmvc(*arguments, cwd=tmp_path, scratch=place / "b")
    assert did.code == 0, did.err
    did = audited.vmvc("show", tmp_path / "a.zip", cwd=tmp_path, scratch=place / "b")
    assert did.code == 0, did.err
    assert not CONTROL.search(did.out + did.err)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_machine_is_described_by_a_library(text: str) -> None:
    def described(text: str) -> list[str]:
        place = Path(f"/cache/{text}")
        boot = Boot(place, place, text, ((place, "qcow2"),), "init")
        guest = Guest(RecipeImage(base="tiny"), 1, 2**28, ReadyConsole(console=Console(pattern="x")))
        places, hardware = Places(place, place, place), Hardware("kvm", "q35", "host")
        written = domain_xml(Tag(text, 1, text), UUID, guest, boot, hardware, places)
        return [element.tag for element in ElementTree.fromstring(written).iter()]

    try:
        assert described(text) == described("plain")
    except InputError:
        assert CONTROL.search(text)
