# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Uninstalling a plugin version: everything in its ledger goes, and no code of it can stop that."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection, Row

from stoker.db import plugin_traces, record_indexes
from stoker.db.plugins import environments_using, find_plugin
from stoker.errors import ConflictError, StokerError
from stoker.services import audit, plugin_descriptions, plugin_events, plugin_ledger
from stoker.services.context import ServerContext
from stoker.services.plugins import INSTALLING

_LOG = logging.getLogger(__name__)


class LeftOverError(StokerError):
    """A plugin is uninstalled, and something of it could not be taken away."""

    kind = "left-over"


def uninstall(context: ServerContext, name: str, version: str, *, delete_records: bool = False) -> None:
    """Remove a version with everything in its ledger.

    Its code is told before, within a deadline; what it does then changes nothing.

    Args:
        context: the server.
        name: the plugin's name.
        version: which one.
        delete_records: let the plugin's records go with its last version; without it, records are a refusal.

    Raises:
        NotFoundError: it is not installed.
        ConflictError: an environment uses it (all that do are named), or it is the last version and there are records.
        LeftOverError: it is uninstalled, and something of it could not be taken away.
    """
    with context.database.read() as connection:
        _refuse(connection, name, version, delete_records=delete_records)
    plugin_events.farewell(context, "plugin.uninstalled", name, version)
    with INSTALLING:
        with context.database.transaction() as connection:
            row, last, documents = _refuse(connection, name, version, delete_records=delete_records)
            plugin_events.drop(connection, name, version="" if last else version)
            plugin_traces.drop_rows(connection, name, version, last=last)
            record_indexes.follow(connection, name)
            before: dict[str, object] = {"version": version, "digest": row.digest}
            if documents:
                before["records"] = documents
            audit.record(connection, "plugin.uninstall", f"{name}/{version}", name, before=before)
        if context.quarantine is not None:
            context.quarantine.rearm(lambda hook: (hook.plugin, hook.version) == (name, version))
        _take_away(context, name, version)
        with context.database.read() as connection:
            left = plugin_ledger.found(context, connection, name, version, last=last)
    _LOG.info("plugin %s %s uninstalled", name, version, extra={"plugin": name})
    if left:
        told = ", ".join(f"{item.kind} {item.name}" for item in left)
        _LOG.error("plugin %s %s is uninstalled, and left: %s", name, version, told, extra={"plugin": name})
        raise LeftOverError(
            f"plugin {name} {version} is uninstalled, and this is left of it: {told}.",
            remedy="The server's log says why; the next start takes files away.",
            left=left,
        )


def _refuse(
    connection: Connection, name: str, version: str, *, delete_records: bool
) -> tuple[Row[tuple[object, ...]], bool, Mapping[str, int]]:
    """Refuse what must stay; else its row, whether it is the last version, and the records that go with it."""
    row = find_plugin(connection, name, version)
    if users := environments_using(connection).get((name, version)):
        raise ConflictError(
            f"plugin {name} {version} is used by: {', '.join(users)}.",
            remedy="Disable it there and deploy, so that it leaves the nodes; then uninstall it.",
            environments=users,
        )
    last = plugin_ledger.is_last(connection, name)
    documents = plugin_traces.documents_of(connection, name) if last else {}
    if documents and not delete_records:
        told = ", ".join(f"{count} in {collection}" for collection, count in sorted(documents.items()))
        raise ConflictError(
            f"plugin {name} {version} is the last version, and the plugin has records: {told}.",
            remedy="Look at them with 'stoker plugins records'; --delete-records (API: ?delete_records=true) lets them go.",
            documents=documents,
        )
    return row, last, documents


def _take_away(context: ServerContext, name: str, version: str) -> None:
    """End what works, then delete files: nobody asks for the version any more, and whoever did is done or out of time."""
    if context.workers is not None:
        context.wait(context.workers.stop(name, version, drain=context.config.plugin_drain_seconds))
    forget = partial(plugin_descriptions.forget, context)
    for remove in (context.repositories.remove, context.venvs.remove, context.store.remove, forget):
        try:
            remove(name, version)
        except OSError:  # the rest goes all the same; what is left is told at the end
            _LOG.exception("files of plugin %s %s could not be deleted", name, version, extra={"plugin": name})
