# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins default``, ``deny``, ``allow`` and ``denied``: which versions of plugins count."""

from __future__ import annotations

import click

from stoker.cli import complete, output, plugin_doctor
from stoker.cli.lazy import Command
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

_name = click.argument("name", metavar="NAME", shell_complete=complete.plugins)
_versions = click.argument("versions", metavar="[VERSIONS]", default="")


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", default="", shell_complete=complete.plugins)
@click.argument("version", metavar="[VERSION]", default="", shell_complete=complete.versions)
@click.option("--newest", is_flag=True, help="Take the choice back: the newest version is the default again.")
@output.json_option
def default(name: str, version: str, newest: bool, as_json: bool) -> None:
    """Show or choose the server's default version of a plugin.

    It answers at /api/plugins/NAME/, and is enabled where no version is named. Until another is chosen it is the newest one; a
    pre-release only if there is nothing else.

    Examples:
      stoker plugins default
      stoker plugins default ntp 1.0.0
      stoker plugins default ntp --newest
    """
    client = connect()
    if newest and (version or not name):
        raise InvalidInputError(
            "--newest goes with a plugin's name alone.", remedy="Write 'stoker plugins default NAME --newest'."
        )
    if version or newest:
        chosen = client.choose_default(name, version) if version else client.follow_newest(name)
        output.answer(chosen, f"the default version of {name} is {chosen['version']}", as_json)
        return
    found = [item for item in client.default_versions() if name in ("", item["name"])]
    if as_json:
        output.write_items(found)
        return
    rows = [(item["name"], item["version"], "chosen" if item["chosen"] else "newest") for item in found]
    output.table(("NAME", "DEFAULT", ""), rows, empty="No plugin is installed.")


@click.command(cls=Command)
@_name
@_versions
@click.option("--reason", metavar="TEXT", required=True, help="Why; everybody is told who wants to use it.")
@output.json_option
def deny(name: str, versions: str, reason: str, as_json: bool) -> None:
    """Deny versions of a plugin: they are not installed or enabled any more, and their code stops.

    Where they are enabled they stay until another version is chosen or the plugin is disabled.

    Examples:
      stoker plugins deny ntp '<1.0.3' --reason 'it asks servers that are gone'
      stoker plugins deny ntp --reason 'we use chrony'
    """
    found = connect().deny_plugin(name, versions, reason)
    met = f"; installed: {', '.join(found['installed'])}" if found.get("installed") else ""
    output.answer(found, f"denied {name} {found.get('versions', '')}".rstrip() + met, as_json)


@click.command(cls=Command)
@_name
@_versions
@output.json_option
def allow(name: str, versions: str, as_json: bool) -> None:
    """Take a denial back; VERSIONS as 'stoker plugins denied' shows them.

    Examples:
      stoker plugins allow ntp '<1.0.3'
    """
    connect().allow_plugin(name, versions)
    shown = f"{name} {versions}".rstrip()
    output.answer({"name": name, "versions": versions, "removed": True}, f"{shown} is no longer denied", as_json)


@click.command(cls=Command)
@output.json_option
def denied(as_json: bool) -> None:
    """List the plugin versions that are denied.

    Examples:
      stoker plugins denied
    """
    found = connect().denials()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            item["name"],
            item.get("versions") or "all",
            item["reason"],
            "Stoker" if item.get("built_in") else item.get("by", ""),
            ", ".join(item.get("installed") or []),
        )
        for item in found
    ]
    output.table(("NAME", "VERSIONS", "REASON", "BY", "INSTALLED"), rows, empty="Nothing is denied.")


COMMANDS = (default, deny, allow, denied, plugin_doctor.doctor)
