# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Shell completion of names that only the server knows; silent if the server is away."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from stoker.cli.session import Session
from stoker.cli.settings_schema import names

if TYPE_CHECKING:
    from stoker.client import StokerClient

Completer = Callable[[click.Context, click.Parameter, str], list[str]]

_PATIENCE = 0.5
"""Seconds in all, however many questions are asked; a person who presses Tab waits no longer."""


def _asking(question: Callable[[StokerClient, click.Context], Iterable[str]]) -> Completer:
    """A completer that asks the server a question."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        given = ctx.find_root().params

        def setting(name: str) -> str:
            return str(given.get(name) or os.environ.get(f"STOKER_{name.upper()}", ""))

        session = Session(**{name: setting(name) for name in ("server", "token", "data", "ca", "fingerprint")}, timeout=_PATIENCE)
        found: set[str] = set()

        def ask() -> None:
            # Whatever goes wrong, a person who presses Tab gets no names; an error's text would land in the command line.
            with suppress(Exception), session.client() as client:
                found.update(name for name in list(question(client, ctx)) if name.startswith(incomplete))

        # Each request has the time limit for itself; together they have it only like this.
        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        asker.join(_PATIENCE)
        return sorted(found)

    return complete


def _word(ctx: click.Context, name: str) -> str:
    """A word of the command line; where an option that is being completed still lacks its value, click hands words on unread."""
    arguments = [parameter.name for parameter in ctx.command.params if isinstance(parameter, click.Argument)]
    return str(ctx.params.get(name) or dict(zip(arguments, ctx.args, strict=False)).get(name, ""))


def _environment(client: StokerClient, ctx: click.Context) -> str:
    named = _word(ctx, "environment") or os.environ.get("STOKER_ENV")
    if named:
        return str(named)
    known = client.environments()
    return known[0]["name"] if len(known) == 1 else ""


def _in_environment(question: Callable[[StokerClient, str], Iterable[str]]) -> Completer:
    def ask(client: StokerClient, ctx: click.Context) -> Iterable[str]:
        environment = _environment(client, ctx)
        return question(client, environment) if environment else ()

    return _asking(ask)


environments = _asking(lambda client, ctx: (found["name"] for found in client.environments()))
nodes = _asking(lambda client, ctx: (found["name"] for found in client.nodes()))
credentials = _asking(lambda client, ctx: (found["name"] for found in client.credentials()))
users = _asking(lambda client, ctx: (found["name"] for found in client.users()))
tokens = _asking(lambda client, ctx: (found["name"] for found in client.tokens()))
plugins = _asking(lambda client, ctx: (found["name"] for found in client.plugins()))
plugin_versions = _asking(lambda client, ctx: (f"{found['name']}={found['version']}" for found in client.plugins()))
collections = _asking(
    lambda client, ctx: {found["collection"] for found in client.record_collections(_word(ctx, "plugin").partition("=")[0])}
)
components = _asking(lambda client, ctx: (found["name"] for found in client.components()["items"]))
releases = _asking(lambda client, ctx: (found["name"] for found in client.releases()))
enabled_plugins = _in_environment(
    lambda client, environment: (found["name"] for found in client.environment_plugins(environment))
)
environment_nodes = _in_environment(
    lambda client, environment: (found["name"] for found in client.environment_nodes(environment))
)
roles = _in_environment(lambda client, environment: (found["name"] for found in client.roles(environment)))
plans = _in_environment(lambda client, environment: (found["id"] for found in client.plans(environment)))
deployments = _asking(
    lambda client, ctx: (
        found["id"] for environment in client.environments() for found in client.deployments(environment["name"])
    )
)


jobs = _asking(lambda client, ctx: (found["id"] for found in client.jobs()))
actions = _asking(lambda client, ctx: {f"{found['plugin']}.{found['name']}" for found in client.actions()})


def _settings(client: StokerClient, ctx: click.Context) -> Iterable[str]:
    """The names of the settings of the plugin that the command names."""
    environment, (plugin, _, version) = _environment(client, ctx), _word(ctx, "plugin").partition("=")
    enabled = client.environment_plugins(environment) if environment else []
    schemas = [found.get("settings_schema") for found in enabled if found["name"] == plugin and not version]
    if not schemas:
        schemas = [
            client.plugin(plugin, found["version"]).get("settings_schema")
            for found in client.plugins()
            if found["name"] == plugin and version in ("", found["version"])
        ]
    return [name for schema in schemas for name in names(schema or {})]


def _where(client: StokerClient, ctx: click.Context) -> Iterable[str]:
    """Words of ``plan explain``: environments and nodes, then the planned files of the node that was named."""
    given = [str(word) for word in ctx.params.get("where") or ()]
    known = {found["name"] for found in client.environments()}
    nodes = {found["name"] for found in client.nodes()}
    if not given or given[-1] not in nodes:
        return nodes if given else nodes | known
    environment = given[0] if given[0] in known else _environment(client, ctx)
    latest = client.plans(environment)[0]["id"]
    plan = str(ctx.params.get("plan_id") or latest)
    return [f"{file['path']}:" for file in client.plan_files(plan, node=given[-1], everything=True)]


def _planned_files(client: StokerClient, environment: str) -> Iterable[str]:
    latest = client.plans(environment)[0]["id"]
    return {found["path"] for found in client.plan_files(latest, everything=True)}


def _planned_tasks(client: StokerClient, environment: str) -> Iterable[str]:
    latest = client.plans(environment)[0]["id"]
    return {found["task"] for found in [*client.plan_tasks(latest), *client.plan_left_out(latest)]}


planned_tasks = _in_environment(_planned_tasks)
planned_files = _in_environment(_planned_files)
overridden_files = _in_environment(lambda client, environment: (found["path"] for found in client.overrides(environment)))
versions = _asking(
    lambda client, ctx: (
        found["version"] for found in client.plugins() if found["name"] in (_word(ctx, "plugin"), _word(ctx, "name"))
    )
)
setting_names = _asking(_settings)
settings = _asking(lambda client, ctx: (f"{name}=" for name in _settings(client, ctx)))
explained = _asking(_where)
