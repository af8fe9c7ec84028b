# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Expressions: the one language (CEL) for values and conditions, and ``ref``, which writes it in Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

import msgspec


class Expression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CEL expression over what an environment knows; in JSON and YAML ``{"$cel": "settings.text"}``.

    The variables that an expression may use:

    - ``settings``: the plugin's own settings in the environment; secrets are opaque texts that may be joined to others.
    - ``public``: what anybody may know of the plugin's generated pairs: ``public.FIELD.public_key`` of an SSH key,
      ``public.FIELD.certificate`` and ``public.FIELD.ca`` of a certificate.
    - ``node``: the node that the value is for: ``id``, ``name``, ``address``, ``roles`` and ``facts``.
    - ``nodes``: all nodes of the environment, each like ``node``, ordered by name.
    - ``by_role``: a map from a role's name to its nodes, ordered by name (an empty list if it has none).
    - ``by_service``: a map from a service's name to the nodes that have it, ordered by name.
    - ``primary``: a map from a role's name to the node that ``primary(ROLE)`` means; a role without nodes is not in it.
    - ``environment``: ``id`` and ``name``.
    """

    source: str = msgspec.field(name="$cel")
    """The text of the expression, CEL syntax."""


Scalar: TypeAlias = str | int | float | bool | None
"""A constant of a contribution's field."""

Value: TypeAlias = Scalar | Expression | Sequence[str | int | float | bool | Expression]
"""A constant, an expression, or a list of both."""

Condition: TypeAlias = Expression | str | None
"""An expression (or its CEL text) that must be true for the contribution to count; ``None`` means always."""


_NO_TEXT: Final = (
    "the reference to {0} has no text yet, so it cannot stand in an f-string, str() or '%s'; its value comes with a plan. "
    "Join it with +, as in 'a ' + ref.settings.x + ' b', or write all of it in CEL, as in ref(\"'a ' + settings.x + ' b'\")"
)
_NO_ITEMS: Final = (
    "the reference to {0} has no items yet; its value comes with a plan. "
    "Write CEL, as in ref(\"settings.hosts.map(host, host + ':80')\")"
)


def condition_source(condition: Condition) -> str | None:
    """The CEL text of a condition, or ``None`` if there is none."""
    return condition.source if isinstance(condition, Expression) else condition


def _operand(value: Reference | Expression | Scalar) -> str:
    if isinstance(value, Reference):
        return value.source
    if isinstance(value, Expression):
        return f"({value.source})"
    return json.dumps(value)


class Reference(Expression, frozen=True, forbid_unknown_fields=True):
    """An expression that grows by attribute access, indexing and operators; made from ``ref``."""

    def __getattr__(self, name: str) -> Reference:
        """Reach into a field: ``ref.settings.text``."""
        if name.startswith("_"):
            raise AttributeError(name)
        return Reference(f"{self.source}.{name}")

    def __getitem__(self, key: str | int) -> Reference:
        """Reach into a map or list: ``ref.by_role["web"][0]``."""
        return Reference(f"{self.source}[{json.dumps(key)}]")

    def __add__(self, other: Reference | Expression | str | int | float) -> Reference:
        """Join texts or add numbers."""
        return Reference(f"({self.source} + {_operand(other)})")

    def __radd__(self, other: str | int | float) -> Reference:
        """Join texts or add numbers, the constant first."""
        return Reference(f"({_operand(other)} + {self.source})")

    def __str__(self) -> str:
        """Refused: the text of a reference is not the value that it will have."""
        raise TypeError(_NO_TEXT.format(self.source))

    def __format__(self, spec: str) -> str:
        """Refused, as in an f-string: the value is not known yet."""
        raise TypeError(_NO_TEXT.format(self.source))

    def __iter__(self) -> NoReturn:
        """Refused: without this Python would ask for item 0, 1, 2 ... without end."""
        raise TypeError(_NO_ITEMS.format(self.source))

    def equals(self, other: Reference | Expression | Scalar) -> Reference:
        """A condition: this is equal to the other (``==`` itself compares the Python objects)."""
        return Reference(f"({self.source} == {_operand(other)})")


class Ref:
    """Where every reference begins: ``ref.settings``, ``ref.public``, ``ref.node``, ``ref.nodes`` ..."""

    settings: Final = Reference("settings")
    public: Final = Reference("public")
    node: Final = Reference("node")
    nodes: Final = Reference("nodes")
    by_role: Final = Reference("by_role")
    by_service: Final = Reference("by_service")
    primary: Final = Reference("primary")
    environment: Final = Reference("environment")

    def __call__(self, source: str) -> Reference:
        """Any CEL text: ``ref("settings.servers.map(s, s + ' iburst')")``."""
        return Reference(source)


ref: Final = Ref()
"""Writes expressions in Python."""

Environment: TypeAlias = Mapping[str, Value]
"""Environment variables of a command: name -> value. Values reach the command quoted, never as shell text."""
