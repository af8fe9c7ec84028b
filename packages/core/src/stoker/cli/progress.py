# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment's progress: what its events add up to, and what that looks like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stoker.cli.output import STATE_COLOURS, duration
from stoker.cli.problems import printable
from stoker.client.documents import FINAL_STATES, DeploymentDocument, EventDocument, PlanTaskDocument

_ROWS = 20
"""Nodes shown at once; those that failed and those at work come first."""
_ORDER = {"failed": 0, "unreachable": 0, "unknown": 0, "running": 1, "waiting": 2, "done": 3}


class NodeProgress(msgspec.Struct, kw_only=True):
    """How far one node is."""

    name: str
    total: int = 0
    finished: int = 0
    state: str = "waiting"
    task: str = ""
    note: str = ""
    since: float = 0.0


class Progress(msgspec.Struct, kw_only=True):
    """What the events up to now add up to."""

    environment: str = ""
    state: str = "pending"
    nodes: dict[str, NodeProgress] = {}
    started: float = 0.0
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, deployment: DeploymentDocument, tasks: Iterable[PlanTaskDocument]) -> Progress:
        """The progress before the first event: every task of the plan is still to come."""
        made = cls(environment=deployment.get("environment", ""), started=deployment.get("created_at") or time.time())
        for task in tasks:
            made._node(task["node"]).total += 1
        for node in deployment.get("nodes") or []:
            found = made._node(node["node"])
            found.total = max(found.total, node.get("total", 0))
        for found in made.nodes.values():
            found.state = found.state if found.total else "done"
        return made

    def apply(self, event: EventDocument) -> str:
        """Take in one event.

        Returns:
            One line about it for those who watch without a terminal; empty if there is nothing to say.
        """
        kind, name = event.get("kind", ""), event.get("node", "")
        reason = event.get("reason", "")
        if kind == "state":
            self.state = event.get("state", self.state)
            return f"deployment: {self.state}{f': {reason}' if reason else ''}"
        if not name:
            return event.get("message", "")
        node = self._node(name)
        if kind == "dispatched":
            return self._dispatched(node, event)
        if kind == "finished":
            return self._finished(node, event)
        if kind == "skipped":
            node.finished += 1
            return ""
        if kind == "unknown":
            node.state, node.task, node.note = "unknown", event.get("task", ""), "nobody knows how it ended"
            return f"{name}: {node.task}: {node.note}"
        if kind == "node":
            node.state, node.note = event.get("state", node.state), reason or node.note
            return f"{name}: {node.state}{f': {node.note}' if node.note else ''}"
        return f"{name}: {event['message']}" if event.get("message") else ""

    def _dispatched(self, node: NodeProgress, event: EventDocument) -> str:
        node.state, node.task, node.since, node.note = "running", event.get("task", ""), event.get("at", 0.0), ""
        attempt = event.get("attempt", 0)
        return f"{node.name}: {node.task} started{f' (attempt {attempt})' if attempt > 1 else ''}"

    def _finished(self, node: NodeProgress, event: EventDocument) -> str:
        status, task = event.get("exit_status", 0), event.get("task", "")
        took = _took(event, node.since)
        if status == 0:
            node.finished += 1
            node.task, node.state = "", "done" if node.finished >= node.total else "waiting"
            pretended = " (not simulated)" if event.get("simulated") else ""
            unchanged = "" if event.get("changed", True) else " (nothing to do)"
            return f"{node.name}: {task} done in {duration(took)}{unchanged}{pretended}"
        node.task, node.note = task, f"exit status {status}"
        if (again := event.get("again_in")) is not None:
            node.state, node.note = "waiting", f"{node.note}, again in {duration(again)}"
            return f"{node.name}: {task}: {node.note}"
        node.state = "failed"
        return f"{node.name}: {task} failed with exit status {status}"

    def _node(self, name: str) -> NodeProgress:
        return self.nodes.setdefault(name, NodeProgress(name=name))

    @property
    def total(self) -> int:
        """All task instances."""
        return sum(node.total for node in self.nodes.values())

    @property
    def finished(self) -> int:
        """Those that are done."""
        return sum(min(node.finished, node.total) for node in self.nodes.values())

    def __rich__(self) -> RenderableType:
        now = self.clock()
        return Group(self._head(now), self._table(now))

    def _head(self, now: float) -> RenderableType:
        head = Table.grid(padding=(0, 2, 0, 0))
        done = sum(1 for node in self.nodes.values() if node.state == "done")
        head.add_row(
            Text(f"deploying {printable(self.environment)}", style="bold"),
            Text(self.state, style=STATE_COLOURS.get(self.state, "")),
            ProgressBar(
                total=max(self.total, 1), completed=max(self.total, 1) if self.state == "ready" else self.finished, width=30
            ),
            Text(f"{self.finished}/{self.total} tasks and checks"),
            Text(f"{done}/{len(self.nodes)} nodes"),
            Text(duration(now - self.started), style="bright_black"),
        )
        return head

    def _table(self, now: float) -> RenderableType:
        nodes = sorted(self.nodes.values(), key=lambda node: node.name)
        if len(nodes) > _ROWS:
            nodes.sort(key=lambda node: _ORDER.get(node.state, 1))
        made = Table.grid(padding=(0, 2, 0, 0))
        for node in nodes[:_ROWS]:
            at_work = node.task
            if node.state == "running" and self.state not in FINAL_STATES:
                at_work = f"{node.task}  {duration(now - node.since)}"
            made.add_row(
                Text(f"  {printable(node.name)}", style="bold"),
                Text(node.state, style=STATE_COLOURS.get(node.state, "")),
                Text(f"{node.finished}/{node.total}"),
                Text(printable("  ".join(part for part in (at_work, node.note) if part))),
            )
        if len(nodes) > _ROWS:
            made.add_row(Text(f"  and {len(nodes) - _ROWS} more", style="bright_black"))
        return made


def _took(event: EventDocument, since: float) -> float:
    """Seconds that an attempt took on its node; an event may come much later, e.g. after a restart of the server."""
    began, ended = event.get("started_at") or 0.0, event.get("finished_at") or 0.0
    if not (began and ended):
        began, ended = since, event.get("at", 0.0)
    return max(0.0, ended - began) if began else 0.0
