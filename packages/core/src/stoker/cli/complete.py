# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Shell completion of names that only the server knows; silent if the server is away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click

from stoker.cli.session import Session
from stoker.client import StokerClient
from stoker.errors import StokerError

Completer = Callable[[click.Context, click.Parameter, str], list[str]]

_PATIENCE = 1.0
"""Seconds; a person who presses Tab waits no longer."""


def _asking(question: Callable[[StokerClient, click.Context], Iterable[str]]) -> Completer:
    """A completer that asks the server a question."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        given = ctx.find_root().params

        def setting(name: str) -> str:
            return str(given.get(name) or os.environ.get(f"STOKER_{name.upper()}", ""))

        session = Session(**{name: setting(name) for name in ("server", "token", "data", "ca", "fingerprint")}, timeout=_PATIENCE)
        try:
            with session.client() as client:
                return sorted({name for name in question(client, ctx) if name.startswith(incomplete)})
        except StokerError:
            return []

    return complete


def _environment(client: StokerClient, ctx: click.Context) -> str:
    named = ctx.params.get("environment") or os.environ.get("STOKER_ENV")
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
plugins = _asking(lambda client, ctx: (found["name"] for found in client.plugins()))
plugin_versions = _asking(lambda client, ctx: (f"{found['name']}={found['version']}" for found in client.plugins()))
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
