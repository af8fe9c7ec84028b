# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments for people: how far each node is, what failed and with what output, every attempt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row

from stoker.db.deployments import UNFINISHED, InstanceHistory
from stoker.domain.plan import Plan


class NodeStateView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a deployment is on one node."""

    node: str
    state: str
    """waiting, running, done or failed."""
    task: str
    """The one that runs, or that failed."""
    finished: int
    total: int
    reason: str


class QuestionView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of which nobody knows whether it ran."""

    node: str
    task: str
    attempt: int


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """A task that failed for good on a node."""

    node: str
    task: str
    attempt: int
    command: str
    exit_status: int
    output: str


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment."""

    id: str
    environment: str
    environment_id: str
    plan: str
    state: str
    reason: str
    created_at: float
    finished_at: float | None
    retry_of: str | None
    counts: dict[str, int]
    nodes: list[NodeStateView]
    unknowns: list[QuestionView]
    failures: list[FailureView]


class AttemptView(msgspec.Struct, kw_only=True):
    """One try of one task on one node."""

    node: str
    task: str
    attempt: int
    state: str = "dispatched"
    """dispatched, finished or unknown."""
    exit_status: int | None = None
    output: str = ""
    changed: bool = False
    simulated: bool = False
    command: str = ""
    started_at: float | None = None
    finished_at: float | None = None


class _Data(msgspec.Struct):
    """The fields of events' data that views show."""

    state: str = ""
    reason: str = ""
    command: str = ""
    exit_status: int = 0
    output: str = ""
    changed: bool = True
    simulated: bool = False
    started_at: float = 0.0
    finished_at: float = 0.0


def deployment_view(
    row: Row[Any],
    environment: str,
    plan: Plan | None,
    history: dict[tuple[str, str], InstanceHistory],
    events: Sequence[Row[Any]],
) -> DeploymentView:
    """Put a deployment together from its row, plan and history; without a plan the nodes are left out."""
    nodes = [] if plan is None else _node_states(plan, history, events, over=row.state not in UNFINISHED)
    failures = _failures(history, events)
    planned = 0 if plan is None else sum(1 for item in plan.instances if item.run)
    counts = {
        "total": planned,
        "finished": sum(1 for item in history.values() if item.done),
        "failed": len(failures),
        "running": sum(1 for item in history.values() if item.open is not None),
        "skipped": 0 if plan is None else len(plan.instances) - planned,
    }
    return DeploymentView(
        id=row.id,
        environment=environment,
        environment_id=row.environment_id,
        plan=row.plan_id,
        state=row.state,
        reason=row.reason,
        created_at=row.created_at,
        finished_at=row.finished_at,
        retry_of=row.retry_of,
        counts=counts,
        nodes=nodes,
        unknowns=[
            QuestionView(node=node, task=task, attempt=item.unknown)
            for (node, task), item in sorted(history.items())
            if item.unknown
        ],
        failures=failures,
    )


def _node_states(
    plan: Plan, history: dict[tuple[str, str], InstanceHistory], events: Sequence[Row[Any]], *, over: bool
) -> list[NodeStateView]:
    total: dict[int, int] = defaultdict(int)
    for item in plan.instances:
        total[item.node] += bool(item.run)
    done: dict[str, int] = defaultdict(int)
    running: dict[str, str] = {}
    for (node, task), kept in history.items():
        done[node] += kept.done
        if kept.open is not None:
            running[node] = task
    failed = {row.node: row for row in events if row.kind == "node"}
    views = []
    for number, planned in enumerate(plan.nodes):
        name = planned.name
        state, task, reason = "waiting", "", ""
        if name in failed:
            state, task = "failed", failed[name].task
            reason = msgspec.json.decode(failed[name].data, type=_Data).reason
        elif done[name] >= total[number] and (total[number] or over):
            state = "done"
        elif name in running:
            state, task = "running", running[name]
        elif done[name] and not over:
            state = "running"
        views.append(NodeStateView(node=name, state=state, task=task, finished=done[name], total=total[number], reason=reason))
    return views


def _failures(history: dict[tuple[str, str], InstanceHistory], events: Sequence[Row[Any]]) -> list[FailureView]:
    last: dict[tuple[str, str], FailureView] = {}
    for row in events:
        if row.kind != "finished":
            continue
        data = msgspec.json.decode(row.data, type=_Data)
        kept = history.get((row.node, row.task))
        if data.exit_status and (kept is None or (not kept.done and kept.open is None)):
            last[row.node, row.task] = FailureView(
                node=row.node,
                task=row.task,
                attempt=row.attempt,
                command=data.command,
                exit_status=data.exit_status,
                output=data.output,
            )
    return [last[place] for place in sorted(last)]


def attempt_views(events: Sequence[Row[Any]], *, node: str = "", task: str = "") -> list[AttemptView]:
    """Attempts in the order in which they began."""
    found: dict[tuple[str, str, int], AttemptView] = {}
    for row in events:
        if (node and row.node != node) or (task and row.task != task):
            continue
        place = (row.node, row.task, row.attempt)
        view = found.setdefault(place, AttemptView(node=row.node, task=row.task, attempt=row.attempt))
        data = msgspec.json.decode(row.data, type=_Data)
        view.command = view.command or data.command
        if row.kind == "dispatched":
            view.started_at = row.at
        elif row.kind == "unknown":
            view.state, view.output = "unknown", data.reason
        else:
            view.state, view.exit_status, view.output = "finished", data.exit_status, data.output
            view.changed, view.simulated = data.changed, data.simulated
            view.started_at = data.started_at or view.started_at
            view.finished_at = data.finished_at or row.at
    return list(found.values())
