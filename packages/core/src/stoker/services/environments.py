# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environments: made, shown, deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, Row, delete, func, select

from stoker.db import tables
from stoker.db.environments import (
    add_environment,
    deployment_running,
    enabled_plugins,
    find_environment,
    refuse_while_deploying,
)
from stoker.db.quarantine import drop_quarantined
from stoker.errors import ConflictError, InvalidInputError
from stoker.services import audit, ext, plugin_events
from stoker.services.context import ServerContext
from stoker.services.enablement import say_farewell
from stoker.services.releases import release_of
from stoker.services.tags import refuse_outdated, tag
from stoker.services.windows import Part, Window, cut, look

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class UsedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that an environment uses."""

    name: str
    version: str
    state: str
    """``enabled``, or ``removing`` until the next deployment has taken it from the nodes."""


class EnvironmentView(msgspec.Struct, frozen=True, kw_only=True):
    """One environment."""

    id: str
    name: str
    created_at: float
    revision: int
    """Counts changes of the plan's inputs."""
    release: str
    """The release that it runs: what the one of its plugins that brings one calls it; empty if none does."""
    plugins: list[UsedPlugin]
    nodes: int
    """How many nodes it has."""
    pending: str = ""
    """Why its nodes may not be what it says, e.g. because settings changed since the last deployment; empty if they should be."""
    ext: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What plugins add: plugin -> hook -> data; only where it is read, and if there is something."""
    ext_state: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """``PLUGIN.HOOK`` -> ``pending`` (not there yet) or ``stale`` (being made anew); only if something is not fresh."""


def tag_of(view: EnvironmentView) -> str:
    """The tag of an environment's state."""
    return tag(view, ext.BY_ITSELF)


def check_name(kind: str, name: str) -> None:
    """Refuse names that do not fit into paths, addresses and tables."""
    if not NAME.fullmatch(name):
        raise InvalidInputError(
            f"{kind} {name!r}: this is not a name.",
            remedy="Use up to 63 letters, digits, dots, dashes and underscores; begin with a letter or digit.",
        )


def create(context: ServerContext, name: str) -> EnvironmentView:
    """Make an environment.

    Raises:
        InvalidInputError: the name does not fit.
        ConflictError: the name is taken.
    """
    check_name("environment", name)
    table = tables.environments
    with context.database.transaction() as connection:
        if connection.execute(select(table.c.id).where(table.c.name == name)).first():
            raise ConflictError(f"environment {name!r} is there already.", remedy="Choose another name.")
        view = _view(connection, find_environment(connection, add_environment(connection, name)))
        audit.record(connection, "environment.create", view.id, name, environment=name, after=view)
        return view


def list_all(context: ServerContext, window: Window, wanted: ext.Wanted = ext.NOTHING) -> Part[EnvironmentView]:
    """Environments, by name, with what those plugins add of which it is wanted."""
    table = tables.environments
    with context.database.read() as connection:
        found = connection.execute(look(select(table), window, table.c.name)).all()
        rows, last = cut(found, window, lambda row: (str(row.name),))
        return Part(_with_ext(connection, [_view(connection, row) for row in rows], wanted), last)


def show(context: ServerContext, key: str, wanted: ext.Wanted = ext.NOTHING) -> EnvironmentView:
    """One environment by id or name, with what those plugins add of which it is wanted. Raises NotFoundError."""
    with context.database.read() as connection:
        return _with_ext(connection, [_view(connection, find_environment(connection, key))], wanted)[0]


def _with_ext(connection: Connection, views: list[EnvironmentView], wanted: ext.Wanted) -> list[EnvironmentView]:
    found = ext.parts(connection, "environment", wanted, [(view.id, view.name) for view in views])
    return [msgspec.structs.replace(view, ext=found[view.id][0], ext_state=found[view.id][1]) for view in views]


