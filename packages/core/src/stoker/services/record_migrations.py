# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Migrations of plugins' records: tried, prepared while the old version works on, and live together with the new version."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Row, select
from stoker_sdk.context.values import Environment
from stoker_sdk.extension_points.records import Collection, Migration

from stoker.db import record_generations as generations
from stoker.db import records as rows
from stoker.db import tables
from stoker.db.environments import enabled_plugins, find_environment
from stoker.db.plugins import find_plugin
from stoker.db.records import Place
from stoker.domain.settings import look_through
from stoker.errors import ConflictError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.plugin_settings import settings_schema
from stoker.services.record_copying import Copying, FailureView, Target
from stoker.services.records import Declared, declared

_LOG = logging.getLogger(__name__)
_ROUNDS: Final = 20
_FEW: Final = 50
"""With so few late records, or after so many rounds, writers wait until the last ones are migrated."""


class RecordsInUseError(ConflictError):
    """Another environment uses a version of the plugin that cannot read what a migration would make."""

    kind = "records-in-use"


class RecordMigrationView(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of version does to a collection."""

    collection: str
    scope: Literal["environment", "server"]
    from_version: int
    """Of the schema."""
    to_version: int
    state: Literal["migrated", "tried", "deferred"]
    """``deferred``: it stays as it is while other environments need that; the new version reads both."""
    documents: int = 0
    dropped: int = 0
    late: int = 0
    """Written while the others were migrated."""
    failures: list[FailureView] = []


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a plugin's collections."""

    copies: list[Copying] = []
    deferred: list[RecordMigrationView] = []
    standing: list[tuple[Place, int]] = []
    """Collections that need nothing done, with the schema version that they have or begin with."""


class Prepared:
    """Copies that are complete; they go live in the transaction in which the environment gets the plugin's version."""

    def __init__(self, planned: Planned) -> None:
        """Take what was prepared."""
        self._planned = planned

    def go_live(self, connection: Connection) -> list[RecordMigrationView]:
        """Let the copies be what is read and written."""
        done = list(self._planned.deferred)
        for place, schema_version in self._planned.standing:
            rows.begin_collection(connection, place, schema_version)
            row = rows.find_collection(connection, place)
            if row is None or row.schema_version != schema_version:  # the old version has just written its first record
                raise ConflictError(
                    f"plugin {place.plugin}: records {place.collection} have just been begun.", remedy="Try it again."
                )
        for copy in self._planned.copies:
            before, documents = copy.go_live(connection)
            target, collection = copy.target, copy.target.declared.collection
            audit.record(
                connection,
                "records.migrate",
                f"{target.plugin}/{collection.name}",
                target.plugin,
                environment=target.environment.name if target.environment is not None else "",
                before={"collection": collection.name, "schema_version": before.schema_version, "documents": before.documents},
                after={
                    "collection": collection.name,
                    "schema_version": collection.version,
                    "documents": documents,
                    "dropped": copy.dropped,
                },
            )
            done.append(
                RecordMigrationView(
                    collection=collection.name,
                    scope=collection.scope,
                    from_version=before.schema_version,
                    to_version=collection.version,
                    state="migrated",
                    documents=documents,
                    dropped=copy.dropped,
                    late=copy.late,
                )
            )
        return done


def migrate(
    context: ServerContext, environment: str, plugin: str, old: str, new: str, *, dry_run: bool = False, sample: int | None = None
) -> list[RecordMigrationView]:
    """Bring an environment's records of a plugin, and those of the whole server, from one version of the plugin to another.

    Args:
        context: the server.
        environment: its id or name; empty for what belongs to the whole server alone.
        plugin: the plugin's name.
        old: the version that it has.
        new: the version that it gets.
        dry_run: call the plugin's functions, and write nothing.
        sample: in a dry run, look at so many documents of each collection.

    Raises:
        NotFoundError: environment or version is not there.
        RecordsInUseError: another environment uses records of the whole server in a version that cannot read the new ones.
        RecordMigrationError: a document cannot be migrated; nothing was changed.
    """
    home = _home(context, environment)
    if dry_run:
        return try_out(context, home, plugin, new, sample=sample)
    with preparing(context, home, plugin, new) as prepared, context.database.transaction() as connection:
        views = prepared.go_live(connection)
    _LOG.info("plugin %s: records migrated from version %s to %s", plugin, old, new, extra={"plugin": plugin})
    return views


def try_out(
    context: ServerContext,
    home: Environment | None,
    plugin: str,
    version: str,
    *,
    back: bool = False,
    sample: int | None = None,
) -> list[RecordMigrationView]:
    """What a change of version would do; nothing is written. Raises what ``preparing`` raises before it begins."""
    planned = plan_migration(context, home, plugin, version, back=back)
    views = list(planned.deferred)
    for copy in planned.copies:
        documents, dropped, failures = copy.look(sample)
        view = _view(copy.target.declared.collection, _schema_version(context, copy.place), "tried")
        views.append(msgspec.structs.replace(view, documents=documents, dropped=dropped, failures=failures))
    return views


@contextmanager
def preparing(
    context: ServerContext,
    home: Environment | None,
    plugin: str,
    version: str,
    settings: Mapping[str, object] | None = None,
    *,
    back: bool = False,
) -> Iterator[Prepared]:
    """Prepare the records of a plugin for a version that an environment is about to get.

    The old version reads and writes on while the copies are made. In the block writers wait: it is for the one transaction that
    calls ``go_live`` and changes the version. If the block ends without, the copies are dropped.

    Args:
        context: the server.
        home: the environment; ``None`` for what belongs to the whole server alone.
        plugin: the plugin's name.
        version: the version that it gets.
        settings: effective ones for the new version; the environment's if not given.
        back: leave alone those that are newer than the version: somebody returns them to what was kept.

    Raises:
        RecordsInUseError: another environment uses records of the whole server in a version that cannot read the new ones.
        RecordMigrationError: a document cannot be migrated; nothing was changed.
        ConflictError: somebody else migrates them, or they are newer than the version.
    """
    planned = plan_migration(context, home, plugin, version, settings, back=back)
    copies = planned.copies
    places = [copy.place for copy in copies]
    with ExitStack() as alone:
        for place in places:
            alone.enter_context(context.record_gates.migrating(place))
        try:
            for copy in copies:
                copy.begin()
            for copy in copies:
                _catch_up(copy)
            with context.record_gates.closed(places):
                for copy in copies:
                    copy.advance()
                try:
                    yield Prepared(planned)
                finally:
                    for copy in copies:
                        copy.drop()
        except BaseException:
            for copy in copies:
                copy.drop()
            raise
        finally:
            for place in places:
                generations.sweep(context.database, place)


def _catch_up(copy: Copying) -> None:
    for _ in range(_ROUNDS):
        if copy.advance() <= _FEW:
            return


def recover(context: ServerContext) -> None:
    """After a start: forget copies that were being written when the server ended."""
    with context.database.transaction() as connection:
        places = list(generations.shadows(connection))
        for place in places:
            generations.forget_shadow(connection, place)
    for place in places:
        with context.record_gates.migrating(place):
            gone = generations.sweep(context.database, place)
        _LOG.warning(
            "plugin %s: the migration of records %s was broken off; %d copies were dropped", place.plugin, place.collection, gone
        )


def _home(context: ServerContext, environment: str) -> Environment | None:
    if not environment:
        return None
    with context.database.read() as connection:
        row = find_environment(connection, environment)
    return Environment(id=str(row.id), name=str(row.name))


def plan_migration(
    context: ServerContext,
    home: Environment | None,
    plugin: str,
    version: str,
    settings: Mapping[str, object] | None = None,
    *,
    back: bool = False,
) -> Planned:
    """What becomes of each collection."""
    planned = Planned(copies=[], deferred=[], standing=[])
    with context.database.read() as connection:
        manifest = str(find_plugin(connection, plugin, version).manifest)
        for wanted in declared(manifest).values():
            collection = wanted.collection
            if collection.scope == "environment" and home is None:
                continue
            place = place_in(plugin, collection, home)
            row = rows.find_collection(connection, place)
            old = _held_by_others(connection, plugin, collection, home) if collection.scope == "server" else None
            if old is not None:
                view = _defer(row, plugin, collection, old)
                planned.deferred.append(view)
                planned.standing.append((place, view.from_version))
            elif row is None or row.schema_version == collection.version:
                planned.standing.append((place, collection.version))
            elif not back or row.schema_version < collection.version:
                _refuse_newer(connection, place, row, plugin, version, collection)
                target = Target(
                    plugin=plugin,
                    version=version,
                    environment=home if collection.scope == "environment" else None,
                    settings=_settings(connection, home, plugin, manifest) if settings is None else settings,
                    declared=wanted,
                    steps=steps_from(collection, row.schema_version),
                )
                planned.copies.append(Copying(context, place, target))
    return planned


def steps_from(collection: Collection, schema_version: int) -> list[Migration]:
    """The steps from a version of the schema to the present one."""
    wanted = [step for step in collection.migrations if schema_version < step.version <= collection.version]
    return sorted(wanted, key=lambda step: step.version)


def place_in(plugin: str, collection: Collection, home: Environment | None) -> Place:
    """Where a collection is for an environment."""
    own = home is not None and collection.scope == "environment"
    return Place(plugin=plugin, environment_id=home.id if home is not None and own else "", collection=collection.name)


class _Older(msgspec.Struct, frozen=True):
    schema_version: int
    environments: list[str]


def _held_by_others(connection: Connection, plugin: str, collection: Collection, home: Environment | None) -> _Older | None:
    """Other environments whose version of the plugin cannot read this version of a collection of the whole server."""
    found: dict[int, list[str]] = {}
    for name, other in users_of(connection, plugin, collection.name, home):
        if collection.version not in (other.collection.version, *other.collection.reads_versions):
            found.setdefault(other.collection.version, []).append(name)
    if not found:
        return None
    oldest = min(found)
    names = sorted(name for some in found.values() for name in some)
    unreadable = [version for version in found if version not in collection.reads_versions]
    if unreadable:
        raise RecordsInUseError(
            f"plugin {plugin}: records {collection.name} belong to the whole server, and this version changes their schema from "
            f"{', '.join(map(str, sorted(found)))} to {collection.version}; "
            f"environment{'s' if len(names) > 1 else ''} {', '.join(names)} {'use' if len(names) > 1 else 'uses'} the old one.",
            remedy="Upgrade the plugin to a version that reads both (its collection says so with reads_versions) there first, or "
            "disable it there.",
            plugin=plugin,
            collection=collection.name,
            environments=names,
        )
    return _Older(oldest, names)


def users_of(connection: Connection, plugin: str, collection: str, besides: Environment | None) -> Iterator[tuple[str, Declared]]:
    """Names of other environments that use a plugin, with the collection as the version there declares it."""
    used, homes, installed = tables.environment_plugins, tables.environments, tables.plugins
    query = (
        select(homes.c.id, homes.c.name, installed.c.manifest)
        .join(used, used.c.environment_id == homes.c.id)
        .join(installed, (installed.c.name == used.c.plugin) & (installed.c.version == used.c.version))
        .where(used.c.plugin == plugin)
        .order_by(homes.c.name)
    )
    for row in connection.execute(query):
        known = declared(row.manifest).get(collection)
        if known is not None and (besides is None or row.id != besides.id):
            yield row.name, known


def _defer(row: Row[Any] | None, plugin: str, collection: Collection, old: _Older) -> RecordMigrationView:
    present = old.schema_version if row is None else row.schema_version
    if present != collection.version and present not in collection.reads_versions:
        raise ConflictError(
            f"plugin {plugin}: records {collection.name} have schema version {present}, which this version cannot read.",
            remedy="Upgrade the plugin in one step less.",
        )
    return _view(collection, present, "deferred")


def _refuse_newer(connection: Connection, place: Place, row: Row[Any], plugin: str, version: str, collection: Collection) -> None:
    if row.schema_version > collection.version and rows.count(connection, place, row.generation):
        kept = row.kept_schema_version == collection.version
        raise ConflictError(
            f"plugin {plugin} {version} has version {collection.version} of the schema of records {collection.name}; they are of "
            f"version {row.schema_version}.",
            remedy="Go back with a rollback: the records from before the upgrade are kept."
            if kept
            else "Use a version of the plugin that knows them; those from before are not kept.",
        )


def _settings(connection: Connection, home: Environment | None, plugin: str, manifest: str) -> dict[str, object]:
    if home is None:
        return {}
    given = next((row.settings for row in enabled_plugins(connection, home.id) if row.plugin == plugin), "{}")
    return dict(look_through(plugin, settings_schema(manifest), msgspec.json.decode(given)).complete)


def _schema_version(context: ServerContext, place: Place) -> int:
    with context.database.read() as connection:
        row = rows.find_collection(connection, place)
        return 0 if row is None else int(row.schema_version)


def _view(collection: Collection, present: int, state: Literal["tried", "deferred"]) -> RecordMigrationView:
    return RecordMigrationView(
        collection=collection.name,
        scope=collection.scope,
        from_version=present,
        to_version=collection.version,
        state=state,
    )
