# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env``: environments, their nodes and checks; their plugins and settings are in ``enabling``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from stoker.cli import (
    asking,
    changes,
    choose,
    complete,
    drift,
    enabling,
    environment_files,
    output,
    overrides,
    plugin_upgrades,
    serializer_hooks,
)
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

if TYPE_CHECKING:
    from stoker.client.documents import EnabledPluginDocument

_environment = click.argument("environment", metavar="ENV", shell_complete=complete.environments)

_FILES = (environment_files.export, environment_files.diff, environment_files.apply)


@click.group(cls=Group)
def env() -> None:
    """Environments: one cluster each, with its plugins, settings and nodes."""


for _command in (
    enabling.enable,
    enabling.disable,
    enabling.settings,
    overrides.override,
    drift.drift,
    *_FILES,
    changes.watch_environment,
    serializer_hooks.list_hooks,
    plugin_upgrades.plugin,
):
    env.add_command(_command)


@env.command()
@click.argument("name")
@click.option("--release", default="", shell_complete=complete.releases, help="The release that it runs; its plugin is enabled.")
@click.option(
    "--plugin",
    "plugins",
    metavar="PLUGIN[=VERSION]",
    multiple=True,
    shell_complete=complete.plugin_versions,
    help="Enable a plugin. May be repeated; the order does not matter.",
)
@click.option(
    "--component",
    "components",
    metavar="COMPONENT",
    multiple=True,
    shell_complete=complete.components,
    help="Enable the plugins of a component (see 'stoker components'). May be repeated.",
)
@output.json_option
def create(name: str, release: str, plugins: tuple[str, ...], components: tuple[str, ...], as_json: bool) -> None:
    """Make an environment, empty or with plugins: all of them or nothing.

    Examples:
      stoker env create lab
      stoker env create lab --release web-cluster --plugin ntp=1.0.0
    """
    chosen = dict(choose.plugin_version(plugin) for plugin in plugins)
    if len(chosen) < len(plugins):
        raise InvalidInputError("a plugin is named twice.", remedy="Name each one once; an environment uses one version of it.")
    client = connect()
    made = client.create_environment(name, release=release, plugins=chosen, components=components)
    if as_json:
        output.write_json(made)
        return
    names = _plugin_names(made.get("plugins"))
    output.say(f"created {made['name']}{f' with {names}' if names else ''}")
    for plugin in client.environment_plugins(name) if names else ():
        enabling.show_problems(name, plugin)


@env.command("list")
@output.json_option
def list_environments(as_json: bool) -> None:
    """List the environments.

    Examples:
      stoker env list
    """
    found = connect().environments()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            item["name"],
            item.get("release", ""),
            _plugin_names(item.get("plugins")),
            item.get("nodes", ""),
            output.when(item.get("created_at")),
        )
        for item in found
    ]
    output.table(
        ("NAME", "RELEASE", "PLUGINS", "NODES", "MADE"), rows, empty="No environments. Make one with 'stoker env create NAME'."
    )


@env.command()
@_environment
@output.json_option
def show(environment: str, as_json: bool) -> None:
    """Show an environment: its plugins, roles and nodes.

    Examples:
      stoker env show lab
    """
    client = connect()
    found = client.environment(environment)
    plugins, roles, nodes = (
        client.environment_plugins(environment),
        client.roles(environment),
        client.environment_nodes(environment),
    )
    if as_json:
        output.write_json({**found, "plugins": plugins, "roles": roles, "nodes": nodes})
        return
    made = output.when(found.get("created_at"))
    added = serializer_hooks.rows_of(found.get("ext"), found.get("ext_state"))
    output.pairs([("name", found["name"]), ("id", found["id"]), ("release", found.get("release")), ("made", made), *added])
    if found.get("pending"):
        output.say(f"changes pending: {found['pending']}", "yellow")
    output.say("\nPlugins", "bold")
    output.table(
        ("NAME", "VERSION", "STATE"),
        [(plugin["name"], plugin["version"], output.state_text(plugin.get("state", "enabled"))) for plugin in plugins],
        empty=f"None. Enable one with 'stoker env enable {found['name']} PLUGIN'.",
    )
    for plugin in plugins:
        enabling.show_problems(found["name"], plugin)
    output.say("\nRoles", "bold")
    output.table(
        ("NAME", "PLUGIN", "NODES", "TITLE"),
        [(role["name"], role.get("plugin"), ", ".join(role.get("nodes") or []), role.get("title")) for role in roles],
        empty="None: no enabled plugin brings one.",
    )
    output.say("\nNodes", "bold")
    output.table(
        ("NAME", "ROLES", "STATUS"),
        [
            (
                node["name"],
                ", ".join(node.get("roles") or []),
                output.state_text("removing" if node.get("removing") else node.get("status", "")),
            )
            for node in nodes
        ],
        empty=f"None. Give one a role with 'stoker env assign {found['name']} NODE ROLE'.",
    )


