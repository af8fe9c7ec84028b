# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What patches have made of one task: its changed fields with their owners, its further edges and triggers."""

from __future__ import annotations

from typing import Literal

import msgspec
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.dependency import Edge
from stoker_sdk.model.finding import Finding

from stoker.domain.snapshot import PluginInput
from stoker.planning.values import ForeignValue, Scope, ValueFault, is_shared, write_text


class PatchedField(msgspec.Struct, frozen=True, kw_only=True):
    """One field that other plugins changed."""

    field: str
    """``skip``, a field's name, ``environment.NAME``, ``after`` ..."""
    value: str
    """The new value in words; of an expression its text."""
    owners: list[tuple[PluginInput, Contribution, object]]
    """The plugins that want it so, with their patches and values."""


class PatchedEdge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge that another plugin gave to the task; bare names are that plugin's own."""

    plugin: str
    label: str
    field: Literal["after", "before"]
    place: str
    """The field's path in the patch, for messages."""
    edge: Edge


class Patched(msgspec.Struct, kw_only=True):
    """All that patches say of one task."""

    skip: bool = False
    fields: list[PatchedField] = []
    edges: list[PatchedEdge] = []
    triggers: dict[str, tuple[str, str]] = {}
    """Triggers that were added, with the plugin and label that added them."""
    timing: dict[str, float] = {}
    """``timeout``, ``retries`` and ``retry_interval`` of a generated task."""


class Borrowed(ForeignValue):
    """A value that other plugins gave to a task: evaluated as they see things, and the same for all of them."""

    def __init__(self, field: str, owners: list[tuple[Scope, str, object]]) -> None:
        """Take scope, label and value of each plugin that gives it."""
        self.field = field
        self.owners = owners

    def is_shared(self) -> bool:
        """Whether it is the same on all nodes."""
        return all(is_shared(value) for _, _, value in self.owners)

    def evaluate(self, node: int) -> object:
        """The value on a node.

        Raises:
            ValueFault: an expression does not fit, or the plugins want different values.
        """
        found: list[object] = []
        for scope, label, value in self.owners:
            scope.enter(node)
            found.append(scope.evaluate(value, label, self.field))
        if len({repr(value) for value in found}) > 1:
            raise ValueFault(self.conflict(found))
        return found[0]

    def conflict(self, values: list[object]) -> Finding:
        """The finding for different values."""
        first, label, _ = self.owners[0]
        wanted = " and ".join(
            f"{write_text(value)!r} by {scope.plugin.name} ({name})"
            for value, (scope, name, _) in zip(values, self.owners, strict=True)
        )
        return Finding(
            rule="H010",
            plugin=first.plugin.name,
            contribution=label,
            field=self.field,
            message=f"plugins patch this field differently: {wanted}.",
            remedy="Disable one of the plugins, or make them agree.",
        )
