# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks in quarantine: kept in the database, told in the audit, shown, and armed again by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from stoker.db import tables
from stoker.db.database import Database
from stoker.db.environments import find_environment
from stoker.db.quarantine import drop_quarantined, read_quarantined, write_quarantined
from stoker.db.serializer_hooks import call_again
from stoker.domain import actor
from stoker.domain.actor import SYSTEM
from stoker.errors import ForbiddenError, NotFoundError
from stoker.plugin_host.breaker import State
from stoker.plugin_host.quarantine import Change, Guarded, Kept
from stoker.services import audit
from stoker.services.context import ServerContext

_LOG = logging.getLogger(__name__)
_ACTIONS: Final[Mapping[Change, str]] = {"opened": "hook.quarantine", "closed": "hook.recover"}


class QuarantineView(msgspec.Struct, frozen=True, kw_only=True):
    """A hook that failed too often and is skipped for now."""

    plugin: str
    version: str
    hook: str
    """Its point and name, e.g. ``events node_changed``."""
    environment: str
    """The environment's name; empty where the plugin works for the whole server."""
    environment_id: str
    failures: int
    """Failed calls since it last worked."""
    since: float
    next_try: float
    """When it is tried again; success ends the quarantine, failure doubles the pause."""
    reason: str
    """The last failure's."""
    traceback: str
    """Of the plugin's code at the last failure, without values of settings; empty if there was none."""


class QuarantineRows:
    """Keeps the quarantine in the database (a ``stoker.plugin_host.quarantine.Keeper``)."""

    def __init__(self, database: Database) -> None:
        """With the database of the server."""
        self._database = database

    def load(self) -> Iterable[Kept]:
        """All that are in quarantine."""
        with self._database.read() as connection:
            return [_kept(row) for row in read_quarantined(connection)]

    def keep(self, kept: Kept, change: Change) -> None:
        """Keep a state; a closed one is no longer kept. What cannot be written is logged: the plugin's caller has its answer."""
        guarded, state = kept.guarded, kept.state
        key = _key(guarded)
        try:
            with self._database.transaction() as connection:
                if state.phase == "closed":
                    drop_quarantined(connection, key)
                else:
                    columns = {name: getattr(state, name) for name in ("failures", "openings", "since", "next_try")}
                    write_quarantined(connection, {**key, **columns, "reason": state.reason, "traceback": state.traceback})
                if action := _ACTIONS.get(change):
                    _tell(connection, action, guarded, state)
        except SQLAlchemyError as error:  # the database is away, or the plugin was uninstalled meanwhile
            _LOG.warning("quarantine of %s was not kept: %s", guarded, error, extra={"plugin": guarded.plugin})


def list_all(context: ServerContext, plugin: str = "", environment: str = "") -> list[QuarantineView]:
    """Hooks in quarantine, of one plugin or environment if named. Raises NotFoundError: there is no such environment."""
    with context.database.read() as connection:
        identity = str(find_environment(connection, environment).id) if environment else None
        return [_view(row) for row in read_quarantined(connection, plugin=plugin, environment_id=identity)]


def rearm(context: ServerContext, plugin: str, *, hook: str = "", environment: str = "") -> list[QuarantineView]:
    """Call a plugin's hooks again as if they had never failed; those that were in quarantine.

    Args:
        context: the server.
        plugin: whose.
        hook: the one, as ``POINT NAME``; all if empty.
        environment: where alone, by name or id; everywhere if empty.

    Raises:
        NotFoundError: there is no such environment, or nothing of this is in quarantine.
        ForbiddenError: the caller's token is for other environments.
    """
    with context.database.transaction() as connection:
        identity = str(find_environment(connection, environment).id) if environment else None
        rows = [row for row in read_quarantined(connection, plugin=plugin, environment_id=identity) if hook in ("", _hook(row))]
        if not rows:
            raise NotFoundError(
                f"plugin {plugin!r}: nothing of this is in quarantine.", remedy="'stoker plugins quarantine list' shows what is."
            )
        views = [_view(row) for row in rows]
        _refuse_others(views)
        for row in rows:
            kept = _kept(row)
            drop_quarantined(connection, _key(kept.guarded))
            call_again(connection, kept.guarded.plugin)
            _tell(connection, "hook.rearm", kept.guarded, kept.state)
    forget(context, {_kept(row).guarded for row in rows})
    return views


def forget(context: ServerContext, guarded: set[Guarded]) -> None:
    """Let hooks be called as if they had never failed; their rows are gone already."""
    if context.quarantine is not None and guarded:
        context.quarantine.rearm(guarded.__contains__)


def begin_anew(context: ServerContext, environment_id: str, plugin: str) -> None:
    """What a plugin's hooks did before it was disabled, or in another version, counts no more."""
    if context.quarantine is not None:
        context.quarantine.rearm(lambda hook: (hook.plugin, hook.environment) == (plugin, environment_id))


def _refuse_others(views: Iterable[QuarantineView]) -> None:
    who = actor.current()
    if who.environments is None:
        return
    for view in views:
        if view.environment not in who.environments:
            where = f"environment {view.environment}" if view.environment else "the whole server"
            raise ForbiddenError(
                f"token {who.token!r} is for {', '.join(sorted(who.environments))} alone; {view.hook} of plugin {view.plugin} "
                f"works for {where}.",
                remedy="Name an environment of the token, or use another token.",
            )


def _tell(connection: Connection, action: str, guarded: Guarded, state: State) -> None:
    table = tables.environments
    name = connection.execute(select(table.c.name).where(table.c.id == guarded.environment)).scalar() or ""
    label = f"{guarded.point} {guarded.hook}".strip()
    what = {"version": guarded.version, "hook": label}
    standing = {**what, "failures": state.failures, "reason": state.reason}
    opened = action == _ACTIONS["opened"]
    before, after = (what, {**standing, "quarantined": True}) if opened else ({**what, "quarantined": True}, what)
    who = actor.current() if action == "hook.rearm" else SYSTEM
    identity = f"{guarded.plugin}/{guarded.version}/{label}"
    audit.record_as(connection, who, action, identity, guarded.plugin, environment=str(name), before=before, after=after)


def _key(guarded: Guarded) -> dict[str, object]:
    return {
        "plugin": guarded.plugin,
        "version": guarded.version,
        "point": guarded.point,
        "hook": guarded.hook,
        "environment_id": guarded.environment,
    }


def _hook(row: Row[Any]) -> str:
    return f"{row.point} {row.hook}".strip()


def _kept(row: Row[Any]) -> Kept:
    state = State(
        phase="open",
        failures=row.failures,
        openings=row.openings,
        since=row.since,
        next_try=row.next_try,
        reason=row.reason,
        traceback=row.traceback,
    )
    return Kept(guarded=Guarded(row.plugin, row.version, row.point, row.hook, row.environment_id), state=state)


def _view(row: Row[Any]) -> QuarantineView:
    return QuarantineView(
        plugin=row.plugin,
        version=row.version,
        hook=_hook(row),
        environment=row.environment or "",
        environment_id=row.environment_id,
        failures=row.failures,
        since=row.since,
        next_try=row.next_try,
        reason=row.reason,
        traceback=row.traceback,
    )
