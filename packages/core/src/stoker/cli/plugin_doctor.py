# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins doctor``: what is wrong with plugins, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect

if TYPE_CHECKING:
    from stoker.client.plugin_lifecycle import PluginProblemDocument


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", default="", shell_complete=complete.plugins)
@output.json_option
def doctor(name: str, as_json: bool) -> int:
    """Say per plugin what is wrong and how to mend it; nothing is changed, and no code of theirs runs.

    Files that are not what was installed, venvs that are missing, versions that do not fit or are denied, hooks in quarantine,
    records and events that wait, agreements and sandboxes that are missing. Exit status 1 if there is an error.

    Examples:
      stoker plugins doctor
      stoker plugins doctor inventory --json
    """
    found = connect().diagnose_plugins(name)
    wrong = any(problem["severity"] == "error" for problem in found)
    if as_json:
        output.write_json({"ok": not wrong, "items": found})
        return int(wrong)
    for problem in found:
        _show(problem)
    counts = {kind: sum(problem["severity"] == kind for problem in found) for kind in ("error", "warning")}
    told = f"{output.plural(counts['error'], 'error')}, {output.plural(counts['warning'], 'warning')}."
    output.say(told if found else f"Nothing is wrong with {name or 'any plugin'}.", "bold" if found else "green")
    return int(wrong)


def _show(problem: PluginProblemDocument) -> None:
    where = f" in {problem['environment']}" if problem.get("environment") else ""
    colour = "red" if problem["severity"] == "error" else "yellow"
    output.say(
        f"{problem['severity']}: {problem['plugin']} {problem['version']}{where}: {problem['message'].rstrip('.')}.", colour
    )
    output.say(f"    {problem['remedy']}")
