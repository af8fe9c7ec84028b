# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments: started from a plan that still holds, stopped, gone on with, and their history read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row

from stoker.db import deployments
from stoker.db.deployments import InstanceHistory, events_after, find_deployment, read_history
from stoker.db.environments import find_environment, refuse_while_deploying
from stoker.db.journal import Event, add_event, write_applied
from stoker.db.plans import StoredPlan, load_plan, load_snapshot
from stoker.errors import ConflictError, InvalidInputError, NotFoundError
from stoker.orchestration.applied import Ledger
from stoker.services import plans
from stoker.services.context import ServerContext
from stoker.services.deployment_views import AttemptView, DeploymentView, attempt_views, deployment_view

RETRYABLE = ("failed", "degraded", "stopped")
_ALL = 1_000_000


def start(context: ServerContext, environment: str, plan_id: str | None = None) -> DeploymentView:
    """Start a deployment of a plan, or of a new one.

    Raises:
        NotFoundError: there is no such environment or plan.
        ConflictError: another deployment of the environment runs; both are named.
        PlanOutdatedError: an input of the plan has changed; it is named.
    """
    with context.database.read() as connection:
        row = find_environment(connection, environment)
        refuse_while_deploying(connection, str(row.id), str(row.name), "a second deployment")
    stored = plans.load(context, plan_id or plans.create_plan(context, environment).id)
    if stored.environment_id != row.id:
        raise InvalidInputError(
            f"plan {stored.id} was made for environment {stored.plan.environment_name}, not for {row.name}.",
            remedy="Deploy a plan of this environment.",
        )
    if plan_id is not None:
        plans.refuse_outdated(context, stored)
    return _begin(context, stored, str(row.name), None)


def _begin(context: ServerContext, stored: StoredPlan, name: str, retry_of: str | None) -> DeploymentView:
    with context.database.transaction() as connection:
        home = find_environment(connection, stored.environment_id)
        identity = deployments.add_deployment(connection, stored.environment_id, name, stored.id, retry_of)
        if retry_of is None and home.revision != stored.revision:
            plans.refuse_changed(context, connection, stored)
    if context.orchestrator is not None:
        context.orchestrator.start(identity)
    return show(context, identity)


def stop(context: ServerContext, deployment_id: str) -> DeploymentView:
    """End a deployment gracefully: attempts that run end, nothing new starts.

    Raises:
        NotFoundError: there is no such deployment.
        ConflictError: it has ended already.
    """
    with context.database.transaction() as connection:
        row = find_deployment(connection, deployment_id)
        if row.state not in deployments.UNFINISHED:
            raise ConflictError(f"deployment {deployment_id} has ended already: {row.state}.", remedy="There is nothing to stop.")
        deployments.request_stop(connection, deployment_id)
        if row.state != "stopping":
            add_event(connection, deployment_id, Event(kind="state", data={"state": "stopping", "reason": "Asked to stop."}))
    if context.orchestrator is not None:
        context.orchestrator.stop(deployment_id)
    return show(context, deployment_id)


def retry(context: ServerContext, deployment_id: str) -> DeploymentView:
    """Go on from what failed: a new deployment of the same plan in which finished instances are not repeated.

    Raises:
        NotFoundError: there is no such deployment.
        ConflictError: it did not fail, a later one was made, or a question is open.
        PlanOutdatedError: plugins, settings, roles or nodes have changed.
    """
    with context.database.read() as connection:
        row = find_deployment(connection, deployment_id)
        home = find_environment(connection, str(row.environment_id))
        if row.state not in RETRYABLE:
            raise ConflictError(
                f"deployment {deployment_id} is {row.state}: there is nothing to go on with.",
                remedy="Only a deployment that failed, is degraded or was stopped can be retried.",
            )
        newest = deployments.list_deployments(connection, str(row.environment_id))[0]
        if newest.id != deployment_id:
            raise ConflictError(
                f"deployment {deployment_id} is not the last one: {newest.id} came after it.",
                remedy=f"Retry {newest.id}, or make a new plan.",
            )
        open_questions = _questions(read_history(connection, deployment_id))
        if open_questions:
            raise ConflictError(
                f"deployment {deployment_id}: nobody knows whether these ran: {', '.join(open_questions)}.",
                remedy="Look at the nodes, then answer 'done' or 'rerun' for each.",
            )
        stored = load_plan(connection, str(row.plan_id))
    plans.refuse_outdated(context, stored, look=False, ran=True)
    return _begin(context, stored, str(home.name), deployment_id)


