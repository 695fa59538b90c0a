"""A run's head, conditions and trials -> a verdict on each of its claims.

Decided on an interval: supported where all of it meets the bound, refuted where all of it misses. A claim
about several conditions is supported where it is in each of them, and refuted where it is in one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vmvc.bounds import Verdict
from vmvc.claims_figures import MOST_TRIALS, Figure, trials_needed
from vmvc.claims_questions import Question, Questions
from vmvc.claims_samples import Measured, Part
from vmvc.claims_sentence import Words, advice, sentence
from vmvc.claims_spoilers import Spoilers
from vmvc.plan import Condition
from vmvc.records_claims import VerdictRecord
from vmvc.records_journal import RunRecord, TrialRecord
from vmvc.spec_claims import Claim


def verdicts(
    head: RunRecord, conditions: Sequence[Condition], trials: Iterable[TrialRecord]
) -> tuple[VerdictRecord, ...]:
    """Return a verdict a claim, in file order; the same records give the same ones."""
    if not head.claims:
        return ()
    known = {f"{one.metric}.{one.quantity}" for one in head.quantities}
    spoilers = Spoilers(head)
    measured = Measured.of(head, _noted(trials, spoilers))
    questions = Questions(head, conditions, measured)
    return tuple(
        _verdict(claim, questions.of(claim), measured, spoilers)
        for claim in head.claims
        if claim.metric in known
    )


def _noted(trials: Iterable[TrialRecord], spoilers: Spoilers) -> Iterator[TrialRecord]:
    """Pass trials on but for warm-ups, with what was found in them noted."""
    for trial in trials:
        if not trial.warmup:
            spoilers.note(trial)
            yield trial


@dataclass(frozen=True, slots=True)
class _Decision:
    """What one part of a claim came to, at which level."""

    part: Part
    figure: Figure
    verdict: Verdict
    confidence: float

    def spare(self, question: Question) -> float:
        interval = self.figure.interval
        return question.wanted.margin(*interval) if interval is not None else 0.0


def _verdict(claim: Claim, question: Question, measured: Measured, spoilers: Spoilers) -> VerdictRecord:
    decisions = [_decide(claim, question, part) for part in question.parts]
    if not decisions:
        return _unplanned(claim, question)
    tally = Counter(decision.verdict for decision in decisions)
    verdict: Verdict = (
        "refuted" if tally["refuted"] else "inconclusive" if tally["inconclusive"] else "supported"
    )
    decisive = [decision for decision in decisions if decision.verdict == verdict]
    if verdict == "supported":
        decisive.sort(key=lambda decision: decision.spare(question))
    chosen = decisive[0]
    figure = chosen.figure
    needs, reason = math.inf, ""
    if verdict == "inconclusive":
        needs = trials_needed(figure, question.wanted, chosen.confidence)
        told = figure.reason if figure.interval is None and math.isinf(needs) else ""
        reason = told or advice(figure, needs, question.wanted, chosen.confidence)
    words = Words(
        verdict,
        question.subject(chosen.part),
        question.bound,
        question.unit,
        question.limits,
        chosen.confidence,
        question.tell(chosen.part) if question.tell is not None else "",
        f"{len(decisions)} {question.noun}" if len(decisions) > 1 else "",
        tally[verdict],
    )
    metric, _, quantity = claim.metric.partition(".")
    concerned = list({one.id: one for part in question.parts for one in part}.values())
    return VerdictRecord(
        id=claim.id,
        says=claim.says,
        verdict=verdict,
        sentence=sentence(words, figure, reason),
        metric=metric,
        quantity=quantity,
        form=claim.form,
        unit=question.unit,
        conditions=tuple(one.id for one in chosen.part),
        decided=dict(sorted(tally.items())),
        values=question.values(chosen.part),
        value=figure.value,
        interval=figure.interval,
        confidence=chosen.confidence,
        n=figure.n,
        method=figure.method,
        spoilers=tuple(spoilers.of(claim, concerned, measured)),
        needs_trials=int(needs) if needs <= MOST_TRIALS else None,
        reason=reason,
    )


def _decide(claim: Claim, question: Question, part: Part) -> _Decision:
    """Decide on one part; one of several refutes a claim only at the level that all of them share.

    A claim falls with any of its parts, so k parts at 95% would refute a true one up to k times as often.

    Source: Bonferroni; that support needs no such care: Berger (1982), intersection-union tests.
    """
    confidence = question.confidence
    shared = 1 - (1 - claim.confidence) / len(question.parts)
    figure = question.ask(part, confidence)
    verdict = _judge(question, figure)
    if verdict == "refuted" and question.tell is None and shared > confidence:
        confidence = shared
        figure = question.ask(part, shared)
        verdict = _judge(question, figure)
    return _Decision(part, figure, verdict, confidence)


def _judge(question: Question, figure: Figure) -> Verdict:
    return "inconclusive" if figure.interval is None else question.wanted.judge(*figure.interval)


def _unplanned(claim: Claim, question: Question) -> VerdictRecord:
    """Say that a claim is about conditions that this run has not."""
    metric, _, quantity = claim.metric.partition(".")
    reason = "the run has no condition that the claim is about"
    return VerdictRecord(
        id=claim.id,
        says=claim.says,
        verdict="inconclusive",
        sentence=f"Inconclusive: {reason}.",
        metric=metric,
        quantity=quantity,
        form=claim.form,
        unit=question.unit,
        confidence=question.confidence,
        reason=reason,
    )
