# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rollback of plugins' records: back to the generation kept from before a migration, after what that loses was listed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row
from stoker_sdk.context.values import Environment
from stoker_sdk.extension_points.records import Collection

from stoker.db import record_generations as generations
from stoker.db import records as rows
from stoker.db.environments import find_environment
from stoker.db.plugins import find_plugin
from stoker.db.records import Place
from stoker.errors import ConflictError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.record_migrations import RecordsInUseError, place_in, users_of
from stoker.services.records import declared

MOST_KEYS: Final = 100
"""So many keys of each kind are named."""


class RecordRollbackView(msgspec.Struct, frozen=True, kw_only=True):
    """What going back to an earlier version does to a collection."""

    collection: str
    from_version: int
    """Of the schema."""
    to_version: int
    kept: bool
    """Whether the records from before are kept; without, it begins empty."""
    lost: int
    """How many records were written or deleted since; that is undone."""
    written: list[str] = []
    """Keys of records written since: what was written goes."""
    deleted: list[str] = []
    """Keys of records deleted since: they come back."""


class RecordsWrittenSinceError(ConflictError):
    """Going back would lose what was written since, and nobody confirmed that."""

    kind = "records-written-since"


class Returning:
    """Collections that go back, in the transaction in which the environment gets the earlier version."""

    def __init__(self, plugin: str, home: Environment | None, planned: list[tuple[Place, RecordRollbackView]]) -> None:
        """Take what goes back."""
        self._plugin, self._home, self._planned = plugin, home, planned

    def go_live(self, connection: Connection) -> list[RecordRollbackView]:
        """Let the kept generations be what is read and written."""
        for place, view in self._planned:
            row = rows.find_collection(connection, place, lock=True)
            if row is None or row.schema_version != view.from_version:
                raise ConflictError(
                    f"plugin {self._plugin}: records {view.collection} were changed meanwhile.", remedy="Try again."
                )
            documents = _go_back(connection, place, row, view)
            audit.record(
                connection,
                "records.rollback",
                f"{self._plugin}/{view.collection}",
                self._plugin,
                environment=self._home.name if self._home is not None else "",
                before={"collection": view.collection, "schema_version": row.schema_version, "documents": row.documents},
                after={
                    "collection": view.collection,
                    "schema_version": view.to_version,
                    "documents": documents,
                    "lost": view.lost,
                    "written": view.written,
                    "deleted": view.deleted,
                },
            )
        return [view for _, view in self._planned]


def _go_back(connection: Connection, place: Place, row: Row[Any], view: RecordRollbackView) -> int:
    if view.kept:
        return generations.go_back(connection, place, row)
    return generations.begin_again(connection, place, row, view.to_version)


def rollback(
    context: ServerContext, environment: str, plugin: str, version: str, *, confirm: bool = False
) -> list[RecordRollbackView]:
    """Bring an environment's records of a plugin back to what an earlier version left.

    Args:
        context: the server.
        environment: its id or name.
        plugin: the plugin's name.
        version: the version that it returns to.
        confirm: lose what was written since.

    Raises:
        NotFoundError: environment or version is not there.
        RecordsWrittenSinceError: something was written since, and ``confirm`` is not given; the keys are named.
        RecordsInUseError: another environment uses records of the whole server in the newer version.
    """
    with context.database.read() as connection:
        row = find_environment(connection, environment)
    home = Environment(id=str(row.id), name=str(row.name))
    with returning(context, home, plugin, version, confirm=confirm) as back, context.database.transaction() as connection:
        return back.go_live(connection)


def look(context: ServerContext, home: Environment | None, plugin: str, version: str) -> list[RecordRollbackView]:
    """What a rollback would do; nothing is changed."""
    return [view for _, view in _planned(context, home, plugin, version)]


@contextmanager
def returning(
    context: ServerContext, home: Environment | None, plugin: str, version: str, *, confirm: bool = False
) -> Iterator[Returning]:
    """Go back to an earlier version of a plugin: in the block writers wait, for the one transaction that calls ``go_live``.

    Raises:
        RecordsWrittenSinceError: something was written since, and ``confirm`` is not given; the keys are named.
        RecordsInUseError: another environment uses records of the whole server in the newer version.
    """
    places = [place for place, _ in _planned(context, home, plugin, version)]
    with context.record_gates.closed(places):
        planned = _planned(context, home, plugin, version)
        views = [view for _, view in planned if view.lost]
        if views and not confirm:
            raise _written_since(plugin, version, views)
        yield Returning(plugin, home, planned)
    for place in places:
        generations.sweep(context.database, place)


def _written_since(plugin: str, version: str, views: list[RecordRollbackView]) -> RecordsWrittenSinceError:
    told = []
    for view in views:
        keys = ", ".join([*view.written, *(f"{key} (deleted)" for key in view.deleted)][:10])
        told.append(f"{view.collection}: {view.lost} ({keys}{', ...' if view.lost > 10 else ''})")
    return RecordsWrittenSinceError(
        f"going back to plugin {plugin} {version} undoes what was written to its records since the upgrade: {'; '.join(told)}.",
        remedy=f"'stoker plugins records {plugin} COLLECTION --json' saves them. "
        "If they may go, add --discard-records (API: discard_records).",
        collections=msgspec.to_builtins(views),
    )


def _planned(
    context: ServerContext, home: Environment | None, plugin: str, version: str
) -> list[tuple[Place, RecordRollbackView]]:
    found: list[tuple[Place, RecordRollbackView]] = []
    with context.database.read() as connection:
        for wanted in declared(str(find_plugin(connection, plugin, version).manifest)).values():
            collection = wanted.collection
            if collection.scope == "environment" and home is None:
                continue
            place = place_in(plugin, collection, home)
            row = rows.find_collection(connection, place)
            if row is None or row.schema_version <= collection.version or row.schema_version in collection.reads_versions:
                continue
            if row.shadow_generation is not None:
                raise ConflictError(f"plugin {plugin}: records {collection.name} are being migrated.", remedy="Wait for its end.")
            if collection.scope == "server":
                _refuse_others(connection, plugin, collection, home, row.schema_version)
            found.append((place, _view(connection, place, row, collection)))
    return found


def _view(connection: Connection, place: Place, row: Row[Any], collection: Collection) -> RecordRollbackView:
    kept = row.kept_generation is not None and row.kept_schema_version in (collection.version, *collection.reads_versions)
    if kept:
        written, deleted, lost = generations.written_since(connection, place, row, MOST_KEYS)
    else:
        lost, deleted = rows.count(connection, place, row.generation), []
        written = [one.key for one in rows.find(connection, place, row.generation, {}, "", MOST_KEYS)]
    return RecordRollbackView(
        collection=collection.name,
        from_version=row.schema_version,
        to_version=row.kept_schema_version if kept else collection.version,
        kept=kept,
        lost=lost,
        written=written,
        deleted=deleted,
    )


def _refuse_others(connection: Connection, plugin: str, collection: Collection, home: Environment | None, present: int) -> None:
    others = [
        name
        for name, other in users_of(connection, plugin, collection.name, home)
        if collection.version not in (other.collection.version, *other.collection.reads_versions)
    ]
    if others:
        raise RecordsInUseError(
            f"plugin {plugin}: records {collection.name} belong to the whole server and have schema version {present}; "
            f"environment {', '.join(others)} could not read version {collection.version} of it.",
            remedy="Take the plugin back there first, or disable it there.",
            plugin=plugin,
            collection=collection.name,
            environments=others,
        )
