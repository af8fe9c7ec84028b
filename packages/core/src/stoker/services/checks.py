# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Health checks on demand: every check of an environment's plugins, run now on its nodes."""

from __future__ import annotations

import asyncio
import uuid

import msgspec

from stoker.db.environments import find_environment, refuse_while_deploying
from stoker.domain.action import Action
from stoker.domain.attempt import Outcome
from stoker.domain.node import NodeTarget, Observation
from stoker.domain.plan import PlannedTask
from stoker.domain.snapshot import Applied
from stoker.errors import NodeError
from stoker.orchestration.materials import Materials, Redactor
from stoker.services import plans, snapshots
from stoker.services.context import ServerContext
from stoker.services.observation import AT_ONCE, CONNECT_SECONDS
from stoker.transport import NodeLink

GRACE_SECONDS = 10.0
UNREACHABLE = 255


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check on one node."""

    node: str
    check: str
    title: str
    ok: bool
    output: str
    exit_status: int


def run(context: ServerContext, environment: str) -> list[CheckView]:
    """Run all checks, on many nodes at once.

    Raises:
        NotFoundError: there is no such environment.
        ConflictError: a deployment of it runs.
        PlanningError: the checks cannot be worked out.
    """
    with context.database.read() as connection:
        row = find_environment(connection, environment)
        refuse_while_deploying(connection, str(row.id), str(row.name), "checking")
        stored = snapshots.read_stored(context, connection, environment)
        snapshots.refuse_incomplete(connection, str(row.id), str(row.name))
    # A plan for bare nodes runs every task, so it has every check; only the checks of it are run.
    nodes = [
        msgspec.structs.replace(node, observed=Observation(), applied=Applied())
        for node in stored.snapshot.nodes
        if not node.removing
    ]
    plugins = [plugin for plugin in stored.snapshot.plugins if not plugin.removing]
    bare = msgspec.structs.replace(stored, snapshot=msgspec.structs.replace(stored.snapshot, nodes=nodes, plugins=plugins))
    return context.wait(_run(context, bare))


async def _run(context: ServerContext, gathered: snapshots.Gathered) -> list[CheckView]:
    plan = await plans.make_plan(context, gathered.snapshot)
    versions = {plugin.name: plugin.version for plugin in gathered.snapshot.plugins}
    materials = Materials(plan.contents, gathered.secrets, context.store, versions)
    redact = Redactor(gathered.secrets)
    targets = {target.id: target for target in gathered.targets}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> list[CheckView]:
        checks = [
            (plan.tasks[item.task], plan.actions[item.action])
            for item in plan.instances
            if item.node == number and plan.tasks[item.task].kind == "check"
        ]
        if not checks:
            return []
        async with gate:
            return await _check_node(context, targets[plan.nodes[number].id], checks, materials, redact)

    found = await asyncio.gather(*(one(number) for number in range(len(plan.nodes))))
    return [view for views in found for view in views]


async def _check_node(
    context: ServerContext,
    target: NodeTarget,
    checks: list[tuple[PlannedTask, Action]],
    materials: Materials,
    redact: Redactor,
) -> list[CheckView]:
    try:
        link = await context.transports[target.transport].connect(target, CONNECT_SECONDS)
    except NodeError as error:
        gone = Outcome(exit_status=UNREACHABLE, output=str(error))
        return [_view(target.name, task, gone, redact) for task, _ in checks]
    try:
        return [
            _view(target.name, task, await _attempt(link, target, task, action, materials), redact) for task, action in checks
        ]
    finally:
        await link.close()


async def _attempt(link: NodeLink, target: NodeTarget, task: PlannedTask, action: Action, materials: Materials) -> Outcome:
    attempt = f"check-{uuid.uuid4().hex[:16]}"
    try:
        outcome = await asyncio.wait_for(link.execute(attempt, action, materials, task.timeout), task.timeout + GRACE_SECONDS)
        await link.forget([attempt])
    except NodeError as error:
        return Outcome(exit_status=UNREACHABLE, output=str(error))
    except TimeoutError:
        return Outcome(exit_status=UNREACHABLE, output=f"node {target.name} did not tell in time how the check ended.")
    return outcome


def _view(node: str, task: PlannedTask, outcome: Outcome, redact: Redactor) -> CheckView:
    return CheckView(
        node=node,
        check=task.name,
        title=task.title,
        ok=outcome.ok,
        output=redact(outcome.output, cut=True),
        exit_status=outcome.exit_status,
    )
