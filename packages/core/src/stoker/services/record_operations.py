# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Records on the way back: the operations with which a plugin's code reaches its own collections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

from stoker.errors import InvalidInputError
from stoker.plugin_host.back import BackChannel, Operation, Scope
from stoker.services.context import ServerContext
from stoker.services.records import Shelf

T = TypeVar("T", bound=msgspec.Struct)


class _Keys(msgspec.Struct, frozen=True, kw_only=True):
    collection: str
    keys: list[str]


class _Put(msgspec.Struct, frozen=True, kw_only=True):
    collection: str
    values: dict[str, msgspec.Raw]
    revisions: dict[str, int] = {}


class _Find(msgspec.Struct, frozen=True, kw_only=True):
    collection: str
    where: dict[str, object] = {}
    after: str = ""
    limit: int = 100


def register(context: ServerContext, back: BackChannel) -> None:
    """Let plugins' code reach its records: those of the plugin and environment that its call is about, and no others."""

    def operation(kind: type[T], work: Callable[[Shelf, T], object]) -> Operation:
        async def run(scope: Scope, body: bytes) -> bytes:
            try:
                asked = msgspec.json.decode(body, type=kind)
            except msgspec.DecodeError as error:
                raise InvalidInputError(
                    f"this is not what the operation wants: {error}.", remedy="Use what the SDK gives."
                ) from error
            shelf = Shelf(context, scope.plugin, scope.version, scope.environment_id)
            return msgspec.json.encode(await asyncio.to_thread(work, shelf, asked))

        return run

    back.register("records.get", operation(_Keys, lambda shelf, asked: shelf.get(asked.collection, asked.keys)))
    back.register("records.put", operation(_Put, lambda shelf, asked: shelf.put(asked.collection, asked.values, asked.revisions)))
    back.register("records.delete", operation(_Keys, lambda shelf, asked: shelf.delete(asked.collection, asked.keys)))
    back.register(
        "records.find", operation(_Find, lambda shelf, asked: shelf.find(asked.collection, asked.where, asked.after, asked.limit))
    )
    back.register("records.count", operation(_Find, lambda shelf, asked: shelf.count(asked.collection, asked.where)))
