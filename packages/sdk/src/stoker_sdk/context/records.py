# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin's records as its code sees them: documents in collections that nobody else reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from stoker_sdk.model.json_value import JSON


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One document."""

    key: str
    value: JSON
    revision: int
    """Rises with each change; give it back to change only what you have seen."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a collection."""

    records: Sequence[Record]
    next: str = ""
    """Give it as ``after`` for what follows; empty at the end."""


class Records(Protocol):
    """The collections of one plugin, in the environment of the call where they belong to one.

    Every method raises :class:`stoker_sdk.errors.RecordsError` if the collection is not declared, a document does not fit its
    schema
    or a limit, or a record has another revision than was given.
    """

    def get(self, collection: str, key: str) -> Record | None:
        """One record; ``None`` if it is not there."""
        ...

    def get_many(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Those that are there, by key."""
        ...

    def put(self, collection: str, key: str, value: JSON, *, revision: int | None = None) -> Record:
        """Write a document; with ``revision`` only if it still has that one (0: only if it is not there)."""
        ...

    def put_many(self, collection: str, values: Mapping[str, JSON], *, revisions: Mapping[str, int] | None = None) -> int:
        """Write many at once, all or none; the number of those that are different now."""
        ...

    def delete(self, collection: str, keys: Sequence[str]) -> int:
        """Delete records; the number of those that were there."""
        ...

    def find(self, collection: str, where: Mapping[str, JSON] | None = None, *, after: str = "", limit: int = 100) -> Page:
        """Records by key, of those whose fields (dotted paths) are equal to what is given."""
        ...

    def count(self, collection: str, where: Mapping[str, JSON] | None = None) -> int:
        """How many there are."""
        ...
