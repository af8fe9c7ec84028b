# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Who may ask what of a plugin's application, and what it is told: the caller, the environment and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from sqlalchemy import select
from stoker_sdk.context.values import Caller, Environment
from stoker_sdk.extension_points.rest_api import METHODS, RestApi, Route

from stoker.db import tables
from stoker.domain import permission
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.domain.settings import look_through
from stoker.errors import ForbiddenError, NotFoundError, StokerError
from stoker.services.context import ServerContext
from stoker.services.plugin_settings import settings_schema
from stoker.services.server_scope import contributions_of

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_KEPT: Final = 512


class MethodError(StokerError, ValueError):
    """A method that no application gets."""

    status = 405
    kind = "method-not-allowed"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin version's manifest says of its application."""

    plugin: str
    version: str
    manifest: str
    """As JSON text."""
    routes: Sequence[Route]
    timeout: float
    openapi: str


def rules_of(context: ServerContext, plugin: str, version: str) -> Rules:
    """The rules of an installed version.

    Raises:
        NotFoundError: it is not installed, or brings no application.
    """
    table = tables.plugins
    with context.database.read() as connection:
        manifest = connection.execute(select(table.c.manifest).where(table.c.name == plugin, table.c.version == version)).scalar()
    found = None if manifest is None else _rules(plugin, version, manifest)
    if found is None:
        raise NotFoundError(
            f"plugin {plugin} {version} has no application.",
            remedy="'stoker plugins show' tells what a plugin has.",
        )
    return found


@lru_cache(maxsize=_KEPT)
def _rules(plugin: str, version: str, manifest: str) -> Rules | None:
    for item in contributions_of(manifest):
        if isinstance(item, RestApi):
            return Rules(
                plugin=plugin, version=version, manifest=manifest, routes=item.routes, timeout=item.timeout, openapi=item.openapi
            )
    return None


def caller_of(who: Actor, rules: Rules, environment: str | None) -> Caller:
    """Whom an application is told to answer; a limited token has no more than a viewer's rights outside its environments."""
    return Caller(
        kind="server" if who.kind == "server" else "user" if who.kind == "user" else "system",
        name=who.name,
        access=_access(who, environment).value,
        permissions=sorted(permission.permissions_of(who, rules.manifest, environment)),
    )


def _access(who: Actor, environment: str | None) -> AccessLevel:
    limited = who.environments is not None and environment not in who.environments
    return AccessLevel.VIEWER if limited else who.access


def refuse(who: Actor, rules: Rules, method: str, path: str, environment: str | None) -> None:
    """Let nobody ask who may not.

    Args:
        who: asks.
        rules: of the plugin's version that would answer.
        method: of HTTP, or ``WEBSOCKET``.
        path: below the application's address, decoded.
        environment: its name; ``None`` at the server's address.

    Raises:
        MethodError: there is no such method.
        ForbiddenError: their access level or their token does not reach.
    """
    if method not in METHODS:
        raise MethodError(
            f"plugin {rules.plugin}: {method[:20]!r} is no method of an application.", remedy=f"There are: {', '.join(METHODS)}."
        )
    route = route_of(rules.routes, method, path)
    if route is not None and route.permission:
        if route.permission in permission.permissions_of(who, rules.manifest, environment):
            return
        raise ForbiddenError(
            f"{_name(who)} has not the permission {rules.plugin}.{route.permission}, which {method} {path[:200]} needs.",
            remedy="Ask an admin for an access level that has it; 'stoker plugins permissions' shows which do.",
            permission=f"{rules.plugin}.{route.permission}",
        )
    needs = AccessLevel.VIEWER if method in READING else AccessLevel.OPERATOR
    if not who.access.covers(needs):
        raise ForbiddenError(
            f"{_name(who)} has access {who.access.value}; {method} {path[:200]} of plugin {rules.plugin} needs {needs.value}.",
            remedy=f"Use a token with access {needs.value}, or ask an admin for one.",
            access=who.access.value,
            needs=needs.value,
        )
    if not _access(who, environment).covers(needs):
        names = ", ".join(sorted(who.environments or ())) or "no environment"
        what = "nothing that belongs to no environment" if environment is None else f"not environment {environment}"
        raise ForbiddenError(f"token {who.token!r} may change {names} alone, and {what}.", remedy="Use another token.")


def _name(who: Actor) -> str:
    return f"{who.name} with token {who.token!r}" if who.token else who.name


def route_of(routes: Sequence[Route], method: str, path: str) -> Route | None:
    """The route that counts: of those that fit, the one with the longest path; what holds for GET holds for HEAD."""
    fitting = [route for route in routes if _is_below(path, route.path) and _has(route, method)]
    return max(fitting, key=lambda route: (len(route.path.rstrip("/")), bool(route.methods)), default=None)


def _has(route: Route, method: str) -> bool:
    return not route.methods or method in route.methods or (method == "HEAD" and "GET" in route.methods)


def _is_below(path: str, place: str) -> bool:
    place = place.rstrip("/")
    return path == place or path.startswith(place + "/")


def settings_in(context: ServerContext, environment: Environment, plugin: str, version: str) -> dict[str, object]:
    """A plugin's effective settings in an environment, secrets as references."""
    used, installed = tables.environment_plugins, tables.plugins
    with context.database.read() as connection:
        row = connection.execute(
            select(used.c.settings, installed.c.manifest)
            .join(installed, (installed.c.name == used.c.plugin) & (installed.c.version == version))
            .where(used.c.environment_id == environment.id, used.c.plugin == plugin)
        ).first()
    return {} if row is None else msgspec.json.decode(_complete(plugin, row.manifest, row.settings), type=dict[str, object])


@lru_cache(maxsize=_KEPT)
def _complete(plugin: str, manifest: str, settings: str) -> bytes:
    return msgspec.json.encode(look_through(plugin, settings_schema(manifest), msgspec.json.decode(settings)).complete)
