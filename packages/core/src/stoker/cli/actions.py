# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker actions``: what plugins let you start, and starting it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli import asking, complete, output, values
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from stoker.client import StokerClient
    from stoker.client.actions import ActionDocument


@click.group(cls=Group)
def actions() -> None:
    """What plugins let you start, and starting it."""


@actions.command("list")
@click.option("--env", "environment", metavar="ENV", default="", shell_complete=complete.environments, help="Only those in it.")
@click.option("--plugin", default="", metavar="NAME", shell_complete=complete.plugins, help="Only those of this plugin.")
@output.json_option
def list_actions(environment: str, plugin: str, as_json: bool) -> None:
    """List the actions that you may start.

    Examples:
      stoker actions list
      stoker actions list --env lab --json
    """
    found = connect().actions(environment=environment, plugin=plugin)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (f"{item['plugin']}.{item['name']}", item["target"], item["environment"], ", ".join(_fields(item)), item["title"])
        for item in found
    ]
    output.table(("ACTION", "ON", "ENVIRONMENT", "FORM", "DOES"), rows, empty="There is no action that you may start.")


def _fields(action: ActionDocument) -> list[str]:
    properties = action["form"].get("properties")
    return list(properties) if isinstance(properties, dict) else []


@actions.command()
@click.argument("action", metavar="PLUGIN.ACTION", shell_complete=complete.actions)
@click.option(
    "--env",
    "environment",
    metavar="ENV",
    envvar="STOKER_ENV",
    default="",
    shell_complete=complete.environments,
    help="The environment on which it is started, or the node's [STOKER_ENV].",
)
@click.option("--node", default="", metavar="NODE", shell_complete=complete.nodes, help="The node, for what is started on one.")
@click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="One field of the form. A text field takes VALUE as it is; every other field reads it as YAML. May be repeated.",
)
@click.option(
    "--form",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The form as YAML or JSON ('-' for standard input).",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, show_default="wait", help="Follow the job to its end, or return at once.")
@output.json_option
def start(
    action: str,
    environment: str,
    node: str,
    assignments: tuple[str, ...],
    file: Path | None,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Start an action and follow its job. Exits 0 if it succeeded, 1 if it did not.

    Ctrl-C leaves the job running and says how to cancel it.

    Examples:
      stoker actions start inventory.recount --env lab
      stoker actions start inventory.import_labels --env lab --form labels.yaml
      stoker actions start inventory.recount --env lab --no-wait --json
    """
    client = connect()
    chosen = _choose(client, action, environment, node)
    if chosen["confirm"] and not yes:
        asking.needs_terminal(f"start {action}", remedy=f"It asks: {chosen['confirm']} If so, add --yes.")
        asking.confirm(chosen["confirm"])
    form = values.apply(values.read_file(file) if file else {}, assignments, chosen["form"])
    job = client.start_action(
        chosen["plugin"],
        chosen["name"],
        environment=chosen["environment"],
        node=node if chosen["target"] == "node" else "",
        form=form,
    )
    if not wait:
        output.answer(job, f"job {job['id']} is queued. Follow it: stoker jobs watch {job['id']}", as_json)
        return 0
    from stoker.cli import job_watching  # noqa: PLC0415  it loads what draws

    return job_watching.follow(client, job, as_json=as_json)


def _choose(client: StokerClient, action: str, environment: str, node: str) -> ActionDocument:
    """The action that is meant, in the environment that is named, or that has the node, or the only one that has it."""
    plugin, separator, name = action.partition(".")
    if not separator or not plugin or not name:
        raise InvalidInputError(
            f"{action!r} is not PLUGIN.ACTION.", remedy="'stoker actions list' shows those that you may start."
        )
    if node and not environment:
        environment = client.node(node).get("environment") or ""
    known = [item for item in client.actions(plugin=plugin) if item["name"] == name]
    fitting = [item for item in known if item["target"] == "server" or environment in ("", item["environment"])]
    if not fitting:
        where = f" in environment {environment}" if environment and known else ""
        raise NotFoundError(
            f"there is no action {action} that you may start{where}.",
            remedy="'stoker actions list' shows those that there are; its plugin must be enabled in the environment.",
        )
    if len(fitting) > 1:
        names = ", ".join(item["environment"] for item in fitting[:8])
        raise InvalidInputError(f"{action} can be started in several environments: {names}.", remedy="Name one with --env.")
    if fitting[0]["target"] == "node" and not node:
        raise InvalidInputError(f"{action} is started on a node, and none is named.", remedy="Name one with --node.")
    return fitting[0]
