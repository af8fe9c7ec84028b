# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins``: install, list, show, uninstall, permissions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli import (
    choose,
    complete,
    output,
    plugin_events,
    plugin_ledger,
    plugin_versions,
    plugin_workers,
    quarantine,
    records,
)
from stoker.cli.lazy import Group
from stoker.cli.permissions import permissions
from stoker.cli.session import connect
from stoker.errors import InvalidInputError, NotFoundError, StokerError

if TYPE_CHECKING:
    from stoker.client import StokerClient
    from stoker.client.documents import PluginDocument


@click.group(cls=Group)
def plugins() -> None:
    """Install, list, show and uninstall plugins."""


plugins.add_command(quarantine.quarantine)
plugins.add_command(records.records)
plugins.add_command(plugin_workers.workers)
plugins.add_command(plugin_workers.logs)
plugins.add_command(plugin_events.events)
plugins.add_command(permissions)


@plugins.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--allow-network", is_flag=True, help="Let the plugins' code reach the network, where they say that it must.")
@output.json_option
def install(bundles: tuple[Path, ...], allow_network: bool, as_json: bool) -> None:
    """Install one or more bundles (NAME-VERSION.stoker) in the running server.

    Examples:
      stoker plugins install ntp-1.0.0.stoker
      stoker plugins install dist/*.stoker
    """
    client = connect()
    installed: list[PluginDocument] = []
    for bundle in bundles:
        try:
            content = bundle.read_bytes()
        except OSError as error:
            raise InvalidInputError(
                f"bundle {bundle} cannot be read: {error.strerror}.",
                remedy="Build one with 'stoker-plugin build' and name its file.",
            ) from error
        try:
            plugin = client.install_plugin(content, allow_network=allow_network)
        except StokerError as error:
            error.detail = f"{bundle}: {error.detail}"
            error.data |= {"bundle": str(bundle), "installed": installed}
            raise
        installed.append(plugin)
        if not as_json:
            output.say(f"installed {plugin['name']} {plugin['version']}: {plugin.get('title', '')}")
            output.say(f"  SHA-256 {plugin.get('digest', '')}")
    if as_json:
        output.write_items(installed)


@plugins.command("list")
@output.json_option
def list_plugins(as_json: bool) -> None:
    """List the installed plugins, every version.

    Examples:
      stoker plugins list
      stoker plugins list --json
    """
    client = connect()
    found = client.plugins()
    if as_json:
        output.write_items(found)
        return
    if client.health().get("safe_mode"):
        output.say("The server runs in safe mode: no plugin's code runs.", "yellow")
    if client.health().get("sandbox") == "unconfined":
        output.say("Plugins' code runs without a sandbox on this server.", "yellow")
    rows = [
        (
            plugin["name"],
            plugin["version"],
            _standing(plugin),
            plugin.get("title", ""),
            ", ".join(plugin.get("environments") or []),
            output.when(plugin.get("installed_at")),
        )
        for plugin in found
    ]
    output.table(
        ("NAME", "VERSION", "", "TITLE", "USED BY", "INSTALLED"),
        rows,
        empty="No plugin is installed. Install one with 'stoker plugins install BUNDLE'.",
    )


def _standing(plugin: PluginDocument) -> str:
    """What counts of a version beside others of the same plugin."""
    return ", ".join(word for word, on in (("default", plugin.get("default")), ("denied", plugin.get("denied"))) if on)


@plugins.command()
@click.argument("plugin", metavar="NAME[=VERSION]", shell_complete=complete.plugin_versions)
@output.json_option
def show(plugin: str, as_json: bool) -> None:
    """Show what one plugin version is and contributes.

    Examples:
      stoker plugins show ntp
      stoker plugins show ntp=1.0.0 --json
    """
    client = connect()
    name, version = _one_version(client, plugin)
    found = client.plugin(name, version)
    if as_json:
        output.write_json(found)
        return
    output.pairs(
        [
            ("name", found["name"]),
            ("version", found["version"]),
            ("title", found.get("title")),
            ("description", found.get("description")),
            ("requires stoker", found.get("requires_stoker")),
            ("requires plugins", ", ".join(found.get("requires_plugins") or [])),
            ("for releases", ", ".join(found.get("releases") or [])),
            ("for nodes with", ", ".join(found.get("operating_systems") or [])),
            ("SHA-256", found.get("digest")),
            ("default", "yes" if found.get("default") else "no"),
            ("denied", found.get("denied")),
            ("reaches the network", found.get("outbound_network") if found.get("network_agreed") else ""),
            ("API description", found.get("openapi_problem")),
            ("installed", output.when(found.get("installed_at"))),
            ("used by", ", ".join(found.get("environments") or [])),
        ]
    )
    contributions = found.get("contributions") or found.get("manifest", {}).get("contributions") or []
    if isinstance(contributions, list) and contributions:
        output.say("contributes", "bold")
        for contribution in contributions:
            output.say(f"  {contribution.get('label') or _label(contribution)}")
    if packages := found.get("repository_packages"):
        output.say("packages in its own repositories", "bold")
        for package in packages:
            output.say(f"  {package['name']} {package['version']} ({package['architecture']})  {package['file']}")


def _label(contribution: dict[str, object]) -> str:
    """A contribution's point and, if it has one, its name."""
    named = next((contribution[key] for key in ("id", "name", "path", "file") if isinstance(contribution.get(key), str)), "")
    return f"{contribution.get('point', '')} {named}".rstrip()


@plugins.command()
@click.argument("plugin", metavar="NAME[=VERSION]", shell_complete=complete.plugin_versions)
@click.option("--dry-run", is_flag=True, help="Only show what would go: rows, files, processes, records.")
@click.option("--delete-records", is_flag=True, help="Let the plugin's records go with its last version.")
@output.json_option
def uninstall(plugin: str, dry_run: bool, delete_records: bool, as_json: bool) -> None:
    """Remove a plugin version that no environment uses; nothing of it is left but the audit.

    Examples:
      stoker plugins uninstall ntp=1.0.0 --dry-run
      stoker plugins uninstall ntp=1.0.0
    """
    client = connect()
    name, version = _one_version(client, plugin)
    if dry_run:
        plugin_ledger.show(client.plugin_ledger(name, version), as_json=as_json)
        return
    client.uninstall_plugin(name, version, delete_records=delete_records)
    output.answer({"name": name, "version": version, "removed": True}, f"uninstalled {name} {version}", as_json)


def _one_version(client: StokerClient, given: str) -> tuple[str, str]:
    """NAME=VERSION, or NAME if only one version of it is installed."""
    name, version = choose.plugin_version(given)
    if version:
        return name, version
    versions = [found["version"] for found in client.plugins() if found["name"] == name]
    if len(versions) == 1:
        return name, versions[0]
    if not versions:
        raise NotFoundError(f"plugin {name} is not installed.", remedy="'stoker plugins list' shows what is.")
    raise InvalidInputError(
        f"plugin {name} is installed in {len(versions)} versions.",
        remedy=f"Write {name}=VERSION with one of {', '.join(versions)}.",
    )


for _command in plugin_versions.COMMANDS:
    plugins.add_command(_command)
