# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What the database knows: its own state, plugins, nodes, questions that wait for a person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError
from stoker_sdk.errors import InvalidBundleError

from stoker import __version__
from stoker.db import deployments, migrations, tables
from stoker.db.database import Database
from stoker.db.faults import reason
from stoker.plugin_host.store import BUNDLE_FILE, PluginStore
from stoker.services.diagnosis.check import Check, fail, ok, warn

_SHOWN: Final = 5
_CLOCK_SECONDS: Final = 60.0


class _Manifest(msgspec.Struct):
    requires_stoker: str = ""


def checks(database: Database, store: PluginStore) -> Iterator[Check]:
    """Look at the database, then at what it says."""
    try:
        with database.read() as connection:
            state = _database(database, connection)
            yield state
            if state.state != "fail":
                yield from _contents(connection, store)
    except SQLAlchemyError as error:
        yield fail("database", f"cannot be used: {reason(error)}", "Check that it runs and that 'database' names it.")


def _contents(connection: Connection, store: PluginStore) -> Iterator[Check]:
    yield _clock(connection)
    yield _plugins(connection, store)
    yield _leftovers(connection, store)
    yield _nodes(connection)
    yield _questions(connection)


def _database(database: Database, connection: Connection) -> Check:
    kind = database.engine.dialect.name
    found, wanted = migrations.revisions(connection)
    if found != wanted:
        return fail(
            "database",
            f"its tables are at {found or 'nothing'}, this version needs {wanted}",
            "Start the server: it brings them up to date.",
        )
    if kind == "sqlite":
        answer = str(connection.exec_driver_sql("PRAGMA quick_check").scalar())
        if answer != "ok":
            return fail("database", f"the file is damaged: {answer}", "Stop the server and bring the last backup back.")
    return ok("database", f"{kind}, tables at {found}")


def _clock(connection: Connection) -> Check:
    """A clock that went back makes certificates, leases and histories wrong."""
    newest = max(
        float(connection.execute(select(func.max(column))).scalar() or 0.0)
        for column in (tables.deployment_events.c.at, tables.plans.c.created_at, tables.nodes.c.created_at)
    )
    ahead = newest - time.time()
    if ahead > _CLOCK_SECONDS:
        return fail(
            "clock", f"the newest row is {ahead:,.0f} s in the future: the clock went back", "Set the clock, e.g. with chrony."
        )
    return ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _plugins(connection: Connection, store: PluginStore) -> Check:
    broken: list[str] = []
    rows = list(connection.execute(select(tables.plugins)))
    for row in rows:
        what = f"{row.name} {row.version}"
        path = store.folder(row.name, row.version) / BUNDLE_FILE
        try:
            opened = store.open(path)
        except FileNotFoundError:
            broken.append(f"{what}: its bundle is not there")
            continue
        except (InvalidBundleError, OSError) as error:
            broken.append(f"{what}: {error}")
            continue
        wants = msgspec.json.decode(row.manifest, type=_Manifest).requires_stoker
        if opened.digest != row.digest:
            broken.append(f"{what}: its bundle is not the one that was installed")
        elif wants and not SpecifierSet(wants).contains(Version(__version__), prereleases=True):
            broken.append(f"{what} wants Stoker {wants}")
    if broken:
        return fail("plugins", _listed(broken), "Install the same version again, or one that fits ('stoker plugins install').")
    return ok("plugins", f"{len(rows)} installed, bundles whole")


def _leftovers(connection: Connection, store: PluginStore) -> Check:
    known = {(row.name, row.version) for row in connection.execute(select(tables.plugins.c.name, tables.plugins.c.version))}
    found = [
        f"{plugin.name}/{version.name}"
        for plugin in (sorted(store.root.iterdir()) if store.root.is_dir() else ())
        for version in sorted(plugin.iterdir())
        if (plugin.name, version.name) not in known
    ]
    if found:
        return warn(
            "leftovers", f"unpacked bundles that no plugin has: {_listed(found)}", "The server deletes them when it starts."
        )
    return ok("leftovers", "none")


def _nodes(connection: Connection) -> Check:
    table = tables.nodes
    rows = list(connection.execute(select(table.c.name, table.c.status).order_by(table.c.name)))
    away = [f"{row.name} ({row.status})" for row in rows if row.status in ("unreachable", "error")]
    fresh = [str(row.name) for row in rows if row.status == "new"]
    if away:
        return warn(
            "nodes", f"{len(away)} of {len(rows)} do not answer: {_listed(away)}", "'stoker nodes refresh NODE' says why."
        )
    if fresh:
        return warn("nodes", f"never seen: {_listed(fresh)}", "'stoker nodes refresh NODE' connects to it.")
    return ok("nodes", f"{len(rows)}, all seen when last looked at")


def _questions(connection: Connection) -> Check:
    asked = [
        f"{task} on {node} in {environment.name} (deployment {newest.id})"
        for environment in connection.execute(select(tables.environments.c.id, tables.environments.c.name)).all()
        for newest in deployments.list_deployments(connection, str(environment.id))[:1]
        for (node, task), item in sorted(deployments.read_history(connection, str(newest.id)).items())
        if item.unknown
    ]
    if asked:
        return warn(
            "questions",
            f"nobody knows whether these ran: {_listed(asked)}",
            "Look on the node, then 'stoker deployments answer'.",
        )
    return ok("questions", "none open")


def _listed(items: list[str]) -> str:
    more = len(items) - _SHOWN
    return "; ".join(items[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