@env.command()
@_environment
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@output.json_option
def delete(environment: str, yes: bool, as_json: bool) -> None:
    """Delete an environment.

    Examples:
      stoker env delete lab --yes
    """
    client = connect()
    client.environment(environment)
    if not yes:
        asking.needs_terminal(f"env delete {environment}", remedy="Look at it with 'stoker env show', then add --yes.")
        asking.confirm(f"Delete environment {environment} with its settings, plans and history?")
    client.delete_environment(environment)
    output.answer({"name": environment, "removed": True}, f"deleted {environment}", as_json)


@env.command()
@_environment
@click.argument("node", shell_complete=complete.nodes)
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True, shell_complete=complete.roles)
@output.json_option
def assign(environment: str, node: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Put a node into an environment with exactly these roles.

    Examples:
      stoker env assign lab n1 ntp-server
    """
    wanted = sorted({role for text in roles for role in text.split(",") if role})
    found = connect().assign_node(environment, node, wanted)
    output.answer(found, f"{node} is {', '.join(wanted)} in {environment}", as_json)


@env.command()
@_environment
@click.argument("node", shell_complete=complete.environment_nodes)
@click.option("--lost", is_flag=True, help="It is dead: forget at once what was brought to it, and run nothing there.")
@click.option("--force", is_flag=True, help="With --lost: do not ask the node whether it answers.")
@output.json_option
def unassign(environment: str, node: str, lost: bool, force: bool, as_json: bool) -> None:
    """Take a node out; the next deployment removes what was brought to it.

    Examples:
      stoker env unassign lab n1
      stoker env unassign lab n1 --lost
    """
    if force and not lost:
        raise InvalidInputError("--force goes with --lost.", remedy="Without --lost nothing needs to be forced.")
    client = connect()
    found = client.lose_node(environment, node, force=force) if lost else client.unassign_node(environment, node)
    output.answer(found, f"{node} is forgotten in {environment}" if lost else f"{node} leaves {environment}", as_json)


@env.command()
@click.argument("environment", metavar="[ENV]", required=False, envvar="STOKER_ENV", shell_complete=complete.environments)
@output.json_option
def check(environment: str | None, as_json: bool) -> int:
    """Run every health check now; exits 1 if one fails.

    Examples:
      stoker env check lab
    """
    client = connect()
    results = client.run_checks(choose.environment(client, environment))
    passed = all(result["ok"] for result in results)
    if as_json:
        output.write_items(results)
        return 0 if passed else 1
    for result in results:
        mark = ("✔ ", "green") if result["ok"] else ("✘ ", "red")
        title = result.get("title")
        lines = [line for line in result.get("output", "").strip().splitlines() if line.strip()]
        output.say(f"{mark[0]}{result['node']}  {result['check']}{f' ({title})' if title else ''}", mark[1])
        for line in lines[-(12 if not result["ok"] else 3) :]:
            output.say(f"    {line}", "bright_black")
    if not results:
        output.say("No checks: no enabled plugin brings one for these nodes.")
    return 0 if passed else 1


def _plugin_names(plugins: Iterable[EnabledPluginDocument] | None) -> str:
    return ", ".join(
        f"{plugin['name']} {plugin.get('version', '')}".rstrip() for plugin in plugins or [] if isinstance(plugin, dict)
    )
