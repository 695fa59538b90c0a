"""Findings of a run and flags of its samples -> what may spoil one claim."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vmvc import stats
from vmvc.bounds import contradictions
from vmvc.claims_questions import level_of
from vmvc.claims_samples import Measured
from vmvc.contract import Finding, Severity
from vmvc.plan import Condition
from vmvc.records import FindingRecord
from vmvc.records_journal import RunRecord, TrialRecord
from vmvc.rows import SERIOUS
from vmvc.spec_claims import Claim
from vmvc.stats import Better
from vmvc.wording import listed

FEW: Final = 10
"""Values of a condition below which a verdict is flagged.

Source: Hoefler & Belli, "Scientific Benchmarking of Parallel Computing Systems" (SC'15).
"""
_HOST_OF_TIME: Final = frozenset({"host.ksm", "host.disk"})
"""Findings on the host that do not concern durations."""
_HOST_OF_MEMORY: Final = frozenset({"host.ksm", "host.memory", "host.swap", "host.thp"})
"""Findings on the host that concern what is counted or in bytes."""
_STILL: Final = frozenset({"disk", "isolation"})
"""Metrics that do not depend on what else the host does."""
_ON_QUANTILES: Final = frozenset({"median", "quantile", "ratio", "difference", "order", "reference"})
_ONE_METRIC: Final = {"stop": "shutdown", "density": "density"}
"""Findings in a trial, by the first part of their code, that concern one metric only."""
_OF_TIME: Final = frozenset({"s", "1/s", "B/s", "bit/s", "Hz", "W"})
"""Units of quantities that depend on how fast the host is just then."""
_SHOWN: Final = 3


def findings(claims: Sequence[Claim], units: Mapping[str, str], trials: int) -> Iterator[Finding]:
    """Yield what can be said of the claims before the first trial.

    ``units``: ``metric.quantity`` -> unit; ``trials``: how many each condition gets at most.
    """
    for one, other in contradictions(claims, units):
        yield Finding(
            "claims.contradiction",
            Severity.WARNING,
            f"the claims {one.id} and {other.id} cannot both hold: their bounds on {one.metric} do not meet",
            "correct one of them, or tell the conditions apart with `at`",
        )
    needs: dict[int, list[str]] = defaultdict(list)
    for claim in claims:
        if claim.form in _ON_QUANTILES:
            needs[stats.least_n(_share(claim), level_of(claim))].append(claim.id)
    for least, ids in sorted(needs.items()):
        if trials < least:
            yield Finding(
                "claims.few-trials",
                Severity.WARNING,
                f"{trials} trials of each condition cannot decide the claims {_some(ids)}: {least} can",
                f"raise trials.count to {least}",
            )


def _share(claim: Claim) -> float:
    """Return the quantile that a claim is about."""
    pair = claim.ratio or claim.difference
    return claim.quantile.at if claim.quantile is not None else pair.quantile if pair is not None else 0.5


class Spoilers:
    """Collects what was found in a run, and picks what concerns a claim."""

    def __init__(self, head: RunRecord) -> None:
        self._head = head
        units = {f"{one.metric}.{one.quantity}": one.unit for one in head.quantities}
        self._units = units
        self._better = {f"{one.metric}.{one.quantity}": one.better for one in head.quantities}
        self._in_trials: dict[str, Counter[FindingRecord]] = defaultdict(Counter)
        self._against: dict[str, list[str]] = defaultdict(list)
        for one, other in contradictions([claim for claim in head.claims if claim.metric in units], units):
            self._against[one.id].append(other.id)
            self._against[other.id].append(one.id)

    def note(self, trial: TrialRecord) -> None:
        """Keep what was found in a trial."""
        for finding in trial.findings:
            if finding.severity != "info":
                self._in_trials[trial.condition][finding] += 1

    def of(
        self, claim: Claim, conditions: Sequence[Condition], measured: Measured
    ) -> Iterator[FindingRecord]:
        """Yield what may spoil a claim about these conditions."""
        for other in self._against.get(claim.id, ()):
            yield _warning("claims.contradiction", f"it cannot hold together with the claim {other}")
        yield from self._found_before(claim, {one.backend for one in conditions})
        yield from self._found_in_trials(claim, conditions)
        yield from _about_trials(claim, conditions, measured, self._better[claim.metric])

    def _found_before(self, claim: Claim, backends: set[str]) -> Iterator[FindingRecord]:
        for finding in self._head.findings:
            if finding.severity == "info" or finding.code.startswith("claims."):
                continue
            about = [name for name in self._head.axes if finding.what.startswith((f"{name}: ", f"{name} "))]
            on_host = finding.code.startswith("host.") or not about
            if self._heeds(claim, finding.code) if on_host else backends & {*about}:
                yield finding

    def _heeds(self, claim: Claim, code: str) -> bool:
        """Say whether a finding on the host concerns the claim's quantity."""
        if claim.metric.partition(".")[0] in _STILL or claim.form in ("fact", "success"):
            return False
        return code not in _HOST_OF_TIME if self._units[claim.metric] in _OF_TIME else code in _HOST_OF_MEMORY

    def _concerns(self, claim: Claim, finding: FindingRecord) -> bool:
        """Say whether what was found in a trial concerns the claim's quantity."""
        code = finding.code
        if code.startswith("workload."):
            return finding.what.startswith(f"{claim.metric.partition('.')[0]}: ")
        about = _ONE_METRIC.get(code.partition(".")[0])
        if about is not None:
            return claim.metric.startswith(f"{about}.")
        return not code.startswith("host.") or self._heeds(claim, code)

    def _found_in_trials(self, claim: Claim, conditions: Sequence[Condition]) -> Iterator[FindingRecord]:
        for one in conditions:
            for finding, count in self._in_trials.get(one.id, Counter()).items():
                if self._concerns(claim, finding):
                    times = f"{count} trial{'s' if count > 1 else ''}"
                    yield finding.model_copy(update={"what": f"{one.id}: {finding.what} ({times})"})


def _about_trials(
    claim: Claim, conditions: Sequence[Condition], measured: Measured, better: Better
) -> Iterator[FindingRecord]:
    """Yield what the trials themselves show: failures, missing values, few values, flags of the samples."""
    metric = claim.metric.partition(".")[0]
    failed, absent, few = [], [], []
    for one in conditions:
        outcomes = measured.trials.get((one.id, metric), Counter())
        if outcomes["failed"] and claim.form != "success":
            failed.append(f"{outcomes['failed']} of {outcomes.total()} of {one.id}")
        for reason, count in measured.absent.get((one.id, claim.metric), Counter()).most_common():
            absent.append(f"{count} of {outcomes.total()} of {one.id}: {reason}")
        sample = measured.samples.get((one.id, claim.metric))
        n = outcomes.total() if claim.form == "success" else len(sample.values) if sample is not None else 0
        if 0 < n < FEW and claim.form != "fact":
            few.append(f"{n} of {one.id}")
    if claim.form not in ("fact", "success"):
        yield from _flags(claim, conditions, measured, better)
    if failed:
        yield _warning("claims.failed-trials", f"trials failed and have no value: {_some(failed)}")
    if absent:
        yield _warning("claims.absent", f"values are missing: {_some(absent)}")
    if few:
        yield _warning(
            "claims.few-trials",
            f"there are fewer than {FEW} values: {_some(few)}",
            f"raise trials.count to {FEW}, and to 30 to publish",
        )


def _flags(
    claim: Claim, conditions: Sequence[Condition], measured: Measured, better: Better
) -> Iterator[FindingRecord]:
    """Yield what speaks against the values of a condition being one steady distribution."""
    flagged: dict[str, list[str]] = defaultdict(list)
    for one in conditions:
        sample = measured.samples.get((one.id, claim.metric))
        if sample is None or not sample.values:
            continue
        found = stats.describe(sample.values, resolution=sample.resolution, better=better)
        for flag in found.flags:
            flagged[flag].append(one.id)
    for flag, where in flagged.items():
        serious = flag in SERIOUS
        yield FindingRecord(
            code=f"flag.{flag}",
            severity="warning" if serious else "info",
            what=f"{_some(where)}: {stats.FLAGS[flag]}",
            remedy=SERIOUS.get(flag, ""),
        )


def _some(words: Sequence[str]) -> str:
    rest = len(words) - _SHOWN
    return listed([*words[:_SHOWN], f"{rest} more"], "and") if rest > 0 else listed(words, "and")


def _warning(code: str, what: str, remedy: str = "") -> FindingRecord:
    return FindingRecord(code=code, severity="warning", what=what, remedy=remedy)
