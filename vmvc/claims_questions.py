"""A claim and the samples of a run -> what is asked of which conditions, and in which words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vmvc import claims_figures as figures
from vmvc import stats
from vmvc.bounds import ABOVE_0, Range, range_of
from vmvc.claims_figures import Figure, Sample
from vmvc.claims_samples import Measured, Part, joined
from vmvc.claims_sentence import Scale, beside, figure_of, limits_of, wording_of
from vmvc.plan import Condition
from vmvc.records_journal import RunRecord
from vmvc.spec_claims import Bound, Claim, Limit
from vmvc.units import amount, format_percent, measure


@dataclass(frozen=True, slots=True)
class Question:
    """A claim, ready to be asked.

    ``parts``: each must meet ``wanted``. ``ask``: the figure of a part at a confidence level. ``values``: a
    part's own figures by condition. ``subject``: what the figure is, in words; ``tell``: all there is to say
    of a figure that has no interval. ``confidence``: the level at which each part is asked.
    """

    parts: Sequence[Part]
    ask: Callable[[Part, float], Figure]
    wanted: Range
    bound: str
    unit: str
    subject: Callable[[Part], str]
    limits: Sequence[Limit] = ()
    values: Callable[[Part], Mapping[str, float]] = lambda part: {}
    tell: Callable[[Part], str] | None = None
    confidence: float = 0.95
    noun: str = "conditions"


class Questions:
    """Puts the claims of one run as questions."""

    def __init__(self, head: RunRecord, conditions: Sequence[Condition], measured: Measured) -> None:
        self._head = head
        self._measured = measured
        self._units = {f"{one.metric}.{one.quantity}": one.unit for one in head.quantities}
        self._references = {one.claim: one for one in head.references}
        self._of: dict[str, list[Condition]] = defaultdict(list)
        for condition in conditions:
            self._of[condition.backend].append(condition)

    def of(self, claim: Claim) -> Question:
        """Return the claim as a question; its parts are empty where no condition was planned."""
        match claim.form:
            case "median" | "quantile":
                return self._quantile(claim)
            case "ratio" | "difference":
                return self._pair(claim)
            case "order":
                return self._order(claim)
            case "success":
                return self._success(claim)
            case "slope":
                return self._slope(claim)
            case "fact":
                return self._fact(claim)
            case _:
                return self._reference(claim)

    # --- conditions

    def _single(self, claim: Claim) -> list[Part]:
        return list(joined(self._of, (str(claim.backend),), claim.at))

    def _sample(self, condition: Condition, claim: Claim) -> Sample:
        return self._measured.samples.get((condition.id, claim.metric), Sample())

    def _unmeasured(self, part: Part, claim: Claim) -> Figure | None:
        """Return the figure of conditions one of which has no value, ``None`` where all have some."""
        for one in part:
            if not self._sample(one, claim).values:
                return Figure(None, reason=f"no value of {claim.metric} was measured on {one.id}")
        return None

    def _medians(self, part: Part, claim: Claim, share: float) -> Mapping[str, float]:
        samples = {one.id: self._sample(one, claim).values for one in part}
        return {name: _point(values, share) for name, values in samples.items() if values}

    # --- forms

    def _quantile(self, claim: Claim) -> Question:
        bound: Bound
        if claim.median is not None:
            share, bound = 0.5, claim.median
        else:
            assert claim.quantile is not None
            share, bound = claim.quantile.at, claim.quantile

        def ask(part: Part, confidence: float) -> Figure:
            return self._unmeasured(part, claim) or figures.quantile(
                self._sample(part[0], claim), share, confidence
            )

        return self._bounded(
            claim,
            bound,
            self._units[claim.metric],
            self._single(claim),
            ask,
            lambda part: f"{figure_of(share)} of {claim.metric} on {part[0].id}",
        )

    def _pair(self, claim: Claim) -> Question:
        pair = claim.ratio if claim.ratio is not None else claim.difference
        assert pair is not None
        share, divided = pair.quantile, claim.ratio is not None
        unit = self._units[claim.metric]

        def ask(part: Part, confidence: float) -> Figure:
            of, to = (self._sample(one, claim) for one in part)
            compare = figures.ratio if divided else figures.difference
            return self._unmeasured(part, claim) or compare(of, to, share, confidence, self._head.seed)

        def subject(part: Part) -> str:
            own = self._medians(part, claim, share)
            like = () if divided else limits_of(pair)
            of, to = (beside(one.id, own.get(one.id), unit, like) for one in part)
            joined = "divided by" if divided else "minus"
            return f"{figure_of(share)} of {claim.metric} on {of} {joined} that on {to}"

        parts = list(joined(self._of, (pair.of, pair.to), claim.at))
        return self._bounded(claim, pair, "1" if divided else unit, parts, ask, subject, share=share)

    def _order(self, claim: Claim) -> Question:
        """Ask of each neighbouring pair whether the later one is higher, at a level shared by the pairs."""
        assert claim.order is not None
        unit = self._units[claim.metric]
        chain = claim.order.of

        def ask(part: Part, confidence: float) -> Figure:
            lower, higher = (self._sample(one, claim) for one in part)
            return self._unmeasured(part, claim) or figures.difference(
                higher, lower, 0.5, confidence, self._head.seed
            )

        def subject(part: Part) -> str:
            own = self._medians(part, claim, 0.5)
            lower, higher = (beside(one.id, own.get(one.id), unit) for one in part)
            return f"the median of {claim.metric} on {higher} minus that on {lower}"

        pairs = {
            (lower.id, higher.id): (lower, higher)
            for group in joined(self._of, chain, claim.at)
            for lower, higher in pairwise(group)
        }
        return Question(
            parts=list(pairs.values()),
            ask=ask,
            wanted=ABOVE_0,
            bound="above 0",
            unit=unit,
            subject=subject,
            limits=(0.0,),
            values=lambda part: self._medians(part, claim, 0.5),
            confidence=level_of(claim),
            noun="steps",
        )

    def _success(self, claim: Claim) -> Question:
        assert claim.success is not None
        metric = claim.metric.partition(".")[0]

        def ask(part: Part, confidence: float) -> Figure:
            outcomes = self._measured.trials.get((part[0].id, metric), Counter())
            if not outcomes:
                return Figure(None, reason=f"no trial of {part[0].id} has ended")
            return figures.success(outcomes.total() - outcomes["failed"], outcomes.total(), confidence)

        def subject(part: Part) -> str:
            outcomes = self._measured.trials.get((part[0].id, metric), Counter())
            counted = f" ({outcomes.total() - outcomes['failed']} of {outcomes.total()})" if outcomes else ""
            return f"the share of trials of {metric} on {part[0].id} that were measured{counted}"

        return self._bounded(claim, _in_percent(claim.success), "1", self._single(claim), ask, subject)

    def _slope(self, claim: Claim) -> Question:
        assert claim.slope is not None
        over, per = claim.slope.over, claim.slope.per
        step = amount(per, "1") if not isinstance(per, str) else (measure(per) or (1.0, "1"))[0]
        unit = self._units[claim.metric]
        lines: dict[str, list[Condition]] = defaultdict(list)
        for (one,) in self._single(claim):
            rest = {path: level for path, level in one.factors.items() if path != over}
            lines[repr(rest)].append(one)

        def ask(part: Part, confidence: float) -> Figure:
            samples = {
                found[0]: sample
                for one in part
                if (sample := self._sample(one, claim)).values
                and (found := measure(one.factors.get(over))) is not None
            }
            if len(samples) < 2:
                return Figure(None, reason=f"a slope needs values at two levels of {over}")
            return figures.slope(samples, step, confidence)

        def subject(part: Part) -> str:
            levels = [str(one.factors.get(over)) for one in part]
            by = per if isinstance(per, str) else f"{Scale.of('1', (), ()).show(step)}"
            rest = " ".join(f"{path}={level}" for path, level in part[0].factors.items() if path != over)
            where = f"{part[0].backend} {rest}".strip()
            return (
                f"the growth of {claim.metric} on {where} with every {by} of {over} "
                f"(from {levels[0]} to {levels[-1]})"
            )

        parts = [tuple(line) for line in lines.values()]
        return self._bounded(claim, claim.slope, unit, parts, ask, subject)

    def _fact(self, claim: Claim) -> Question:
        assert claim.fact is not None
        unit = self._units[claim.metric]
        given = claim.fact.is_
        wanted = amount(given, unit)

        def show(value: float) -> str:
            if isinstance(given, bool) and value in (0.0, 1.0):
                return "true" if value else "false"
            return Scale.of(unit, (), (value,)).show(value)

        def ask(part: Part, confidence: float) -> Figure:
            return self._unmeasured(part, claim) or figures.fact(self._sample(part[0], claim), wanted)

        def tell(part: Part) -> str:
            values = self._sample(part[0], claim).values
            others = [
                f"{show(value)} in {count}" for value, count in Counter(values).items() if value != wanted
            ]
            about = f"{claim.metric} on {part[0].id} is"
            if not others:
                return f"{about} {show(wanted)} in all trials (n = {len(values)})"
            return f"{about} not {show(wanted)} in all trials: {', '.join(others[:3])} of {len(values)}"

        return Question(
            parts=self._single(claim),
            ask=ask,
            wanted=Range(wanted, wanted),
            bound=show(wanted),
            unit=unit,
            subject=lambda part: f"{claim.metric} on {part[0].id}",
            tell=tell,
            confidence=claim.confidence,
        )

    def _reference(self, claim: Claim) -> Question:
        assert claim.reference is not None
        within = claim.reference.within
        record = self._references.get(claim.id)

        def theirs(condition: Condition) -> Sample:
            found = record.samples.get(condition.id) if record is not None else None
            sample = Sample()
            if found is not None:
                sample.values.extend(found.values)
                sample.resolution = found.resolution
            return sample

        def ask(part: Part, confidence: float) -> Figure:
            other = theirs(part[0])
            if not other.values:
                return Figure(None, reason=f"run {run} has no value of {claim.metric} on {part[0].id}")
            return self._unmeasured(part, claim) or figures.ratio(
                self._sample(part[0], claim), other, 0.5, confidence, self._head.seed, paired=False
            )

        def subject(part: Part) -> str:
            unit, other = self._units[claim.metric], theirs(part[0]).values
            own = self._medians(part, claim, 0.5).get(part[0].id)
            before = _point(other, 0.5) if other else None
            return (
                f"the median of {claim.metric} on {beside(part[0].id, own, unit)} divided by that of "
                f"{beside(f'run {run}', before, unit)}"
            )

        run = record.run if record is not None else claim.reference.run
        return Question(
            parts=self._single(claim),
            ask=ask,
            wanted=Range(1 - within, 1 + within),
            bound=f"within {format_percent(within)} of 1",
            unit="1",
            subject=subject,
            limits=(1 - within, 1 + within),
            values=lambda part: self._medians(part, claim, 0.5),
            confidence=claim.confidence,
        )

    def _bounded(
        self,
        claim: Claim,
        bound: Bound,
        unit: str,
        parts: Sequence[Part],
        ask: Callable[[Part, float], Figure],
        subject: Callable[[Part], str],
        share: float = 0.5,
    ) -> Question:
        return Question(
            parts=parts,
            ask=ask,
            wanted=range_of(bound, unit),
            bound=wording_of(bound, unit),
            unit=unit,
            subject=subject,
            limits=limits_of(bound),
            values=lambda part: self._medians(part, claim, share),
            confidence=claim.confidence,
        )


def level_of(claim: Claim) -> float:
    """Return the confidence level of each interval that decides: the steps of an order share the claim's.

    Source: Bonferroni's inequality.
    """
    steps = len(claim.order.of) - 1 if claim.order is not None else 1
    return 1 - (1 - claim.confidence) / steps if steps > 1 else claim.confidence


def _point(values: Sequence[float], share: float) -> float:
    found = stats.quantile(values, share).value
    assert found is not None
    return found


def _in_percent(bound: Bound) -> Bound:
    """Return the bound with shares written as percentages."""

    def write(limit: Limit | None) -> Limit | None:
        return format_percent(limit) if isinstance(limit, float) and 0 <= limit <= 1 else limit

    between = bound.between and (write(bound.between[0]), write(bound.between[1]))
    update = {key: write(getattr(bound, key)) for key in ("below", "above", "equals")}
    return bound.model_copy(update={**update, "between": between})
