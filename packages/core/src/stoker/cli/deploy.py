# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker deploy``: show a plan, ask, carry it out, watch."""

from __future__ import annotations

import click

from stoker.cli import asking, choose, complete, output, part
from stoker.cli.lazy import Command
from stoker.cli.plans import show_plan
from stoker.cli.session import connect
from stoker.cli.watching import follow, follow_silently
from stoker.errors import InvalidInputError


@click.command(cls=Command)
@click.argument("environment", metavar="[ENV]", required=False, envvar="STOKER_ENV", shell_complete=complete.environments)
@part.options
@click.option("--plan", "plan_id", shell_complete=complete.plans, help="Carry out this plan instead of a new one.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--watch/--detach", default=True, show_default="watch", help="Follow it to its end, or return at once.")
@output.json_option
def deploy(
    environment: str | None,
    nodes: tuple[str, ...],
    roles: tuple[str, ...],
    tasks: tuple[str, ...],
    plan_id: str | None,
    yes: bool,
    watch: bool,
    as_json: bool,
) -> int:
    """Show the plan, ask, carry it out and follow it to its end.

    Ctrl-C while it runs leaves it running and says how to stop it. Exits 0 if the deployment is ready, 1 if not.

    Examples:
      stoker deploy lab
      stoker deploy lab --plan 3f9a2c --yes
      stoker deploy lab --yes --detach
      stoker deploy lab --nodes n1,n2
      stoker deploy lab --roles web --tasks ntp.files
    """
    wanted = part.chosen(nodes, roles, tasks)
    if plan_id and wanted:
        raise InvalidInputError(
            "a plan says already which part of the environment it is about.",
            remedy="Give --plan, or choose with --nodes, --roles and --tasks.",
        )
    client = connect()
    chosen = choose.environment(client, environment)
    if not yes:
        asking.needs_terminal(f"deploy {chosen}", remedy="Read the plan, then add --yes.")
    plan = client.plan(plan_id) if plan_id else choose.new_plan(client, chosen, **wanted)
    if not as_json and not show_plan(client, plan) and not yes:
        return 0
    if not yes:
        asking.confirm(f"\nDeploy this to {chosen}?")
    deployment = client.deploy(chosen, plan["id"])
    if as_json and watch:
        return follow_silently(client, deployment)
    if as_json:
        output.write_json(deployment)
        return 0
    if not watch:
        output.say(f"deployment {deployment['id']} runs. Watch it: stoker deployments watch {deployment['id']}")
        return 0
    output.say("")
    return follow(client, deployment)
