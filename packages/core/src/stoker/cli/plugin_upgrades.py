# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env plugin``: another version of a plugin in an environment, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from stoker.cli import asking, complete, output, upgrade_progress
from stoker.cli.lazy import Group
from stoker.cli.problems import finding_lines
from stoker.cli.session import connect

if TYPE_CHECKING:
    from stoker.client.plugin_lifecycle import RecordMigrationDocument, UpgradeDocument

_MARKS: Final = {"add": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red"), "drop": ("!", "red")}

_environment = click.argument("environment", metavar="ENV", shell_complete=complete.environments)
_name = click.argument("plugin", metavar="NAME", shell_complete=complete.enabled_plugins)
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would change.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.group(cls=Group)
def plugin() -> None:
    """Other versions of an environment's plugins: upgrade, and back."""


@plugin.command()
@_environment
@_name
@click.argument("version", metavar="[VERSION]", default="", shell_complete=complete.versions)
@click.option("--drop-settings", is_flag=True, help="Leave out the settings that the other version does not take.")
@_dry_run
@_yes
@output.json_option
def upgrade(environment: str, plugin: str, version: str, drop_settings: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Give an environment another version of a plugin; the server's default one if none is named.

    What changes is shown first: contributions, settings, records. Nothing changes on nodes before the next deployment. 'rollback'
    goes back to the version before and its settings.

    Examples:
      stoker env plugin upgrade lab ntp --dry-run
      stoker env plugin upgrade lab ntp 1.1.0 --yes
    """
    client = connect()

    def do(*, only_look: bool) -> UpgradeDocument:
        return client.upgrade_plugin(environment, plugin, version, drop_settings=drop_settings, dry_run=only_look)

    _run(do, environment, dry_run=dry_run, yes=yes, as_json=as_json)


@plugin.command()
@_environment
@_name
@click.option("--discard-records", is_flag=True, help="Lose what was written to its records since the upgrade.")
@_dry_run
@_yes
@output.json_option
def rollback(environment: str, plugin: str, discard_records: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Go back to the version that the environment had before, with the settings and records of then.

    Records that were written since are listed; they go only with --discard-records.

    Examples:
      stoker env plugin rollback lab ntp --dry-run
      stoker env plugin rollback lab ntp --yes
    """
    client = connect()

    def do(*, only_look: bool) -> UpgradeDocument:
        return client.roll_plugin_back(environment, plugin, discard_records=discard_records, dry_run=only_look)

    _run(do, environment, dry_run=dry_run, yes=yes, as_json=as_json)


def _run(do: Callable[..., UpgradeDocument], environment: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show what changes, ask, and do it."""
    if not dry_run and not yes:
        asking.needs_terminal("changing the version of a plugin", remedy="Look with --dry-run, then add --yes.")
        would = do(only_look=True)
        show(would)
        asking.confirm(f"\nChange {would['plugin']} in {environment} from {would['before']} to {would['after']}?")
    with upgrade_progress.shown(environment, quiet=as_json or dry_run):
        done = do(only_look=dry_run)
    if as_json:
        output.write_json(done)
        return
    if dry_run or yes:
        show(done)
    what = f"{done['plugin']} {done['before']} -> {done['after']} in {environment}"
    if dry_run:
        output.say(f"{what}: nothing was changed")
    else:
        output.say(f"changed {what}; 'stoker plan create {environment}' shows what that means")


def show(found: UpgradeDocument) -> None:
    """What another version changes, line by line."""
    for contribution in found.get("contributions") or []:
        fields = f": {', '.join(contribution['fields'])}" if contribution.get("fields") else ""
        _line(contribution["kind"], f"{contribution['label']}{fields}")
    for setting in found.get("settings") or []:
        kind = setting["kind"]
        if kind == "drop":
            _line(kind, f"setting {setting['setting']} is dropped: {setting.get('reason', '')}")
            continue
        values = [_value(setting.get(side)) for side, at in (("before", "add"), ("after", "remove")) if kind != at]
        _line(kind, f"setting {setting['setting']}: {' -> '.join(values)}")
    for records in found.get("records") or []:
        _show_records(records)
    for back in found.get("records_back") or []:
        steps = f"version {back['from_version']} -> {back['to_version']}"
        _line("change", f"records {back['collection']}: {steps}{'' if back['kept'] else ', which begins empty'}")
        for kind, keys in (("remove", back.get("written") or []), ("add", back.get("deleted") or [])):
            for key in keys:
                _line(kind, f"    {key}: {'written' if kind == 'remove' else 'deleted'} since")
    if problems := found.get("problems"):
        output.say(f"{output.plural(len(problems), 'setting')} to complete before a plan can be made:", "yellow")
        for problem in problems:
            for line in finding_lines(problem):
                output.say(line)


def _show_records(found: RecordMigrationDocument) -> None:
    if found["state"] == "deferred":
        _line("change", f"records {found['collection']}: stay at version {found['from_version']} while others need that")
        return
    dropped = f", {found['dropped']} of them dropped" if found.get("dropped") else ""
    steps = f"version {found['from_version']} -> {found['to_version']}"
    _line("change", f"records {found['collection']}: {steps}, {output.plural(found.get('documents', 0), 'document')}{dropped}")
    for failure in found.get("failures") or []:
        _line("drop", f"    {failure['key']} cannot be migrated (step {failure['step']}): {failure['reason']}")


def _line(kind: str, text: str) -> None:
    mark, colour = _MARKS[kind]
    output.say(f"{mark} {text}", colour)


def _value(value: object) -> str:
    return value if isinstance(value, str) else output.compact(value)
