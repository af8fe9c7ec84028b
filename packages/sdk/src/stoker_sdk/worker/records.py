# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin's records, asked for on the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from stoker_sdk.context.records import Page, Record
from stoker_sdk.errors import RecordsError, RefusedError
from stoker_sdk.model.json_value import JSON
from stoker_sdk.worker.channel import Channel


class RecordsClient:
    """The collections of the plugin, in the environment of the call."""

    def __init__(self, channel: Channel) -> None:
        """Take the call's way back."""
        self._channel = channel

    def get(self, collection: str, key: str) -> Record | None:
        """One record; ``None`` if it is not there."""
        return self.get_many(collection, [key]).get(key)

    def get_many(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Those that are there, by key."""
        found = self._ask("records.get", collection, keys=list(keys))
        return {one.key: one for one in msgspec.json.decode(found, type=list[Record])}

    def put(self, collection: str, key: str, value: JSON, *, revision: int | None = None) -> Record:
        """Write a document."""
        revisions = {} if revision is None else {key: revision}
        written = self._ask("records.put", collection, values={key: value}, revisions=revisions)
        return msgspec.json.decode(written, type=list[Record])[0]

    def put_many(self, collection: str, values: Mapping[str, JSON], *, revisions: Mapping[str, int] | None = None) -> int:
        """Write many at once."""
        written = self._ask("records.put", collection, values=dict(values), revisions=dict(revisions or {}))
        return len(msgspec.json.decode(written, type=list[Record]))

    def delete(self, collection: str, keys: Sequence[str]) -> int:
        """Delete records; the number of those that were there."""
        return msgspec.json.decode(self._ask("records.delete", collection, keys=list(keys)), type=int)

    def find(self, collection: str, where: Mapping[str, JSON] | None = None, *, after: str = "", limit: int = 100) -> Page:
        """Records by key, of those whose fields are equal to what is given."""
        found = self._ask("records.find", collection, where=dict(where or {}), after=after, limit=limit)
        return msgspec.json.decode(found, type=Page)

    def count(self, collection: str, where: Mapping[str, JSON] | None = None) -> int:
        """How many there are."""
        return msgspec.json.decode(self._ask("records.count", collection, where=dict(where or {})), type=int)

    def _ask(self, operation: str, collection: str, **fields: object) -> bytes:
        try:
            return self._channel.ask(operation, {"collection": collection, **fields})
        except RefusedError as error:
            raise RecordsError(collection, str(error.data.get("reason", "refused")), error.detail, error.remedy) from error
