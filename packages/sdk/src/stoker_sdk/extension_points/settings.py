# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings: the typed options that an operator gives to a plugin in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

import msgspec
import pydantic

from stoker_sdk.model.contribution import Contribution, ExtensionPoint

JsonSchema: TypeAlias = Mapping[str, object]

Generator: TypeAlias = Literal["password", "hex", "uuid", "ssh_key"]


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
        **limits: passed to :func:`pydantic.Field`, e.g. ``ge=1``, ``pattern="..."``.
    """
    extra: dict[str, Any] = {}
    if when is not None:
        extra["x-when"] = when
    if secret or generator is not None:
        extra["x-secret"] = {key: value for key, value in (("generator", generator), ("length", length)) if value is not None}
    return pydantic.Field(default, title=title, description=description or None, json_schema_extra=extra or None, **limits)


POINT = ExtensionPoint(name="settings", combines="slot", contributions=(Settings,))
