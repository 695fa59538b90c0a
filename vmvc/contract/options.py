"""A plug-in's own options, as a model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Base of a plug-in's own options: frozen, closed, strict; merged into the JSON Schema.

    Give every field a description. Use ``vmvc.units`` types for durations and sizes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