def _questions(history: dict[tuple[str, str], InstanceHistory]) -> list[str]:
    return sorted(f"{task} on {node}" for (node, task), item in history.items() if item.unknown)


def answer(
    context: ServerContext, deployment_id: str, node: str, task: str, answered: Literal["done", "rerun"]
) -> DeploymentView:
    """Say what became of an attempt of which nobody knows; ``retry`` then goes on.

    Raises:
        NotFoundError: there is no such deployment, or no such question.
    """
    with context.database.transaction() as connection:
        row = find_deployment(connection, deployment_id)
        refuse_while_deploying(connection, str(row.environment_id), "of this deployment", "an answer")
        stored = load_plan(connection, str(row.plan_id))
        history = read_history(connection, deployment_id)
        name = next((planned.name for planned in stored.plan.nodes if node in (planned.name, planned.id)), node)
        item = history.get((name, task))
        if item is None or not item.unknown:
            raise NotFoundError(
                f"deployment {deployment_id} has no open question about {task} on {node}.",
                remedy="'stoker deployments show' lists the open ones.",
            )
        event = Event(kind="answer", node=name, task=task, attempt=item.unknown, data={"answer": said})
        add_event(connection, deployment_id, event)
        if said == "done":
            _apply_as_done(connection, stored, name, task)
    return show(context, deployment_id)


def _apply_as_done(connection: Connection, stored: StoredPlan, node: str, task: str) -> None:
    plan = stored.plan
    ledger = Ledger(plan, load_snapshot(connection, stored.id))
    for instance in plan.instances:
        if plan.nodes[instance.node].name == node and plan.tasks[instance.task].name == task:
            write_applied(connection, ledger.finished(instance))


def list_all(context: ServerContext, environment: str) -> list[DeploymentView]:
    """The deployments of an environment, newest first, without their nodes. Raises NotFoundError."""
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        rows = deployments.list_deployments(connection, str(home.id))
        return [deployment_view(row, str(home.name), None, {}, []) for row in rows]


def show(context: ServerContext, deployment_id: str) -> DeploymentView:
    """One deployment with the state of each node, failures and open questions. Raises NotFoundError."""
    with context.database.read() as connection:
        row = find_deployment(connection, deployment_id)
        home = find_environment(connection, str(row.environment_id))
        plan = load_plan(connection, str(row.plan_id)).plan
        history = read_history(connection, deployment_id)
        rows = _events(connection, deployment_id, ("finished", "node"))
        return deployment_view(row, str(home.name), plan, history, rows)


def _events(connection: Connection, deployment_id: str, kinds: Sequence[str]) -> list[Row[Any]]:
    return list(events_after(connection, deployment_id, 0, kinds=kinds, limit=_ALL))


def attempts(context: ServerContext, deployment_id: str, *, node: str = "", task: str = "") -> list[AttemptView]:
    """The history of attempts. Raises NotFoundError."""
    with context.database.read() as connection:
        find_deployment(connection, deployment_id)
        return attempt_views(_events(connection, deployment_id, ("dispatched", "finished", "unknown")), node=node, task=task)


def events(context: ServerContext, deployment_id: str, last: int) -> list[dict[str, object]]:
    """Events after ``last``, as they are streamed."""
    with context.database.read() as connection:
        rows = events_after(connection, deployment_id, last)
    return [
        {
            **msgspec.json.decode(row.data, type=dict[str, object]),
            "id": row.id,
            "kind": row.kind,
            "node": row.node,
            "task": row.task,
            "attempt": row.attempt,
            "at": row.at,
        }
        for row in rows
    ]


def has_ended(context: ServerContext, deployment_id: str) -> bool:
    """Whether a deployment is over. Raises NotFoundError."""
    with context.database.read() as connection:
        return find_deployment(connection, deployment_id).state not in deployments.UNFINISHED
