# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that plugins bring: which ones the caller may start, on what, with which form; and starting one, as a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, or_, select
from stoker_sdk.extension_points.actions import Action
from stoker_sdk.manifest import read_contribution

from stoker.db import jobs, tables
from stoker.db.environments import enabled_plugins, find_environment
from stoker.db.plugins import default_versions
from stoker.domain import actor, settings
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.domain.permission import permissions_of
from stoker.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.jobs import JobView, view_of

MOST_WAITING: Final = 200
"""How many jobs of one plugin may wait or run."""
MOST_FORM: Final = 64 * 1024
_KEPT: Final = 512


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """An action that the caller may start."""

    plugin: str
    version: str
    name: str
    title: str
    target: Literal["environment", "node", "server"]
    """What it is started on."""
    environment: str
    """The environment in which; empty for what is started on the server."""
    form: dict[str, object]
    """JSON Schema of what is filled in; empty if nothing is."""
    confirm: str
    """A question to answer before; empty for none."""
    permission: str
    """The permission that it needs, as ``PLUGIN.NAME``; empty: access level operator."""
    restartable: bool
    """Whether it goes on after a restart of the server."""
    deadline: float
    """Seconds that it may take."""


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin's version where it is used."""

    plugin: str
    version: str
    manifest: str
    environment_id: str = ""
    environment: str = ""


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


@lru_cache(maxsize=_KEPT)
def actions_of(manifest: str) -> tuple[Action, ...]:
    """The actions in a manifest (JSON text)."""
    if '"actions"' not in manifest:
        return ()
    documents = msgspec.json.decode(manifest, type=_Manifest).contributions
    found = (read_contribution(document) for document in documents if document.get("point") == "actions")
    return tuple(item for item in found if isinstance(item, Action))


def list_all(context: ServerContext, environment: str = "", plugin: str = "") -> list[ActionView]:
    """The actions that the caller may start, by environment, plugin and name; those on the server first.

    Args:
        context: the server.
        environment: of this environment alone, by id or name.
        plugin: of this plugin alone.

    Raises:
        NotFoundError: there is no such environment.
    """
    who = actor.current()
    with context.database.read() as connection:
        places = list(_places(connection, environment))
    return [
        _view(place, action)
        for place in places
        if plugin in ("", place.plugin)
        for action in actions_of(place.manifest)
        if (action.target == "server") == (not place.environment) and _may(who, place, action)
    ]


def _places(connection: Connection, environment: str) -> Iterator[_Place]:
    if not environment:
        yield from _defaults(connection)
    table = tables.environments
    query = select(table.c.id, table.c.name).order_by(table.c.name)
    if environment:
        query = query.where(table.c.id == find_environment(connection, environment).id)
    for home in connection.execute(query).all():
        yield from _enabled(connection, home.id, home.name)


def _enabled(connection: Connection, identity: str, name: str) -> Iterator[_Place]:
    for row in enabled_plugins(connection, identity):
        if row.state == "enabled":
            yield _Place(
                plugin=str(row.plugin),
                version=str(row.version),
                manifest=str(row.manifest),
                environment_id=identity,
                environment=name,
            )


def _defaults(connection: Connection) -> Iterator[_Place]:
    """The version of each plugin that answers for the whole server."""
    table = tables.plugins
    defaults = default_versions(connection)
    for row in connection.execute(select(table.c.name, table.c.version, table.c.manifest).order_by(table.c.name)).all():
        if defaults.get(row.name) == row.version:
            yield _Place(plugin=row.name, version=row.version, manifest=row.manifest)


def _may(who: Actor, place: _Place, action: Action) -> bool:
    environment = place.environment or None
    if action.permission:
        return action.permission in permissions_of(who, place.manifest, environment)
    return who.access.covers(AccessLevel.OPERATOR) and (who.environments is None or environment in who.environments)


def _view(place: _Place, action: Action) -> ActionView:
    return ActionView(
        plugin=place.plugin,
        version=place.version,
        name=action.name,
        title=action.title,
        target=action.target,
        environment=place.environment,
        form=dict(action.form),
        confirm=action.confirm,
        permission=_permission(place, action),
        restartable=action.restartable,
        deadline=action.deadline,
    )


def _permission(place: _Place, action: Action) -> str:
    return f"{place.plugin}.{action.permission}" if action.permission else ""


def start(
    context: ServerContext,
    plugin: str,
    name: str,
    *,
    environment: str = "",
    node: str = "",
    form: Mapping[str, object] | None = None,
) -> JobView:
    """Start an action: it becomes a queued job.

    Args:
        context: the server.
        plugin: whose action.
        name: which one.
        environment: in which environment; empty for one on the server.
        node: on which of the environment's nodes.
        form: what was filled in.

    Raises:
        NotFoundError: there is no such environment, node or action, or the plugin is not enabled there.
        ForbiddenError: the caller may not.
        InvalidInputError: the form does not fit; each field is named.
        ConflictError: too many jobs of the plugin wait, or the server runs no code of plugins.
    """
    if context.config.safe_mode:
        raise ConflictError(
            f"{plugin}.{name} cannot be started: this server runs in safe mode, without the code of plugins.",
            remedy="Start the server without --safe-mode.",
        )
    with context.database.transaction() as connection:
        place, action = _find(connection, plugin, name, environment)
        _refuse_strangers(place, action)
        view = _queue(connection, place, action, _target(connection, place, action, node), _filled(place, action, form or {}))
    if context.jobs is not None:
        context.jobs.wake()
    return view


