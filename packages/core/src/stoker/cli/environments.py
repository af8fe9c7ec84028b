# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env``: environments, their plugins, settings, nodes and checks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from stoker.cli import choose, complete, output, values
from stoker.cli.lazy import Group
from stoker.cli.main import finding_line
from stoker.cli.session import connect
from stoker.client import StokerClient
from stoker.client.documents import EnabledPluginDocument
from stoker.errors import InvalidInputError, NotFoundError

_environment = click.argument("environment", metavar="ENV", shell_complete=complete.environments)
_plugin = click.argument("plugin", metavar="PLUGIN", shell_complete=complete.enabled_plugins)


@click.group(cls=Group)
def env() -> None:
    """Environments: one cluster each, with its plugins, settings and nodes."""


@env.command()
@click.argument("name")
@output.json_option
def create(name: str, as_json: bool) -> None:
    """Make an empty environment.

    Examples:
      stoker env create lab
    """
    made = connect().create_environment(name)
    if as_json:
        output.write_json(made)
    else:
        output.say(f"created {made['name']}")


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
        (item["name"], _plugin_names(item.get("plugins")), item.get("nodes", ""), output.when(item.get("created_at")))
        for item in found
    ]
    output.table(("NAME", "PLUGINS", "NODES", "MADE"), rows, empty="No environments. Make one with 'stoker env create NAME'.")


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
    output.pairs([("name", found["name"]), ("id", found["id"]), ("made", output.when(found.get("created_at")))])
    output.say("\nPlugins", "bold")
    output.table(
        ("NAME", "VERSION", "STATE"),
        [(plugin["name"], plugin["version"], output.state_text(plugin.get("state", "enabled"))) for plugin in plugins],
        empty=f"None. Enable one with 'stoker env enable {found['name']} PLUGIN'.",
    )
    for plugin in plugins:
        _show_problems(plugin)
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
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(environment: str, yes: bool) -> None:
    """Delete an environment.

    Examples:
      stoker env delete lab --yes
    """
    client = connect()
    client.environment(environment)
    if not yes:
        click.confirm(f"Delete environment {environment} with its settings, plans and history?", abort=True, err=True)
    client.delete_environment(environment)
    output.say(f"deleted {environment}")


@env.command()
@_environment
@click.argument("plugin", metavar="NAME[=VERSION]", shell_complete=complete.plugin_versions)
@click.option(
    "--settings",
    "settings_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Settings as YAML or JSON ('-' for standard input).",
)
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="One setting; the value is YAML. May be repeated.")
@output.json_option
def enable(environment: str, plugin: str, settings_file: Path | None, assignments: tuple[str, ...], as_json: bool) -> None:
    """Enable a plugin, or switch it to another version.

    Nothing changes on nodes before the next deployment. Conflicts with other plugins are refused here.

    Examples:
      stoker env enable lab ntp
      stoker env enable lab ntp=1.0.0 --set 'pools=[pool.example.net]'
      stoker env enable lab ntp --settings ntp.yaml
    """
    client = connect()
    name, _, version = plugin.partition("=")
    settings: values.Settings | None = None
    if settings_file is not None or assignments:
        before = next((found for found in client.environment_plugins(environment) if found["name"] == name), None)
        settings = values.merge(
            before.get("settings", {}) if before else {}, values.read_file(settings_file) if settings_file else {}
        )
        settings = values.apply(settings, assignments, _schema(client, name, version, before))
    enabled = client.enable_plugin(environment, name, version=version or None, settings=settings)
    if as_json:
        output.write_json(enabled)
        return
    output.say(f"enabled {name} {enabled.get('version', '')} in {environment}")
    _show_problems(enabled)


@env.command()
@_environment
@_plugin
def disable(environment: str, plugin: str) -> None:
    """Disable a plugin; the next deployment takes from the nodes what it brought.

    Examples:
      stoker env disable lab ntp && stoker deploy lab
    """
    connect().disable_plugin(environment, plugin)
    output.say(f"disabled {plugin} in {environment}; 'stoker plan create {environment}' shows what goes from the nodes")


