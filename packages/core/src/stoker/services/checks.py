# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Health checks on demand: run on the nodes as they are now, without a deployment."""

from __future__ import annotations

import asyncio
import uuid

import msgspec

from stoker.domain.plan import Plan, PlannedInstance
from stoker.errors import NodeError
from stoker.orchestration.attempts import UNREACHABLE
from stoker.orchestration.materials import Materials, Redactor
from stoker.services import audit, plans, snapshots
from stoker.services.context import ServerContext

_RETRY_LIMIT = 10


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check on one node."""

    node: str
    check: str
    """``plugin.id``."""
    title: str
    ok: bool
    output: str
    exit_status: int


def run(context: ServerContext, environment: str) -> list[CheckView]:
    """Run every health check of an environment's plugins on all their nodes.

    A node that cannot be looked at fails the check that it answers; the others are checked.

    Raises:
        NotFoundError: there is no such environment.
        PlanningError: the environment cannot be planned.
    """
    gathered = snapshots.gather(context, environment)
    roles = {role for node in gathered.snapshot.nodes for role in node.roles or [""]}
    with context.database.transaction() as connection:
        snapshot = gathered.snapshot
        audit.record(
            connection,
            "environment.check",
            snapshot.environment_id,
            snapshot.environment_name,
            environment=snapshot.environment_name,
        )
    whoever_answers = msgspec.structs.replace(gathered.snapshot, roles=dict.fromkeys(roles, "100%"))
    return context.wait(_run(context, msgspec.structs.replace(gathered, snapshot=whoever_answers)))


async def _run(context: ServerContext, gathered: snapshots.Gathered) -> list[CheckView]:
    plan = await plans.make_plan(context, gathered.snapshot)
    materials = Materials(plan.contents, gathered.secrets)
    redact = Redactor(gathered.secrets)
    by_node: dict[int, list[PlannedInstance]] = {}
    for instance in plan.instances:
        if plan.tasks[instance.task].kind == "check":
            by_node.setdefault(instance.node, []).append(instance)
    results = await asyncio.gather(
        *(_on_node(context, gathered, plan, node, items, materials, redact) for node, items in by_node.items())
    )
    silent = [
        CheckView(
            node=node.name, check="answers", title="The node answers", ok=False, output=node.left_out, exit_status=UNREACHABLE
        )
        for node in plan.nodes
        if node.left_out
    ]
    return sorted((*silent, *(item for found in results for item in found)), key=lambda item: (item.node, item.check))


async def _on_node(
    context: ServerContext,
    gathered: snapshots.Gathered,
    plan: Plan,
    node: int,
    items: list[PlannedInstance],
    materials: Materials,
    redact: Redactor,
) -> list[CheckView]:
    target = gathered.targets[node]
    found: list[CheckView] = []
    try:
        link = await context.transports[target.transport].connect(target)
    except NodeError as error:
        return [_view(plan, item, UNREACHABLE, str(error)) for item in items]
    try:
        for item in items:
            task = plan.tasks[item.task]
            for tried in range(min(task.retries, _RETRY_LIMIT) + 1):
                attempt = f"check.{uuid.uuid4().hex}"
                outcome = await link.execute(attempt, plan.actions[item.action], materials, task.timeout)
                await link.forget([attempt])
                if outcome.ok or tried == task.retries:
                    break
                await asyncio.sleep(task.retry_interval)
            found.append(_view(plan, item, outcome.exit_status, redact(outcome.output)))
    except NodeError as error:
        found += [_view(plan, item, UNREACHABLE, str(error)) for item in items[len(found) :]]
    finally:
        await link.close()
    return found


def _view(plan: Plan, item: PlannedInstance, status: int, output: str) -> CheckView:
    task = plan.tasks[item.task]
    name = task.name.replace(".check.", ".", 1)
    return CheckView(
        node=plan.nodes[item.node].name, check=name, title=task.title, ok=status == 0, output=output, exit_status=status
    )
