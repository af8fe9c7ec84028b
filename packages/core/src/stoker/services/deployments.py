# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments: looking at them, stopping, and answering what became of an attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from sqlalchemy import Connection, Row, select

from stoker.db import deployments, tables
from stoker.db.environments import find_environment
from stoker.db.journal import Event, add_event, write_applied
from stoker.db.plans import load_plan, load_snapshot
from stoker.domain.plan import Plan, PlannedNode
from stoker.errors import ConflictError, NotFoundError
from stoker.orchestration.applied import Ledger
from stoker.services import audit, ext
from stoker.services.attempts import AttemptView, all_attempts
from stoker.services.context import ServerContext
from stoker.services.windows import Part, Window, cut, look

_OUTPUT_SHOWN = 4096


class NodeProgress(msgspec.Struct, kw_only=True):
    """How far one node is."""

    node: str
    state: str = "waiting"
    """waiting, running, done or failed."""
    task: str = ""
    """The task that runs, or that failed."""
    finished: int = 0
    total: int = 0
    reason: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One task that failed in the end."""

    node: str
    task: str
    attempt: int
    command: str
    exit_status: int
    output: str


class UnknownAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of which nobody knows whether it ran; a person must answer."""

    node: str
    task: str
    attempt: int


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as the API shows it."""

    id: str
    environment: str
    environment_id: str
    plan: str
    state: str
    reason: str
    created_at: float
    finished_at: float | None
    retry_of: str | None
    counts: dict[str, int] = {}
    nodes: list[NodeProgress] = []
    unknowns: list[UnknownAttempt] = []
    failures: list[Failure] = []
    ext: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What plugins add: plugin -> hook -> data; only where it is read, and if there is something."""
    ext_state: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """``PLUGIN.HOOK`` -> ``pending`` (not there yet) or ``stale`` (being made anew); only if something is not fresh."""


def list_all(
    context: ServerContext, environment: str, window: Window, states: Sequence[str] = (), wanted: ext.Wanted = ext.NOTHING
) -> Part[DeploymentView]:
    """An environment's deployments, newest first, without their nodes; those in these states if any. Raises NotFoundError."""
    table = tables.deployments
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        query = select(table).where(table.c.environment_id == home.id, *([table.c.state.in_(states)] if states else []))
        found = connection.execute(look(query, window, table.c.created_at, table.c.id, newest_first=True)).all()
        rows, last = cut(found, window, lambda row: (float(row.created_at), str(row.id)))
        return Part(_with_ext(connection, [_view(item, str(home.name)) for item in rows], wanted), last)


def _with_ext(connection: Connection, views: list[DeploymentView], wanted: ext.Wanted) -> list[DeploymentView]:
    found = ext.parts(connection, "deployment", wanted, [(view.id, view.environment) for view in views])
    return [msgspec.structs.replace(view, ext=found[view.id][0], ext_state=found[view.id][1]) for view in views]


def _view(row: object, environment: str, **more: object) -> DeploymentView:
    fields = ("id", "environment_id", "state", "reason", "created_at", "finished_at", "retry_of")
    values = {name: getattr(row, name) for name in fields}
    return msgspec.convert({**values, "environment": environment, "plan": getattr(row, "plan_id"), **more}, DeploymentView)  # noqa: B009


def show(context: ServerContext, deployment_id: str, wanted: ext.Wanted = ext.NOTHING) -> DeploymentView:
    """One deployment with the progress of its nodes, its failures and its open questions. Raises NotFoundError."""
    with context.database.read() as connection:
        row = deployments.find_deployment(connection, deployment_id)
        table = tables.environments
        name = connection.execute(select(table.c.name).where(table.c.id == row.environment_id)).scalar_one()
        plan = load_plan(connection, str(row.plan_id)).plan
        history = deployments.read_history(connection, deployment_id)
        attempts = all_attempts(connection, deployment_id)
        added, state = ext.parts(connection, "deployment", wanted, [(deployment_id, str(name))])[deployment_id]
    running = row.state in deployments.UNFINISHED
    nodes = _progress(plan, history, running=running)
    counts = {
        "total": sum(node.total for node in nodes),
        "finished": sum(node.finished for node in nodes),
        "failed": sum(node.state == "failed" for node in nodes),
        "running": sum(node.state == "running" for node in nodes),
        "skipped": sum(not instance.run for instance in plan.instances),
    }
    unknowns = [
        UnknownAttempt(node=node, task=task, attempt=item.unknown)
        for (node, task), item in sorted(history.items())
        if item.unknown
    ]
    more = {"counts": counts, "nodes": nodes, "unknowns": unknowns, "failures": _failures(attempts, history)}
    return msgspec.structs.replace(_view(row, str(name), **more), ext=added, ext_state=state)


