# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings: the typed options that an operator gives to a plugin in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self, TypeAlias

import msgspec
import pydantic

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.generator import Generator
from stoker_sdk.model.naming import did_you_mean

JsonSchema: TypeAlias = Mapping[str, object]

LIMITS: Final = frozenset(
    {"alias", "discriminator", "examples", "ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern"}
)
"""Parameters of :func:`pydantic.Field` that a JSON Schema keeps: what Python alone would check, nobody does."""


class Settings(Contribution, frozen=True, kw_only=True, tag="settings"):
    """The schema of a plugin's settings, made from a pydantic model."""

    json_schema: Mapping[str, object] = msgspec.field(name="schema")
    """JSON Schema (2020-12) of one object. ``x-secret`` marks a secret, ``x-when`` a field's condition."""

    @classmethod
    def from_model(cls, model: type[pydantic.BaseModel]) -> Self:
        """Make the contribution from a pydantic model; field descriptions become the form's help."""
        return cls(json_schema=model.model_json_schema())


def field(
    default: Any = ...,  # noqa: ANN401  pydantic's own signature: a default has the field's type
    *,
    title: str,
    description: str = "",
    when: str | None = None,
    secret: bool = False,
    generator: Generator | None = None,
    length: int | None = None,
    names: str | None = None,
    **limits: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """A field of a settings model with what a form needs besides its type.

    Args:
        default: the value where the operator gives none; without it the field must be given (or is generated).
        title: what a person reads.
        description: help under the field.
        when: a CEL condition over ``settings``; the field counts only where it is true.
        secret: whether the value is encrypted at rest and never shown.
        generator: how the control plane makes the secret if the operator gives none.
        length: characters of a generated password (default 32) or hex text.
        names: a CEL expression over ``settings`` that gives the host names and addresses which an ``x509`` certificate is for:
            a text or a list of texts, e.g. ``"settings.host"`` or ``"['db.example.org']"``.
        **limits: what else a value must be; passed to :func:`pydantic.Field`, e.g. ``ge=1``, ``pattern="..."``.

    Raises:
        TypeError: there is no such limit.
    """
    for name in sorted(limits.keys() - LIMITS):
        raise TypeError(
            f"settings.field() has no limit {name!r}. {did_you_mean(name, LIMITS)}Limits: {', '.join(sorted(LIMITS))}"
        )
    extra: dict[str, Any] = {}
    if when is not None:
        extra["x-when"] = when
    if secret or generator is not None:
        how = {"generator": generator, "length": length, "names": names}
        extra["x-secret"] = {key: value for key, value in how.items() if value is not None}
    return pydantic.Field(default, title=title, description=description or None, json_schema_extra=extra or None, **limits)


POINT = ExtensionPoint(name="settings", combines="slot", contributions=(Settings,))
