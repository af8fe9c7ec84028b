# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Starting deployments: a plan is carried out, or gone on with, only if what it was made from still holds at that moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from stoker.db import deployments
from stoker.db.deployments import InstanceHistory
from stoker.db.environments import deployment_running, find_environment, take_revision
from stoker.db.plans import StoredPlan, load_plan, load_snapshot
from stoker.db.primaries import write_primaries
from stoker.domain.plan import Plan
from stoker.domain.snapshot import NodeInput, Selection, Snapshot
from stoker.errors import ConflictError, ForbiddenError, NotFoundError
from stoker.orchestration.wording import listed
from stoker.services import audit, plans, snapshots
from stoker.services.context import ServerContext
from stoker.services.deployments import DeploymentView, show

_TRIES = 5


def start(context: ServerContext, environment: str, plan_id: str | None, selection: Selection | None = None) -> DeploymentView:
    """Carry out a plan; without one, a plan is made first, of a part of the environment if that is wanted.

    Raises:
        NotFoundError: there is no such environment or plan.
        ConflictError: another deployment of the environment runs, or the last one left attempts under way or a question open.
        PlanOutdatedError: an input of the plan has changed since it was made; it is named.
        PlanningError: a plan cannot be made.
    """
    with context.database.read() as connection:
        row = find_environment(connection, environment)
        running = deployment_running(connection, str(row.id))
    if running is not None:
        raise ConflictError(
            f"environment {row.name}: deployment {running} is running, a second one is refused.",
            remedy="Wait for its end, or stop it ('stoker deployments stop').",
            running=running,
        )
    _refuse_while_attempts_run(context, str(row.id))
    identity = plan_id or plans.create_plan(context, environment, selection).id
    stored = plans.load(context, identity)
    if stored.environment_id != row.id:
        raise NotFoundError(f"plan {identity} is not a plan of environment {row.name}.", remedy="'stoker plan list' shows them.")

    def check(again: bool) -> int:
        revision = plans.refuse_outdated(context, stored, look=plan_id is not None and not again)
        _refuse_while_attempts_run(context, stored.environment_id)
        return revision

    return _begin(context, stored, check)


def _begin(
    context: ServerContext, stored: StoredPlan, check: Callable[[bool], int], retry_of: str | None = None
) -> DeploymentView:
    """Take the environment's lock in the same revision for which ``check`` found nothing to say."""
    if context.orchestrator is None:
        raise ForbiddenError("this server carries out no deployments.", remedy="Ask the server that does.")
    name = stored.plan.environment_name
    for tried in range(_TRIES):
        revision = check(tried > 0)
        with context.database.transaction() as connection:
            # What is applied on the nodes is an input of plans as well, and changes from now on.
            if not take_revision(connection, stored.environment_id, revision):
                continue  # somebody changed the environment while we checked: check again
            identity = deployments.add_deployment(connection, stored.environment_id, name, stored.id, retry_of)
            write_primaries(connection, stored.plan)
            after = {"plan": stored.id, **({"retry_of": retry_of} if retry_of else {})}
            action = "deployment.retry" if retry_of else "deployment.start"
            audit.record(connection, action, identity, identity, environment=name, after=after)
        context.orchestrator.start(identity)
        return show(context, identity)
    raise ConflictError(f"environment {name} is changed by others all the time.", remedy="Try again in a moment.")


def _refuse_while_attempts_run(context: ServerContext, environment_id: str) -> None:
    """A deployment may have left attempts under way, or of which nobody knows the end: nothing new may start beside them."""
    with context.database.read() as connection:
        newest = next(iter(deployments.list_deployments(connection, environment_id)), None)
        if newest is None or newest.state in (*deployments.UNFINISHED, "ready"):
            return
        history = deployments.read_history(connection, str(newest.id))
    _refuse_while_asked(str(newest.id), history)
    left = deployments.open_attempts(history) if newest.state == "failed" else []
    if left:
        raise ConflictError(
            f"deployment {newest.id} broke off while attempts were under way: {listed(left)}.",
            remedy=f"'stoker deployments retry {newest.id}' picks them up. If its inputs have changed, look at the nodes, then:"
            f" stoker deployments answer {newest.id} NODE TASK done|rerun",
        )


