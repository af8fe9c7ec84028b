# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' records: what their code may read and write, held against what the plugin declares."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs
import msgspec
from sqlalchemy import Connection, Row
from stoker_sdk.extension_points.records import Collection
from stoker_sdk.manifest import read_contribution

from stoker.db import records as rows
from stoker.db.plugins import find_plugin
from stoker.db.record_generations import mark_deleted
from stoker.db.records import FIELD, Place
from stoker.domain.settings import compile_schema
from stoker.errors import StokerError
from stoker.services.context import ServerContext

MOST_KEYS: Final = 5000
"""Records that may be asked for or written at once."""
MOST_FOUND: Final = 1000
"""Records of one page."""
MOST_KEY: Final = 200
"""Characters of a key."""
_SHOWN: Final = 5

Reason: TypeAlias = Literal["unknown", "shape", "limit", "outdated", "refused"]


class RecordsRefusedError(StokerError):
    """Something that was asked of a plugin's records is refused, as things are now."""

    status = 409
    kind = "records-refused"

    def __init__(self, reason: Reason, detail: str, *, remedy: str) -> None:
        """Keep the reason, for the plugin's code."""
        super().__init__(detail, remedy=remedy, reason=reason)


class NoCollectionError(RecordsRefusedError):
    """The plugin does not declare the collection."""

    status = 404


class MisshapenRecordError(RecordsRefusedError):
    """A document, key or field does not fit."""

    status = 422


class RecordsLimitError(RecordsRefusedError):
    """More than is allowed."""

    status = 413


_ERRORS: Final[Mapping[Reason, type[RecordsRefusedError]]] = {
    "unknown": NoCollectionError,
    "shape": MisshapenRecordError,
    "limit": RecordsLimitError,
    "outdated": RecordsRefusedError,
    "refused": RecordsRefusedError,
}


class RecordView(msgspec.Struct, frozen=True, kw_only=True):
    """One record."""

    key: str
    value: msgspec.Raw
    revision: int


class RecordPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a collection."""

    records: list[RecordView]
    next: str = ""


class Declared(msgspec.Struct, frozen=True):
    """A collection as a plugin version declares it."""

    collection: Collection
    validator: jsonschema_rs.Draft202012Validator


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


@lru_cache(maxsize=512)
def declared(manifest: str) -> dict[str, Declared]:
    """The collections of a manifest (JSON text), by name."""
    found = {}
    for document in msgspec.json.decode(manifest, type=_Manifest).contributions:
        if document.get("point") == "records":
            collection = read_contribution(document)
            assert isinstance(collection, Collection)
            found[collection.name] = Declared(collection, compile_schema(dict(collection.json_schema)))
    return found


class Shelf:
    """The collections of one plugin version, in one environment or none."""

    def __init__(self, context: ServerContext, plugin: str, version: str, environment_id: str | None) -> None:
        """Take whose records they are; nothing is read yet."""
        self._database, self._gates = context.database, context.record_gates
        self._plugin = plugin
        self._version = version
        self._environment = environment_id

    def get(self, collection: str, keys: Sequence[str]) -> list[RecordView]:
        """Those records that are there."""
        self._check_keys(collection, keys)
        with self._database.read() as connection:
            place, _, row = self._open(connection, collection)
            return [] if row is None else [_view(one) for one in rows.read(connection, place, row.generation, list(keys))]

    def find(self, collection: str, where: Mapping[str, object], after: str = "", limit: int = 100) -> RecordPage:
        """Records by key, of those whose fields are equal to what is given."""
        self._check_where(collection, where)
        if not 1 <= limit <= MOST_FOUND:
            raise self._refused("limit", collection, f"a page has from 1 to {MOST_FOUND} records.", "Ask for the next page.")
        with self._database.read() as connection:
            place, _, row = self._open(connection, collection)
            found = [] if row is None else rows.find(connection, place, row.generation, where, after, limit + 1)
        more = len(found) > limit
        return RecordPage(records=[_view(one) for one in found[:limit]], next=found[limit - 1].key if more else "")

    def count(self, collection: str, where: Mapping[str, object]) -> int:
        """How many there are."""
        self._check_where(collection, where)
        with self._database.read() as connection:
            place, _, row = self._open(connection, collection)
            return 0 if row is None else rows.count(connection, place, row.generation, where)

    def put(self, collection: str, values: Mapping[str, msgspec.Raw], revisions: Mapping[str, int]) -> list[RecordView]:
        """Write documents, all or none; answers them with their new revisions, by key."""
        self._check_keys(collection, list(values))
        texts = {key: bytes(value) for key, value in values.items()}
        with self._database.read() as connection:
            declaration = self._declared(connection, collection)
        self._check_documents(collection, declaration, texts)
        with self._gates.writing(self._place(declaration)), self._database.transaction() as connection:
            place, declaration, row = self._open(connection, collection, lock=True)
            assert row is not None
            present = {one.key: one for one in rows.read(connection, place, row.generation, list(texts))}
            self._check_revisions(collection, present, revisions)
            changed = {key: data for key, data in texts.items() if key not in present or not _same(present[key].value, data)}
            documents = row.documents + len(changed.keys() - present.keys())
            if documents > declaration.collection.max_documents:
                documents = rows.count(connection, place, row.generation) + len(changed.keys() - present.keys())
                if documents > declaration.collection.max_documents:
                    most = declaration.collection.max_documents
                    raise self._refused(
                        "limit", collection, f"it may have {most} documents.", "Delete some, or raise max_documents."
                    )
            counter = row.counter + 1
            written = [(key, data.decode(), counter) for key, data in sorted(changed.items())]
            rows.write(connection, place, row.generation, written, key_of=declaration.collection.key_of)
            if changed:
                rows.keep_counters(connection, place, counter=counter, documents=documents)
        return [
            RecordView(key=key, value=msgspec.Raw(data), revision=counter if key in changed else present[key].revision)
            for key, data in sorted(texts.items())
        ]

    def delete(self, collection: str, keys: Sequence[str]) -> int:
        """Delete records; the number of those that were there."""
        self._check_keys(collection, keys)
        with self._database.read() as connection:
            declaration = self._declared(connection, collection)
        with self._gates.writing(self._place(declaration)), self._database.transaction() as connection:
            place, _, row = self._open(connection, collection, lock=True)
            assert row is not None
            gone = rows.remove(connection, place, row.generation, list(keys))
            mark_deleted(connection, place, row, list(keys))
            if gone:
                rows.keep_counters(connection, place, counter=row.counter + 1, documents=max(0, row.documents - gone))
            return gone

    def _open(self, connection: Connection, collection: str, *, lock: bool = False) -> tuple[Place, Declared, Row[Any] | None]:
        """Where it is, how it is declared, and its row, which is made when somebody writes for the first time."""
        declaration = self._declared(connection, collection)
        wanted, place = declaration.collection, self._place(declaration)
        row = rows.find_collection(connection, place, lock=lock)
        if row is None and lock:
            rows.begin_collection(connection, place, wanted.version)
            row = rows.find_collection(connection, place, lock=True)
        if row is not None and row.schema_version not in (wanted.version, *wanted.reads_versions):
            raise self._refused(
                "outdated",
                collection,
                f"it has schema version {row.schema_version}; version {self._version} of the plugin has {wanted.version}.",
                "Upgrade the plugin where its records are older, or go back to the version that they are of.",
            )
        return place, declaration, row

    def _place(self, declaration: Declared) -> Place:
        wanted = declaration.collection
        if wanted.scope == "environment" and self._environment is None:
            raise self._refused(
                "refused",
                wanted.name,
                "each environment has its own, and this call is for none.",
                "Ask below /api/environments/ENV/plugins/, or declare the collection with the scope 'server'.",
            )
        home = (self._environment or "") if wanted.scope == "environment" else ""
        return Place(plugin=self._plugin, environment_id=home, collection=wanted.name)

    def _declared(self, connection: Connection, collection: str) -> Declared:
        known = declared(str(find_plugin(connection, self._plugin, self._version).manifest))
        if collection not in known:
            names = ", ".join(sorted(known)) or "none"
            raise self._refused(
                "unknown", collection, f"it is not declared; there are: {names}.", "Contribute a records.Collection."
            )
        return known[collection]

    def _refused(self, reason: Reason, collection: str, detail: str, remedy: str) -> RecordsRefusedError:
        return _ERRORS[reason](reason, f"plugin {self._plugin}, records {collection[:80]}: {detail}", remedy=remedy)

    def _check_keys(self, collection: str, keys: Sequence[str]) -> None:
        if len(keys) > MOST_KEYS:
            raise self._refused("limit", collection, f"{len(keys)} keys at once are too many.", f"Give at most {MOST_KEYS}.")
        for key in keys:
            if not key or len(key) > MOST_KEY or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in key):
                raise self._refused(
                    "shape", collection, f"{key[:40]!r} is not a key.", f"Use 1 to {MOST_KEY} characters, none of them control."
                )

    def _check_where(self, collection: str, where: Mapping[str, object]) -> None:
        for path, value in where.items():
            if not FIELD.fullmatch(path):
                raise self._refused(
                    "shape", collection, f"{path[:80]!r} is not a field.", "Write a dotted path, e.g. location.rack."
                )
            if not isinstance(value, str | int | float | bool | None):
                raise self._refused(
                    "shape", collection, f"{path} is compared with a list or map.", "Compare with a single value."
                )

    def _check_documents(self, collection: str, declaration: Declared, texts: Mapping[str, bytes]) -> None:
        most = declaration.collection.max_bytes
        for key, data in texts.items():
            if len(data) > most:
                raise self._refused("limit", collection, f"the document {key!r} has more than {most} bytes.", "Make it smaller.")
            if fault := fault_in(declaration, data):
                raise self._refused("shape", collection, f"the document {key!r}: {fault}.", "Mend the document.")

    def _check_revisions(self, collection: str, present: Mapping[str, Row[Any]], revisions: Mapping[str, int]) -> None:
        other = [
            key for key, revision in sorted(revisions.items()) if (present[key].revision if key in present else 0) != revision
        ]
        if other:
            shown = ", ".join(repr(key) for key in other[:_SHOWN])
            raise self._refused(
                "outdated", collection, f"somebody changed {shown} meanwhile.", "Read it again, and change what is there now."
            )


def fault_in(declaration: Declared, data: bytes) -> str:
    """Why a document cannot be in a collection, without anything that it contains; empty if it can."""
    if len(data) > declaration.collection.max_bytes:
        return f"it has more than {declaration.collection.max_bytes} bytes"
    try:
        value = msgspec.json.decode(data)
        fault = next(declaration.validator.iter_errors(value), None)
    except (msgspec.DecodeError, RecursionError):
        return "it is not JSON"
    if fault is not None:
        place = ".".join(str(step) for step in fault.instance_path) or "the document"
        return f"it does not fit its schema: {place} breaks {'/'.join(str(step) for step in fault.schema_path)}"
    return "it has a null character" if "\\u0000" in data.decode() else ""


def _same(stored: str, given: bytes) -> bool:
    """Whether two JSON texts are the same document, as far as it matters: an equal one is not written again."""
    return stored.encode() == given or _sorted(stored) == _sorted(given)


def _sorted(text: str | bytes) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _view(row: Row[Any]) -> RecordView:
    return RecordView(key=row.key, value=msgspec.Raw(row.value.encode()), revision=row.revision)
