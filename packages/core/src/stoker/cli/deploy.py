# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker deploy``: show a plan, ask, carry it out, watch."""

from __future__ import annotations

import sys

import click

from stoker.cli import choose, complete, output
from stoker.cli.lazy import Command
from stoker.cli.plans import show_plan
from stoker.cli.session import connect
from stoker.cli.watching import follow
from stoker.client import StokerClient
from stoker.client.documents import DeploymentDocument
from stoker.errors import InvalidInputError


@click.command(cls=Command)
@click.argument("environment", metavar="[ENV]", required=False, envvar="STOKER_ENV", shell_complete=complete.environments)
@click.option("--plan", "plan_id", shell_complete=complete.plans, help="Carry out this plan instead of a new one.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--watch/--detach", default=True, show_default="watch", help="Follow it to its end, or return at once.")
@output.json_option
def deploy(environment: str | None, plan_id: str | None, yes: bool, watch: bool, as_json: bool) -> int:
    """Show the plan, ask, carry it out and follow it to its end.

    Ctrl-C while it runs leaves it running and says how to stop it. Exits 0 if the deployment is ready, 1 if not.

    Examples:
      stoker deploy lab
      stoker deploy lab --plan 3f9a2c --yes
      stoker deploy lab --yes --detach
    """
    client = connect()
    chosen = choose.environment(client, environment)
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInputError(
            f"deploy {chosen}: there is no terminal to ask at, and --yes is not given.", remedy="Read the plan, then add --yes."
        )
    plan = client.plan(plan_id) if plan_id else client.create_plan(chosen)
    if not as_json and not show_plan(client, plan) and not yes:
        return 0
    if not yes:
        click.confirm(f"\nDeploy this to {chosen}?", abort=True)
    deployment = client.deploy(chosen, plan["id"])
    if as_json:
        return _tell_in_json(client, deployment, watch)
    if not watch:
        output.say(f"deployment {deployment['id']} runs. Watch it: stoker deployments watch {deployment['id']}")
        return 0
    output.say("")
    return follow(client, deployment)


def _tell_in_json(client: StokerClient, deployment: DeploymentDocument, watch: bool) -> int:
    if watch:
        for _event in client.events(deployment["id"]):
            pass  # only its end is told
        deployment = client.deployment(deployment["id"])
    output.write_json(deployment)
    return 0 if not watch or deployment.get("state") == "ready" else 1