def _refuse_while_asked(deployment_id: str, history: Mapping[tuple[str, str], InstanceHistory]) -> None:
    """Where nobody knows whether a task ran, a person says so before it may run again."""
    asked = [f"{task} on {node}" for (node, task), item in sorted(history.items()) if item.unknown]
    if asked:
        raise ConflictError(
            f"nobody knows whether these ran: {listed(asked)}.",
            remedy=f"Look at the nodes, then: stoker deployments answer {deployment_id} NODE TASK done|rerun",
        )


def retry(context: ServerContext, deployment_id: str) -> DeploymentView:
    """Go on from what failed: the same plan; what is finished is not done again, what is under way is picked up.

    Raises:
        NotFoundError: there is no such deployment.
        ConflictError: it runs, nothing is left to do, a question is open, or a later deployment changed the nodes.
        PlanOutdatedError: an input of the plan has changed otherwise than by the deployment itself; it is named.
    """
    with context.database.read() as connection:
        stored = load_plan(connection, str(deployments.find_deployment(connection, deployment_id).plan_id))
    return _begin(context, stored, lambda again: _check_retry(context, deployment_id, stored, look=not again), deployment_id)


def _check_retry(context: ServerContext, deployment_id: str, stored: StoredPlan, *, look: bool) -> int:
    with context.database.read() as connection:
        row = deployments.find_deployment(connection, deployment_id)
        newest = deployments.list_deployments(connection, stored.environment_id)[0]
        history = deployments.read_history(connection, deployment_id)
        old = load_snapshot(connection, stored.id)
        now = snapshots.read_stored(context, connection, stored.environment_id)
    if row.state in (*deployments.UNFINISHED, "ready") or (row.state == "degraded" and _all_done(stored.plan, history)):
        raise ConflictError(f"deployment {deployment_id} is {row.state}; there is nothing to retry.", remedy="Make a new plan.")
    if newest.id != row.id:
        raise ConflictError(
            f"deployment {newest.id} came after {deployment_id}, so its plan no longer fits.",
            remedy="Make a new plan and deploy it.",
        )
    _refuse_while_asked(deployment_id, history)
    expected = _as_left_behind(old, now.snapshot)
    changed = list(snapshots.stored_differences(expected, now.snapshot))
    if not changed and look:
        touched = {node for node, _ in history} | {node.name for node in stored.plan.nodes if node.outside}
        others = {node.id for node in expected.nodes if node.name not in touched and not node.left_out}
        changed = context.wait(plans.look_again(context, expected, now, others))
    if changed:
        raise plans.outdated(stored, changed)
    return now.revision


def _all_done(plan: Plan, history: Mapping[tuple[str, str], InstanceHistory]) -> bool:
    done = {place for place, item in history.items() if item.done}
    return all((plan.nodes[item.node].name, plan.tasks[item.task].name) in done for item in plan.instances if item.run)


def _as_left_behind(old: Snapshot, now: Snapshot) -> Snapshot:
    """A plan's snapshot with what its deployments themselves have changed since.

    They apply things, they may reboot nodes, and nodes that were to be taken out are gone once they are clean. No other
    deployment came between.
    """
    present = {node.id: node for node in now.nodes}
    return msgspec.structs.replace(
        old,
        nodes=[_node_left_behind(node, present.get(node.id)) for node in old.nodes if node.id in present or not node.removing],
    )


def _node_left_behind(node: NodeInput, now: NodeInput | None) -> NodeInput:
    if now is None:
        return node
    facts = msgspec.structs.replace(node.facts, boot_id=now.facts.boot_id)
    return msgspec.structs.replace(node, applied=now.applied, facts=facts)