def _queue(connection: Connection, place: _Place, action: Action, on: tuple[str, str, str], filled: dict[str, object]) -> JobView:
    """Queue a job and tell the audit."""
    if jobs.count_waiting(connection, place.plugin) >= MOST_WAITING:
        raise ConflictError(
            f"plugin {place.plugin} has {MOST_WAITING} jobs that wait or run.",
            remedy="Wait until some have ended, or cancel some: 'stoker jobs list'.",
        )
    who, (target, identity, shown) = actor.current(), on
    values = {
        "plugin": place.plugin,
        "version": place.version,
        "action": action.name,
        "title": action.title,
        "target": target,
        "object_id": identity,
        "object": shown,
        "environment_id": place.environment_id,
        "environment": place.environment,
        "form": msgspec.json.encode(filled).decode(),
        "actor": who.name,
        "caller": msgspec.json.encode(who).decode(),
        "restartable": action.restartable,
    }
    job = jobs.add_job(connection, values)
    name = f"{place.plugin}.{action.name}"
    told = {"action": name, "version": place.version, "on": shown, "form": filled}
    audit.record(connection, "job.start", job, name, environment=place.environment, after=told)
    return view_of(jobs.find_job(connection, job))


def _refuse_strangers(place: _Place, action: Action) -> None:
    who = actor.current()
    if _may(who, place, action):
        return
    needed = f"permission {_permission(place, action)}" if action.permission else "access level operator"
    where = f" in environment {place.environment}" if place.environment else ""
    raise ForbiddenError(
        f"{who.name} may not start {place.plugin}.{action.name}{where}: it needs {needed}.",
        remedy="Use a token that has it ('stoker plugins permissions' shows which you have), or ask an admin for one.",
    )


def _find(connection: Connection, plugin: str, name: str, environment: str) -> tuple[_Place, Action]:
    if environment:
        home = find_environment(connection, environment)
        places, where = list(_enabled(connection, str(home.id), str(home.name))), f"enabled in environment {home.name}"
    else:
        places, where = list(_defaults(connection)), "installed"
    place = next((item for item in places if item.plugin == plugin), None)
    if place is None:
        raise NotFoundError(f"plugin {plugin!r} is not {where}.", remedy="'stoker actions list' shows what can be started.")
    action = next((item for item in actions_of(place.manifest) if item.name == name), None)
    if action is None or (action.target == "server") != (not environment):
        on = f"on {'the environment' if environment else 'the server'}"
        hint = "" if action is None else f" It is started on the {action.target}."
        raise NotFoundError(
            f"plugin {plugin} {place.version} has no action {name!r} to start {on}.{hint}",
            remedy="'stoker actions list' shows what can be started.",
        )
    return place, action


def _target(connection: Connection, place: _Place, action: Action, node: str) -> tuple[str, str, str]:
    """Kind, id and name of what it is started on."""
    if action.target != "node":
        if node:
            raise InvalidInputError(
                f"{place.plugin}.{action.name} is started on the {action.target}, not on a node.", remedy="Leave the node out."
            )
        return action.target, place.environment_id, place.environment
    if not node:
        raise InvalidInputError(f"{place.plugin}.{action.name} is started on a node.", remedy="Name one of the environment.")
    table = tables.nodes
    found = connection.execute(
        select(table.c.id, table.c.name).where(
            table.c.environment_id == place.environment_id, or_(table.c.id == node, table.c.name == node)
        )
    ).first()
    if found is None:
        raise NotFoundError(
            f"environment {place.environment} has no node {node!r}.", remedy=f"'stoker env nodes {place.environment}' shows all."
        )
    return "node", found.id, found.name


def _filled(place: _Place, action: Action, form: Mapping[str, object]) -> dict[str, object]:
    """What was filled in, with defaults."""
    what = f"{place.plugin}.{action.name}"
    if not action.form and form:
        raise InvalidInputError(f"{what} has no form.", remedy="Leave the form out.")
    if len(msgspec.json.encode(form)) > MOST_FORM:
        raise InvalidInputError(f"{what}: the form has more than {MOST_FORM} bytes.", remedy="Give less.")
    given: Any = dict(form)
    settings.refuse_deep(place.plugin, given)
    looked = settings.look_through(place.plugin, action.form, given)
    missing = [msgspec.structs.replace(finding, remedy="Give it a value in the form.") for finding in looked.missing]
    findings = [*looked.faults, *missing]
    if findings:
        raise InvalidInputError(f"{what}: the form does not fit.", remedy=findings[0].remedy, findings=findings)
    return dict(looked.complete)
