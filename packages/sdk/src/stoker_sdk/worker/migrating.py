# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Migrating records: one batch through a plugin's function, and which documents the function cannot do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

import msgspec

from stoker_sdk.context.present import Context
from stoker_sdk.model.json_value import JSON
from stoker_sdk.worker.calling import call_with, find

BATCH: Final = "stoker_sdk.worker.migrating:migrate_batch"
"""What the server calls in place of a migration's function, which it names."""
_LONGEST_REASON: Final = 200


class Migrated(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    documents: dict[str, JSON] = {}
    """In the new version; ``None``: dropped."""
    failures: dict[str, str] = {}
    """Documents that the function cannot do, with the reason, which says nothing of what they contain."""


def migrate_batch(documents: Mapping[str, JSON], function: str, context: Context) -> Migrated:
    """Migrate a batch; if that fails, each document by itself, so that those are known with which it fails."""
    find(function)

    def work(some: Mapping[str, JSON]) -> object:
        copied = msgspec.json.decode(msgspec.json.encode(some))  # the function may change what it is given, and fail then
        return call_with(function, {"documents": copied, "context": context})

    try:
        return Migrated(documents=_checked(documents, work(documents)))
    except Exception:  # noqa: BLE001  whatever the plugin's code raises
        return _one_by_one(documents, work)


def _one_by_one(documents: Mapping[str, JSON], work: Callable[[Mapping[str, JSON]], object]) -> Migrated:
    made: dict[str, JSON] = {}
    failures: dict[str, str] = {}
    for key, value in documents.items():
        try:
            made |= _checked({key: value}, work({key: value}))
        except Exception as error:  # noqa: BLE001  whatever the plugin's code raises
            # The text of an exception may quote the document.
            reason = str(error) if isinstance(error, _ShapeError) else f"the function raised {type(error).__name__}"
            failures[key] = reason[:_LONGEST_REASON]
    return Migrated(documents=made, failures=failures)


class _ShapeError(Exception):
    """A function gave what is no batch of the same documents."""


def _checked(given: Mapping[str, JSON], result: object) -> dict[str, JSON]:
    if not isinstance(result, Mapping):
        raise _ShapeError(f"the function gave a {type(result).__name__}, not documents by key")
    if result.keys() != given.keys():
        raise _ShapeError("the function gave other keys than it got")
    try:
        plain = msgspec.to_builtins(dict(result))
        msgspec.json.encode(plain)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise _ShapeError("the function gave what is not JSON") from error
    return cast("dict[str, JSON]", plain)
