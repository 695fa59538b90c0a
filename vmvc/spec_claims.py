"""A claim as a file says it: a hypothesis in one of nine forms, each decided on a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from vmvc.spec_model import MOST_FACTORS, FactorPath, Level, Model, Name, exactly_one, schema_of_exactly_one
from vmvc.units import Percent

Limit = float | Annotated[str, Field(pattern=r"^[0-9]", max_length=40)]
"""A number in the quantity's own unit, or text with a unit (`2s`, `64MiB`, `5%`)."""


def _inside(share: float) -> float:
    if not 0 < share < 1:
        raise PydanticCustomError("percent", "expected a percentage between 0% and 100%, neither of them")
    return share


Share = Annotated[
    Percent,
    AfterValidator(_inside),
    Field(json_schema_extra={"not": {"pattern": r"^0+(\.0+)? ?%$|^0*100"}}),
]
"""A fraction of one, neither 0 nor 1: a quantile or a confidence level."""

_LIMITS: Final = ("below", "above", "between", "equals")


class Bound(Model):
    """A limit: exactly one of below, above, between, equals."""

    model_config = ConfigDict(
        json_schema_extra={
            **schema_of_exactly_one(_LIMITS),
            "dependentRequired": {"equals": ["within"], "within": ["equals"]},
        }
    )

    below: Limit | None = Field(default=None, description="The whole interval lies below this value.")
    above: Limit | None = Field(default=None, description="The whole interval lies above this value.")
    between: tuple[Limit, Limit] | None = Field(
        default=None, description="The whole interval lies between these two values."
    )
    equals: Limit | None = Field(
        default=None, description="The whole interval lies around this value, no farther off than `within`."
    )
    within: Limit | None = Field(
        default=None, description="Distance from `equals`: a value, or a percentage of `equals`."
    )

    @model_validator(mode="after")
    def _one(self) -> Bound:
        exactly_one(self, _LIMITS)
        if (self.equals is None) != (self.within is None):
            raise PydanticCustomError("bound_within", "`within` goes with `equals`, and only with it")
        return self


class QuantileBound(Bound):
    """A limit on a quantile of one backend."""

    at: Share = Field(description="Share of the values that the quantile leaves below it, such as 95%.")


class PairBound(Bound):
    """A limit on a ratio or a difference of two backends."""

    of: Name = Field(description="Backend that is divided, or subtracted from.")
    to: Name = Field(description="Backend that it is divided by, or that is subtracted.")
    quantile: Share = Field(default=0.5, description="Compare this quantile instead of the medians (50%).")


class Order(Model):
    """An order of several backends."""

    of: Annotated[tuple[Name, ...], Field(min_length=2, max_length=100)] = Field(
        description="Backends whose medians rise strictly in this order."
    )


class SlopeBound(Bound):
    """A limit on how a quantity grows with a factor."""

    over: FactorPath = Field(description="Factor with numeric levels: sizes, durations or numbers.")
    per: Limit = Field(
        default=1.0, description="Growth of the factor that the limit is for, such as `1GiB`; by default 1."
    )


class Fact(Model):
    """A quantity that has one value in every trial."""

    is_: bool | Limit = Field(alias="is", description="The value: `true` stands for 1 and `false` for 0.")


class Reference(Model):
    """Agreement with another run."""

    run: str = Field(
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00]+$",
        description="Folder of the other run, relative to the experiment file; read before the first trial.",
    )
    within: Percent = Field(description="How far the ratio of this run's median to the other's may be off 1.")


ON_ONE: Final = ("median", "quantile", "success", "slope", "fact", "reference")
"""Forms that are about one backend, named by ``backend``."""
ON_SEVERAL: Final = ("ratio", "difference", "order")
"""Forms that name their backends themselves."""
_FORMS: Final = (*ON_ONE, *ON_SEVERAL)


class Claim(Model):
    """A hypothesis that the numbers support, refute or leave open."""

    model_config = ConfigDict(
        json_schema_extra={
            **schema_of_exactly_one(_FORMS),
            "dependentRequired": {form: ["backend"] for form in ON_ONE},
            "dependentSchemas": {"backend": {"anyOf": [{"required": [form]} for form in ON_ONE]}},
        }
    )

    id: Name = Field(description="Short name of the claim, unique in the file.")
    says: str = Field(min_length=1, max_length=1000, description="The claim as a sentence for people.")
    metric: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*\.[a-z0-9][a-z0-9_.-]*$",
        description="Metric and quantity, such as `startup.ready`.",
    )
    backend: Name | None = Field(
        default=None, description="The backend that a claim on one backend is about; goes with those forms."
    )
    at: Annotated[Mapping[FactorPath, Level], Field(max_length=MOST_FACTORS)] = Field(
        default_factory=dict,
        description="Factor -> level: only conditions at these levels; else the claim is about all of them.",
    )
    median: Bound | None = Field(default=None, description="Bound on the median of one backend.")
    quantile: QuantileBound | None = Field(default=None, description="Bound on a quantile of one backend.")
    ratio: PairBound | None = Field(default=None, description="Bound on the ratio of two backends' medians.")
    difference: PairBound | None = Field(
        default=None, description="Bound on the difference of two backends' medians."
    )
    order: Order | None = Field(default=None, description="Medians of several backends rise in this order.")
    success: Bound | None = Field(
        default=None, description="Bound on the share of the metric's trials that do not fail."
    )
    slope: SlopeBound | None = Field(
        default=None, description="Bound on the growth of a quantity per unit of a factor (Theil-Sen)."
    )
    fact: Fact | None = Field(default=None, description="A value that is the same in every trial.")
    reference: Reference | None = Field(
        default=None, description="The median is that of another run, within a tolerance."
    )
    confidence: Share = Field(default=0.95, description="Confidence level of the interval that decides.")

    @model_validator(mode="after")
    def _one_form(self) -> Claim:
        exactly_one(self, _FORMS)
        if self.form in ON_ONE and self.backend is None:
            raise PydanticCustomError(
                "claim_backend", "`{form}` is about one backend: add `backend`", {"form": self.form}
            )
        if self.form in ON_SEVERAL and self.backend is not None:
            raise PydanticCustomError(
                "claim_backend", "`{form}` names its backends itself: remove `backend`", {"form": self.form}
            )
        return self

    @property
    def form(self) -> str:
        """The one key that says what is claimed: ``median``, ``ratio``, ..."""
        return next(form for form in _FORMS if getattr(self, form) is not None)
