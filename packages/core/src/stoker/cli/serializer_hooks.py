# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env serializer-hooks``, and what plugins add to a node, environment or deployment, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click
import msgspec

from stoker.cli import complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect


@click.command("serializer-hooks", cls=Command)
@click.argument("environment", metavar="ENV", shell_complete=complete.environments)
@output.json_option
def list_hooks(environment: str, as_json: bool) -> None:
    """List the hooks of plugins that add data to an environment's objects: how fresh the data are, and why not.

    Examples:
      stoker env serializer-hooks lab
    """
    found = connect().serializer_hooks(environment)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            f"{item['plugin']}.{item['name']}",
            item["target"],
            output.state_text(item["state"]),
            output.when(item["published_at"]),
            output.when(item["next_try"]),
            item["reason"],
        )
        for item in found
    ]
    empty = f"No plugin of {environment} adds data to nodes, environments or deployments."
    output.table(("HOOK", "ADDS TO", "DATA", "MADE", "NEXT TRY", "LAST FAILURE"), rows, empty=empty)


def rows_of(ext: Mapping[str, Mapping[str, object]] | None, state: Mapping[str, str] | None) -> Iterator[tuple[str, str]]:
    """What plugins add to an object, as names and values; what is not fresh says so."""
    states = dict(state or {})
    for plugin, hooks in (ext or {}).items():
        for name, data in hooks.items():
            label = f"{plugin}.{name}"
            note = f" ({states.pop(label)})" if label in states else ""
            yield label, msgspec.json.encode(data).decode() + note
    for label, word in states.items():
        yield label, f"({word})"
