"""A list of names -> settings by name: the short form of ``backends`` and ``metrics``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from vmvc.spec_model import NAME

NAMES: Final = "list of names"
"""Step in an error's ``loc``: this form of ``backends`` and ``metrics`` was taken for the intended one."""
MOST_NAMES: Final = 100
"""Most backends, and most metrics, of an experiment."""


@dataclass(frozen=True)
class NamesToo:
    """Take a list of names as well as a mapping; each name then stands for ``settings()``.

    A validator that turns the one into the other would leave JSON mode, where strict lists are tuples.
    """

    settings: Callable[[], object]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        name = core_schema.str_schema(pattern=NAME)
        names = core_schema.list_schema(name, min_length=1, max_length=MOST_NAMES)
        return core_schema.tagged_union_schema(
            {
                NAMES: core_schema.no_info_after_validator_function(self._expand, names),
                "settings by name": handler(source),
            },
            discriminator=_form,
            custom_error_type="names_or_settings",
            custom_error_message="expected a list of names, or a mapping of names to settings",
        )

    def _expand(self, names: list[str]) -> Mapping[str, object]:
        if len(set(names)) < len(names):
            raise PydanticCustomError("listed_twice", "expected a list in which each name stands once")
        return {name: self.settings() for name in names}


def _form(value: object) -> str | None:
    forms = {NAMES: list, "settings by name": Mapping}
    return next((form for form, kind in forms.items() if isinstance(value, kind)), None)
