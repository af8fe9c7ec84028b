# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env enable``, ``disable`` and ``settings``: the plugins of an environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from stoker.cli import choose, complete, output, settings_view, values
from stoker.cli.lazy import Command
from stoker.cli.problems import finding_lines
from stoker.cli.session import connect
from stoker.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from stoker.client import StokerClient
    from stoker.client.documents import EnabledPluginDocument

_F = TypeVar("_F", bound=Callable[..., object])

_environment = click.argument("environment", metavar="ENV", shell_complete=complete.environments)
_plugin = click.argument("plugin", metavar="PLUGIN", shell_complete=complete.enabled_plugins)


def _giving_settings(command: _F) -> _F:
    """The options with which settings are given, the same for both commands."""
    options = [
        click.option(
            "--set",
            "assignments",
            metavar="KEY=VALUE",
            multiple=True,
            shell_complete=complete.settings,
            help="One setting. A text field takes VALUE as it is; every other field reads it as YAML. May be repeated.",
        ),
        click.option(
            "--file",
            "--settings",
            "file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Settings as YAML or JSON ('-' for standard input).",
        ),
        click.option(
            "--secret",
            "secrets",
            metavar="KEY",
            multiple=True,
            shell_complete=complete.setting_names,
            help="Ask for a secret, or read it as a line of standard input. May be repeated.",
        ),
        click.option(
            "--secret-file",
            "secret_files",
            metavar="KEY=FILE",
            multiple=True,
            help="Read a secret, also one of several lines (PEM), from a file ('-' for standard input). May be repeated.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=Command)
@_environment
@click.argument("plugin", metavar="NAME[=VERSION]", shell_complete=complete.plugin_versions)
@_giving_settings
@output.json_option
def enable(
    environment: str,
    plugin: str,
    assignments: tuple[str, ...],
    file: Path | None,
    secrets: tuple[str, ...],
    secret_files: tuple[str, ...],
    as_json: bool,
) -> None:
    """Enable a plugin, or switch it to another version; settings that it has already stay.

    Nothing changes on nodes before the next deployment. Conflicts with other plugins are refused here.

    Examples:
      stoker env enable lab ntp
      stoker env enable lab ntp=1.0.0 --set 'pools=[pool.example.net]'
      stoker env enable lab ntp --file ntp.yaml
    """
    name, version = choose.plugin_version(plugin)
    client = connect()
    settings: values.Settings | None = None
    if file is not None or assignments or secrets or secret_files:
        before = _present(client, environment, name)
        settings = values.merge(before.get("settings", {}) if before else {}, values.read_file(file) if file else {})
        settings = values.apply(settings, assignments, settings_schema(client, name, version, before))
        settings = values.with_secrets(settings, secrets, secret_files)
    # What was read and changed here must not undo what somebody else changed meanwhile.
    enabled = client.enable_plugin(environment, name, version=version or None, settings=settings, as_seen=settings is not None)
    if as_json:
        output.write_json(enabled)
        return
    output.say(f"enabled {name} {enabled.get('version', '')} in {environment}")
    show_problems(environment, enabled)


@click.command(cls=Command)
@_environment
@_plugin
@output.json_option
def disable(environment: str, plugin: str, as_json: bool) -> None:
    """Disable a plugin; the next deployment takes from the nodes what it brought.

    Examples:
      stoker env disable lab ntp && stoker deploy lab
    """
    found = connect().disable_plugin(environment, plugin)
    # Nothing of it was deployed: it is gone at once, and the API has nothing more to say of it.
    document = found or {"name": plugin, "removed": True}
    text = f"disabled {plugin} in {environment}; 'stoker plan create {environment}' shows what goes from the nodes"
    output.answer(document, text, as_json)


@click.command(cls=Command)
@_environment
@_plugin
@_giving_settings
@click.option(
    "--unset",
    "unset",
    metavar="KEY",
    multiple=True,
    shell_complete=complete.setting_names,
    help="Back to the default. May be repeated.",
)
@output.json_option
def settings(
    environment: str,
    plugin: str,
    assignments: tuple[str, ...],
    file: Path | None,
    secrets: tuple[str, ...],
    secret_files: tuple[str, ...],
    unset: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show or change a plugin's settings in an environment; secrets are never shown.

    What a file gives takes the place of all settings that are set; the other options change single ones.

    Examples:
      stoker env settings lab ntp
      stoker env settings lab ntp --set 'pools=[pool.example.net]' --set minsources=2
      stoker env settings lab ntp --file ntp.yaml
      stoker env settings lab mail --secret password < password.txt
      stoker env settings lab mail --secret-file certificate=mail.pem
    """
    client = connect()
    found = _enabled(client, environment, plugin)
    if assignments or unset or file is not None or secrets or secret_files:
        wanted = values.read_file(file) if file is not None else values.without(found.get("settings", {}), unset)
        wanted = values.apply(wanted, assignments, settings_schema(client, plugin, found.get("version", ""), found))
        wanted = values.with_secrets(wanted, secrets, secret_files)
        found = client.enable_plugin(environment, plugin, settings=wanted, as_seen=True)
        if not as_json:
            output.say(
                f"changed the settings of {plugin} in {environment}; 'stoker plan create {environment}' shows what that means"
            )
    if as_json:
        output.write_json(found)
        return
    settings_view.show(found)
    show_problems(environment, found)


def _present(client: StokerClient, environment: str, plugin: str) -> EnabledPluginDocument | None:
    """The plugin as the environment has it, if it has it; the client remembers in which state that was."""
    if not any(item["name"] == plugin for item in client.environment_plugins(environment)):
        return None
    return client.environment_plugin(environment, plugin)


def _enabled(client: StokerClient, environment: str, plugin: str) -> EnabledPluginDocument:
    found = _present(client, environment, plugin)
    if found is not None:
        return found
    if any(item["name"] == plugin for item in client.plugins()):
        raise NotFoundError(
            f"plugin {plugin} is not enabled in {environment}.",
            remedy=f"Enable it with 'stoker env enable {environment} {plugin}'.",
        )
    raise NotFoundError(
        f"plugin {plugin} is neither enabled in {environment} nor installed.",
        remedy="Install it with 'stoker plugins install BUNDLE', "
        f"then enable it with 'stoker env enable {environment} {plugin}'; "
        f"'stoker env show {environment}' lists what is enabled.",
    )


def settings_schema(
    client: StokerClient, name: str, version: str, enabled: EnabledPluginDocument | None
) -> dict[str, object] | None:
    """The plugin's settings schema, if it can be found without a doubt; values are then read as it says."""
    if enabled is not None and version in ("", enabled.get("version")) and enabled.get("settings_schema"):
        return enabled["settings_schema"]
    versions = [found["version"] for found in client.plugins() if found["name"] == name]
    if not version and len(versions) != 1:
        return None
    if not versions:
        raise InvalidInputError(f"plugin {name} is not installed.", remedy="Install it with 'stoker plugins install BUNDLE'.")
    return client.plugin(name, version or versions[0]).get("settings_schema") or None


def show_problems(environment: str, plugin: EnabledPluginDocument) -> None:
    """What is still missing before a plan can be made, and what the plugin's own check says."""
    if warnings := plugin.get("warnings"):
        output.say(f"{plugin.get('name', '')}: its own check warns:", "yellow")
        for warning in warnings:
            for line in finding_lines(warning):
                output.say(line)
    problems = plugin.get("problems") or []
    if problems:
        output.say(
            f"{plugin.get('name', '')}: {output.plural(len(problems), 'setting')} to complete before a plan can be made:",
            "yellow",
        )
        for problem in problems:
            for line in finding_lines(choose.exact_remedy(environment, problem)):
                output.say(line)
