# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plan``: create, show, list, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stoker.cli import choose, complete, output, part, plan_view
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

if TYPE_CHECKING:
    from stoker.client import StokerClient
    from stoker.client.documents import PlanDocument

_optional_environment = click.argument(
    "environment", metavar="[ENV]", required=False, envvar="STOKER_ENV", shell_complete=complete.environments
)
_env_option = click.option(
    "--env",
    "environment",
    envvar="STOKER_ENV",
    shell_complete=complete.environments,
    help="The environment whose latest plan is meant.",
)
_all = click.option("--all", "everything", is_flag=True, help="Show what stays the same, too.")
_node = click.option("--node", default="", shell_complete=complete.nodes, help="Only this node.")


@click.group(cls=Group)
def plan() -> None:
    """Plans: what a deployment would do, line by line, before it does it."""


@plan.command()
@_optional_environment
@part.options
@_node
@_all
@output.json_option
def create(
    environment: str | None,
    nodes: tuple[str, ...],
    roles: tuple[str, ...],
    tasks: tuple[str, ...],
    node: str,
    everything: bool,
    as_json: bool,
) -> None:
    """Look at the nodes, plan, and show the plan as a diff.

    A plan of a part runs nothing outside of it. --node only shows less of the plan.

    Examples:
      stoker plan create lab
      stoker plan create lab --node n1
      stoker plan create lab --roles web --tasks ntp.files
    """
    client = connect()
    made = choose.new_plan(client, choose.environment(client, environment), **part.chosen(nodes, roles, tasks))
    show_plan(client, made, node=node, everything=everything, as_json=as_json)


@plan.command()
@click.argument("plan_id", metavar="[PLAN]", required=False, shell_complete=complete.plans)
@_env_option
@_node
@_all
@output.json_option
def show(plan_id: str | None, environment: str | None, node: str, everything: bool, as_json: bool) -> None:
    """Show a plan; without PLAN the latest one of the environment.

    Examples:
      stoker plan show
      stoker plan show 3f9a2c --all --node n1
      stoker plan show --env lab --json
    """
    client = connect()
    found = client.plan(choose.plan(client, plan_id, environment))
    show_plan(client, found, node=node, everything=everything, as_json=as_json)


@plan.command("list")
@_optional_environment
@output.json_option
def list_plans(environment: str | None, as_json: bool) -> None:
    """List an environment's plans, newest first.

    Examples:
      stoker plan list lab
    """
    client = connect()
    found = client.plans(choose.environment(client, environment))
    if as_json:
        output.write_items(found)
        return
    rows = []
    for item in found:
        counts = item.get("counts") or {}
        rows.append(
            (
                item["id"],
                output.when(item.get("created_at")),
                *(counts.get(key, "") for key in ("files", "packages", "tasks", "nodes")),
            )
        )
    output.table(
        ("PLAN", "MADE", "FILES", "PACKAGES", "TASKS", "NODES"), rows, empty="No plans. Make one with 'stoker plan create'."
    )


@plan.command()
@click.argument("where", metavar="[PLAN|ENV] NODE FILE:LINE", nargs=-1, required=True, shell_complete=complete.explained)
@click.option("--plan", "plan_id", shell_complete=complete.plans, help="The plan [the latest].")
@_env_option
@output.json_option
def explain(where: tuple[str, ...], plan_id: str | None, environment: str | None, as_json: bool) -> None:
    """Say which plugin, contribution and setting a line of a planned file comes from.

    Examples:
      stoker plan explain n1 /etc/chrony/chrony.conf:3
      stoker plan explain lab n1 /etc/chrony/chrony.conf:3
      stoker plan explain --plan 3f9a2c n1 /etc/chrony/chrony.conf:3
    """
    if len(where) not in {2, 3}:
        raise InvalidInputError(
            f"plan explain: {len(where)} arguments are given.", remedy="Write 'stoker plan explain NODE FILE:LINE'."
        )
    node, place = where[-2:]
    path, _, line = place.rpartition(":")
    if not path or not line.isdigit() or not int(line):
        raise InvalidInputError(f"plan explain: {place!r} does not say a line.", remedy="Write FILE:LINE, e.g. /etc/motd:1.")
    client = connect()
    if len(where) == 3:
        known = {name for found in client.environments() for name in (found["name"], found["id"])}
        plan_id, environment = (None, where[0]) if where[0] in known else (where[0], None)
    found = client.explain(choose.plan(client, plan_id, environment), node=node, path=path, line=int(line))
    if as_json:
        output.write_json(found)
    else:
        output.console().print(plan_view.render_explanation(found), soft_wrap=True)


@plan.command("dry-run")
@click.argument("plan_id", metavar="[PLAN]", required=False, shell_complete=complete.plans)
@_env_option
@_node
@output.json_option
def dry_run(plan_id: str | None, environment: str | None, node: str, as_json: bool) -> int:
    """Ask the nodes what the tasks of plugins' own kinds would change; nothing is changed.

    Without PLAN the latest one of the environment. Files, packages and services are in the plan itself already.

    Examples:
      stoker plan dry-run
      stoker plan dry-run 3f9a2c --node n1
      stoker plan dry-run --env lab --json
    """
    client = connect()
    found = client.dry_run_plan(choose.plan(client, plan_id, environment), node=node)
    if as_json:
        output.write_items(found)
    else:
        output.console().print(plan_view.render_dry_runs(found), soft_wrap=True)
    return int(any(item["result"] == "failed" for item in found))


def show_plan(
    client: StokerClient, found: PlanDocument, *, node: str = "", everything: bool = False, as_json: bool = False
) -> bool:
    """Fetch a plan's parts and show them.

    Returns:
        Whether a deployment of it would change something.
    """
    files = client.plan_files(found["id"], node=node, everything=everything)
    packages = [package for package in client.plan_packages(found["id"]) if node in ("", package["node"])]
    tasks = client.plan_tasks(found["id"], node=node)
    patches = client.plan_patches(found["id"])
    partial = bool((found.get("counts") or {}).get("left_out"))
    left_out = [item for item in client.plan_left_out(found["id"]) if node in ("", item["node"])] if partial else []
    if as_json:
        parts = {"files": files, "packages": packages, "tasks": tasks, "patches": patches, "left_out": left_out}
        output.write_json({**found, **parts})
    else:
        shown = plan_view.render_plan(found, files, packages, tasks, patches, left_out, everything=everything)
        output.console().print(shown, soft_wrap=True)
    return not plan_view.is_empty(found, files, packages, tasks)
