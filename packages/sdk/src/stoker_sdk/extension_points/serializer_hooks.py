# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Serializer hooks: data that a plugin adds to nodes, environments and deployments in the API's answers, as ``ext.PLUGIN``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from stoker_sdk.model.code import check_code, check_deadline
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind

COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "node": frozenset({"name", "address", "transport", "status", "roles", "facts", "environment"}),
    "environment": frozenset({"name", "revision"}),
    "deployment": frozenset({"state", "reason", "plan", "created_at", "finished_at"}),
}
"""What a hook may read of each kind of object."""


class SerializerHook(Contribution, frozen=True, kw_only=True, tag="serializer_hooks"):
    """A function that gives data for core objects; it runs when what it reads has changed, never when somebody looks.

    ::

        def labels(objects: Sequence[Object], context: Context) -> Mapping[str, JSON]: ...

    The function gets a batch of objects, each with ``id`` and the columns that it declares to read, and gives the data of
    each by its id;
    an object that it leaves out has no data. It is best effort: if it fails, the old data stay and are marked stale.
    """

    name: str
    """The hook's name: lower case letters, digits and underscores. Its data stand under ``ext.PLUGIN.NAME``."""
    target: Literal["node", "environment", "deployment"]
    """The kind of objects that it adds to."""
    call: str
    """The function, as ``code(FUNCTION)``."""
    json_schema: Mapping[str, object] = msgspec.field(name="schema")
    """JSON Schema (2020-12) of the data of one object: what does not fit is refused when it comes, and never shown."""
    reads: Sequence[str] = ()
    """Columns of the object that it depends on, e.g. ``name``, ``roles``, ``facts``: a change of one runs the hook again."""
    records: Sequence[str] = ()
    """Collections of the plugin that it depends on, each declared with ``key_of`` of the same kind of object."""
    settings: bool = False
    """Whether it depends on the plugin's settings in the environment."""
    time_to_live: float = 0
    """Seconds after which the data are made anew although nothing changed; 0: never. At least 10."""
    permission: str = ""
    """A permission of this plugin that somebody needs to see the data; empty: everybody who sees the object."""
    deadline: float = 10
    """Seconds for one batch."""

    @property
    def label(self) -> str:
        """``serializer_hooks NAME``."""
        return f"serializer_hooks {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name, function, columns and times."""
        yield from check_kind(self.name, "name")
        yield from check_code(self.call, "call")
        yield from check_deadline(self.deadline)
        for index, column in enumerate(self.reads):
            if column not in COLUMNS[self.target]:
                yield Finding(
                    rule="X030",
                    field=f"reads[{index}]",
                    message=f"a {self.target} has no column {column[:80]!r}.",
                    remedy=f"There are: {', '.join(sorted(COLUMNS[self.target]))}.",
                )
        if self.time_to_live and self.time_to_live < LEAST_TIME_TO_LIVE:
            yield Finding(
                rule="X031",
                field="time_to_live",
                message=f"{self.time_to_live:g} seconds are too short.",
                remedy=f"Give at least {LEAST_TIME_TO_LIVE}, or 0 for data that change with what they depend on alone.",
            )
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Leave objects out in the function.")


LEAST_TIME_TO_LIVE: Final = 10
"""Seconds."""

POINT = ExtensionPoint(name="serializer_hooks", combines="slot", contributions=(SerializerHook,), needs_code=True)