def _progress(plan: Plan, history: Mapping[tuple[str, str], deployments.InstanceHistory], *, running: bool) -> list[NodeProgress]:
    nodes = [
        NodeProgress(node=node.name, state="failed" if node.left_out else "waiting", reason=_left_out(node))
        for node in plan.nodes
    ]
    for instance in plan.instances:
        if not instance.run:
            continue
        node, task = nodes[instance.node], plan.tasks[instance.task]
        node.total += 1
        item = history.get((node.node, task.name))
        if item is None:
            continue
        if item.done:
            node.finished += 1
        elif item.open is not None and running:
            node.state, node.task = "running", task.name
        elif item.open is not None:
            node.state, node.task, node.reason = "failed", task.name, "the deployment broke off while it ran"
        elif item.unknown or item.failures:
            again = running and item.failures <= task.retries and not item.unknown
            node.state, node.task = ("running" if again else "failed"), task.name
            node.reason = "nobody knows whether it ran" if item.unknown else "failed"
    for node in nodes:
        if node.state == "waiting" and node.finished == node.total:
            node.state = "done"
    return [progress for progress, node in zip(nodes, plan.nodes, strict=True) if not node.outside]


def _left_out(node: PlannedNode) -> str:
    return f"left out: {node.left_out}" if node.left_out else ""


def _failures(attempts: list[AttemptView], history: Mapping[tuple[str, str], deployments.InstanceHistory]) -> list[Failure]:
    last: dict[tuple[str, str], AttemptView] = {}
    for attempt in attempts:
        if attempt.state == "finished":
            last[attempt.node, attempt.task] = attempt
    return [
        Failure(
            node=attempt.node,
            task=attempt.task,
            attempt=attempt.attempt,
            command=attempt.command,
            exit_status=attempt.exit_status or 0,
            output=attempt.output[-_OUTPUT_SHOWN:],
        )
        for place, attempt in sorted(last.items())
        if attempt.exit_status and not history[place].done
    ]


def stop(context: ServerContext, deployment_id: str) -> DeploymentView:
    """End a deployment gracefully: what runs ends, nothing new starts.

    Raises:
        NotFoundError: there is no such deployment.
        ConflictError: it has ended already.
    """
    with context.database.transaction() as connection:
        row = deployments.find_deployment(connection, deployment_id)
        if row.state not in deployments.UNFINISHED:
            raise ConflictError(f"deployment {deployment_id} has ended already: {row.state}.", remedy="There is nothing to stop.")
        deployments.request_stop(connection, deployment_id)
        before = {"state": row.state}
        _record(connection, "deployment.stop", row, before=before, after={"state": "stopping"})
    if context.orchestrator is not None:
        context.orchestrator.stop(deployment_id)
    return show(context, deployment_id)


def answer(context: ServerContext, deployment_id: str, node: str, task: str, word: Literal["done", "rerun"]) -> DeploymentView:
    """Say what became of an attempt of which nobody knows whether it ran; what is done counts as done in later plans, too.

    Raises:
        NotFoundError: there is no such open question.
    """
    with context.database.transaction() as connection:
        row = deployments.find_deployment(connection, deployment_id)
        item = deployments.read_history(connection, deployment_id).get((node, task))
        attempt = 0 if item is None else item.unknown
        if item is not None and item.open is not None and row.state not in deployments.UNFINISHED:
            # It broke off while this ran. Where its plan no longer fits, no retry finds out what became of it, but a person.
            attempt = item.open.number
        if not attempt:
            raise NotFoundError(
                f"deployment {deployment_id} has no open question about {task} on {node}.",
                remedy="'stoker deployments show' lists the open ones.",
            )
        add_event(connection, deployment_id, Event(kind="answer", node=node, task=task, attempt=attempt, data={"answer": word}))
        after = {"node": node, "task": task, "attempt": attempt, "answer": word}
        _record(connection, "deployment.answer", row, before=None, after=after)
        newest = deployments.list_deployments(connection, str(row.environment_id))[0]
        if word == "done" and newest.id == row.id:
            _keep_as_done(connection, str(row.plan_id), node, task)
    return show(context, deployment_id)


def _record(connection: Connection, action: str, row: Row[tuple[object, ...]], *, before: object, after: object) -> None:
    """Write down what somebody did to a deployment."""
    environment = str(find_environment(connection, str(row.environment_id)).name)
    audit.record(connection, action, row.id, row.id, environment=environment, before=before, after=after)


def _keep_as_done(connection: Connection, plan_id: str, node: str, task: str) -> None:
    plan = load_plan(connection, plan_id).plan
    ledger = Ledger(plan, load_snapshot(connection, plan_id))
    for instance in plan.instances:
        if instance.run and (plan.nodes[instance.node].name, plan.tasks[instance.task].name) == (node, task):
            write_applied(connection, ledger.finished(instance))