def name_of_environment(context: ServerContext, parameters: Mapping[str, str]) -> str | None:
    """The environment that a route's parameters lead to: by ``env``, ``plan``, ``deployment`` or ``job``; ``None`` if to none."""
    with context.database.read() as connection:
        if key := parameters.get("env"):
            return str(find_environment(connection, key).name)
        for table, word in ((tables.plans, "plan"), (tables.deployments, "deployment"), (tables.jobs, "job")):
            if key := parameters.get(word):
                joined = table.join(tables.environments, tables.environments.c.id == table.c.environment_id)
                return connection.execute(
                    select(tables.environments.c.name).select_from(joined).where(table.c.id == key)
                ).scalar()
    return None


def _refuse_outdated(connection: Connection, row: Row[tuple[object, ...]], if_match: str) -> None:
    if if_match:
        present = tag_of(_view(connection, row))
        refuse_outdated(connection, if_match, present, f"environment {row.name}", kind="environment", identity=str(row.id))


def _node_names(connection: Connection, environment_id: str) -> list[str]:
    nodes = tables.nodes
    query = select(nodes.c.name).where(nodes.c.environment_id == environment_id).order_by(nodes.c.name)
    return list(connection.execute(query).scalars())


def remove(context: ServerContext, key: str, *, if_match: str = "") -> None:
    """Delete an environment with its plans and history.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has nodes, or a deployment runs.
        OutdatedEditError: it is in another state than ``if_match`` names.
    """
    with context.database.read() as connection:
        row = find_environment(connection, key)
        _refuse_outdated(connection, row, if_match)
        busy = bool(deployment_running(connection, row.id)) or bool(_node_names(connection, row.id))
    if not busy:  # otherwise it is refused
        say_farewell(context, row)
    with context.database.transaction() as connection:
        row = find_environment(connection, key)
        _refuse_outdated(connection, row, if_match)
        refuse_while_deploying(connection, row.id, row.name, "deleting it")
        if names := _node_names(connection, row.id):
            raise ConflictError(
                f"environment {row.name} has nodes: {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}.",
                remedy="Take them out with 'stoker env unassign' and deploy, so that nothing stays on them.",
            )
        audit.record(connection, "environment.delete", row.id, row.name, environment=row.name, before=_view(connection, row))
        for table in (tables.environment_locks, tables.deployments, tables.plans):
            connection.execute(delete(table).where(table.c.environment_id == row.id))
        drop_quarantined(connection, {"environment_id": row.id})
        for used in enabled_plugins(connection, row.id):
            plugin_events.drop(connection, used.plugin, home=row)
        connection.execute(delete(tables.environments).where(tables.environments.c.id == row.id))


def _view(connection: Connection, row: Row[tuple[object, ...]]) -> EnvironmentView:
    nodes = tables.nodes
    count = connection.execute(select(func.count()).select_from(nodes).where(nodes.c.environment_id == row.id)).scalar_one()
    enabled = enabled_plugins(connection, row.id)
    return EnvironmentView(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        revision=row.revision,
        release=release_of(str(p.manifest) for p in enabled if p.state == "enabled"),
        plugins=[UsedPlugin(name=p.plugin, version=p.version, state=p.state) for p in enabled],
        nodes=count,
        pending=_pending(connection, row, count),
    )


class _Summary(msgspec.Struct):
    counts: dict[str, int] = {}


def _pending(connection: Connection, row: Row[tuple[object, ...]], nodes: int) -> str:
    """What is still to come, as far as the database knows; what is on the nodes, a plan or ``drift`` finds out."""
    table, plans = tables.deployments, tables.plans
    newest = connection.execute(
        select(table.c.id, table.c.state, table.c.revision, plans.c.summary)
        .join(plans, plans.c.id == table.c.plan_id)
        .where(table.c.environment_id == row.id)
        .order_by(table.c.created_at.desc())
        .limit(1)
    ).first()
    if newest is None:
        return "it was never deployed" if nodes else ""
    if newest.state != "ready":
        return f"deployment {newest.id} is {newest.state}"
    if left := msgspec.json.decode(newest.summary, type=_Summary).counts.get("left_out"):
        return f"deployment {newest.id} was about a part: {left} {'task is' if left == 1 else 'tasks are'} left out"
    return "" if newest.revision == row.revision else f"something was changed since deployment {newest.id}"
