"""Claims on the command line, on the fake backend: verdicts, exit codes, the same bytes again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tests.claimed import around, claim, write
from tests.command import vmvc
from tests.edited import unchecked
from vmvc.cli import cli
from vmvc.errors import InputError
from vmvc.schema import SCHEMAS

QUICK = "{id: quick, says: It is quick, metric: startup.ready, backend: one, median: {below: 20s}}"
SLOW = "{id: slow, says: It is slow, metric: startup.ready, backend: one, median: {above: 20s}}"
FACT = "{id: size, says: It has 1 GB, metric: disk.virtual, backend: one, fact: {is: 1GB}}"


@pytest.fixture
def file(
    tmp_path: Path, experiment: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Write an experiment on the fake backend with these claims."""
    monkeypatch.chdir(tmp_path)

    def of(*claims: str, count: int = 6) -> Path:
        options = f"{{state: {tmp_path / 'state'}, ready: 5ms, disk: {{virtual: 1GB}}}}"
        return experiment(
            f"name: first\nbackends: {{one: {{kind: fake, options: {options}}}}}\nmetrics: [startup, disk]\n"
            f"trials: {{count: {count}, warmup: 1}}\n"
            + ("claims:\n" + "".join(f"  - {claim}\n" for claim in claims) if claims else "")
        )

    return of


def call(*arguments: str | Path) -> tuple[int, str]:
    """Call the command in this process, which has NumPy and SciPy loaded; return exit code and stdout."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return int(done.return_value or 0), done.stdout


def runs() -> list[Path]:
    return sorted(Path("results/first").resolve().iterdir())


def test_a_run_prints_and_keeps_its_verdicts(file: Callable[..., Path]) -> None:
    code, out = call("run", file(QUICK, FACT))
    assert code == 0
    assert "quick: It is quick\n  Supported: the median of startup.ready on one is" in out
    (run,) = runs()
    found = json.loads((run / "claims.json").read_text())
    assert [one["verdict"] for one in found] == ["supported", "supported"]
    assert list(Draft202012Validator(SCHEMAS["claims"]()).iter_errors(found)) == []
    code, out = call("claims", run)
    assert (code, found[0]["sentence"] in out) == (0, True)
    assert "there are fewer than 10 values: 6 of one (claims.few-trials)" in out
    assert json.loads(call("claims", run, "--json")[1]) == found
    assert found[1]["sentence"] in call("show", run.parent)[1]
    assert call("validate", run)[0] == 0
    before = (run / "claims.json").read_bytes()
    (run / "claims.json").write_text("[]\n")
    with pytest.raises(InputError, match="is not what the journal says"):
        call("validate", run)
    assert call("show", "--rebuild", run)[0] == 0
    assert (run / "claims.json").read_bytes() == before


def test_strict_exits_with_1_where_a_claim_is_refuted(tmp_path: Path, file: Callable[..., Path]) -> None:
    said = vmvc("run", file(QUICK, SLOW), "--strict", "--quiet", cwd=tmp_path)
    assert (said.code, said.out) == (1, "")
    (run,) = runs()
    assert vmvc("claims", run, "--strict", cwd=tmp_path).code == 1
    assert call("claims", run, "--strict", "--json")[0] == 1
    assert call("claims", run)[0] == 0
    assert call("run", "--resume", run, "--quiet")[0] == 0
    assert call("run", "--resume", run, "--quiet", "--strict")[0] == 1


@pytest.mark.parametrize(("below", "n", "wanted"), [(2, 10, "Supported"), (2, 5, "Inconclusive")])
def test_strict_lets_pass_what_is_not_refuted(tmp_path: Path, below: float, n: int, wanted: str) -> None:
    write(tmp_path, [claim("median", {"below": below})], {("docker", "startup.ready"): around(1.0, 0.1, n)})
    code, out = call("claims", tmp_path, "--strict")
    assert (code, wanted in out) == (0, True)


def test_a_run_without_claims_says_so(file: Callable[..., Path]) -> None:
    code, out = call("run", file(count=1), "--strict")
    assert (code, "claims" in out) == (0, False)
    (run,) = runs()
    assert (run / "claims.json").read_text() == "[]\n"
    assert call("claims", run, "--strict") == (0, "no claims\n")
    first, *rest = unchecked(run / "journal.jsonl").read_text().splitlines()
    old = json.loads(first)
    del old["claims"], old["references"]
    (run / "journal.jsonl").write_text("\n".join([json.dumps(old), *rest]) + "\n")
    assert call("claims", run) == (0, "no claims\n")


def test_contradictory_claims_are_a_finding_and_no_error(file: Callable[..., Path]) -> None:
    code, out = call("run", file(QUICK, SLOW, count=1))
    words = "the claims quick and slow cannot both hold"
    assert (code, words in out) == (0, True)
    (run,) = runs()
    findings = json.loads((run / "summary.json").read_text())["findings"]
    assert [one["severity"] for one in findings if one["code"] == "claims.contradiction"] == ["warning"]
    assert any(words in one["what"] for one in json.loads((run / "run.json").read_text())["findings"])


def test_claims_that_so_few_trials_cannot_decide_are_told_before_the_first(file: Callable[..., Path]) -> None:
    tail = QUICK.replace("quick", "tail").replace("median: {below", "quantile: {at: 99%, below")
    path = file(QUICK, tail, FACT, "{id: o, says: x, metric: startup.ready, order: {of: [one, two, three]}}")
    more = path.read_text().replace("backends: {", "backends: {two: {kind: fake}, three: {kind: fake}, ")
    path.write_text(more)
    _, out = call("run", path, "--only", "one")
    (run,) = runs()
    found = json.loads((run / "run.json").read_text())["findings"]
    assert [one["what"] for one in found if one["code"] == "claims.few-trials"] == [
        "6 trials of each condition cannot decide the claims o: 7 can",
        "6 trials of each condition cannot decide the claims tail: 368 can",
    ]
    assert "cannot decide the claims tail" in out


def test_another_run_is_a_reference_and_may_be_gone_later(tmp_path: Path, file: Callable[..., Path]) -> None:
    assert call("run", file(), "--quiet")[0] == 0
    (first,) = runs()
    reference = f"reference: {{run: results/first/{first.name}, within: 99%}}"
    path = file(f"{{id: same, says: As before, metric: disk.virtual, backend: one, {reference}}}")
    assert call("run", path, "--quiet")[0] == 0
    (second,) = [run for run in runs() if run != first]
    (found,) = json.loads((second / "claims.json").read_text())
    assert found["verdict"] == "supported"
    assert f"divided by that of run {first.name}" in found["sentence"]
    first.rename(tmp_path / "moved")
    before = (second / "claims.json").read_bytes()
    assert call("show", "--rebuild", second)[0] == 0
    assert call("run", "--resume", second, "--quiet")[0] == 0
    assert (second / "claims.json").read_bytes() == before
    with pytest.raises(InputError, match=rf"{path}:6:.* holds no run"):
        call("run", path)


def test_hostile_words_do_not_draw_on_the_terminal(tmp_path: Path) -> None:
    says = "x\x1b[2J\nquick: forged\r\u202e"
    write(tmp_path, [claim("median", {"below": 2}, says=says)], {("docker", "startup.ready"): [1.0]})
    _, out = call("claims", tmp_path)
    assert "c: x\ufffd[2J quick: forged" in out
    for character in "\x1b\r\u202e":
        assert character not in out