@env.command()
@_environment
@_plugin
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="One setting; the value is YAML. May be repeated.")
@click.option("--unset", "unset", metavar="KEY", multiple=True, help="Back to the default. May be repeated.")
@click.option(
    "--file",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="All settings, from YAML or JSON ('-' for standard input).",
)
@click.option(
    "--secret", "secrets", metavar="KEY", multiple=True, help="Ask for a secret, or read it as a line of standard input."
)
@output.json_option
def settings(
    environment: str,
    plugin: str,
    assignments: tuple[str, ...],
    unset: tuple[str, ...],
    file: Path | None,
    secrets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show or change a plugin's settings in an environment; secrets are never shown.

    Examples:
      stoker env settings lab ntp
      stoker env settings lab ntp --set 'pools=[pool.example.net]' --set minsources=2
      stoker env settings lab ntp --file ntp.yaml
      stoker env settings lab mail --secret password < password.txt
    """
    client = connect()
    found = _enabled(client, environment, plugin)
    if assignments or unset or file is not None or secrets:
        wanted = values.read_file(file) if file is not None else values.without(found.get("settings", {}), unset)
        wanted = values.apply(wanted, assignments, _schema(client, plugin, found.get("version", ""), found))
        wanted = values.merge(wanted, values.read_secrets(secrets))
        found = client.enable_plugin(environment, plugin, settings=wanted)
        if not as_json:
            output.say(
                f"changed the settings of {plugin} in {environment}; 'stoker plan create {environment}' shows what that means"
            )
    if as_json:
        output.write_json(found)
        return
    output.pairs((name, _shown(value)) for name, value in found.get("settings", {}).items())
    _show_problems(found)


@env.command()
@_environment
@click.argument("node", shell_complete=complete.nodes)
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True, shell_complete=complete.roles)
def assign(environment: str, node: str, roles: tuple[str, ...]) -> None:
    """Put a node into an environment with exactly these roles.

    Examples:
      stoker env assign lab n1 ntp-server
    """
    wanted = sorted({role for text in roles for role in text.split(",") if role})
    connect().assign_node(environment, node, wanted)
    output.say(f"{node} is {', '.join(wanted)} in {environment}")


@env.command()
@_environment
@click.argument("node", shell_complete=complete.environment_nodes)
def unassign(environment: str, node: str) -> None:
    """Take a node out; the next deployment removes what was brought to it.

    Examples:
      stoker env unassign lab n1
    """
    connect().unassign_node(environment, node)
    output.say(f"{node} leaves {environment}")


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


def _enabled(client: StokerClient, environment: str, plugin: str) -> EnabledPluginDocument:
    found = next((item for item in client.environment_plugins(environment) if item["name"] == plugin), None)
    if found is None:
        raise NotFoundError(
            f"plugin {plugin} is not enabled in {environment}.",
            remedy=f"Enable it with 'stoker env enable {environment} {plugin}'.",
        )
    return found


def _schema(client: StokerClient, name: str, version: str, enabled: EnabledPluginDocument | None) -> dict[str, object] | None:
    """The plugin's settings schema, if it can be found without a doubt; values are then read as it says."""
    if enabled is not None and enabled.get("settings_schema"):
        return enabled["settings_schema"]
    versions = [found["version"] for found in client.plugins() if found["name"] == name]
    if not version and len(versions) != 1:
        return None
    if not versions:
        raise InvalidInputError(f"plugin {name} is not installed.", remedy="Install it with 'stoker plugins install BUNDLE'.")
    found = client.plugin(name, version or versions[0])
    contributions = found.get("manifest", {}).get("contributions") or found.get("contributions") or []
    if not isinstance(contributions, list):
        return None
    return next((item.get("schema") for item in contributions if item.get("point") == "settings"), None)


def _shown(value: object) -> str:
    if isinstance(value, dict) and "$secret" in value:
        return "(secret)"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value) or "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value is not None else "null"


def _show_problems(plugin: EnabledPluginDocument) -> None:
    problems = plugin.get("problems") or []
    if problems:
        output.say(
            f"{plugin.get('name', '')}: {output.plural(len(problems), 'setting')} to complete before a plan can be made:",
            "yellow",
        )
        for problem in problems:
            output.say(f"  - {finding_line(problem)}")
