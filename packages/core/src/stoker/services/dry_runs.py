# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Dry runs: what the tasks of plugins' own kinds in a plan would change, asked of their programs on the nodes now."""

from __future__ import annotations

import asyncio
import uuid
from typing import Literal

import msgspec

from stoker.db.nodes import node_target
from stoker.db.plans import load_plan, load_snapshot
from stoker.domain.action import KindAction
from stoker.domain.attempt import Outcome
from stoker.domain.node import NodeTarget
from stoker.domain.plan import Plan, PlannedInstance
from stoker.errors import NodeError, StokerError
from stoker.orchestration.attempts import UNREACHABLE
from stoker.orchestration.kind_output import read_report
from stoker.orchestration.materials import Materials, Redactor
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.plan_views import node_number

_AT_ONCE = 64


class DryRunView(msgspec.Struct, frozen=True, kw_only=True):
    """What one task would change on one node."""

    node: str
    task: str
    kind: str
    """``plugin.name``."""
    result: Literal["changes", "unchanged", "failed", "untold", "not_simulated"]
    """``untold``: its kind has no dry run, or the program did not say. ``not_simulated``: the node only pretends to run it."""
    diff: str
    """What would change, as the program says it."""
    output: str
    """What else it printed."""
    exit_status: int


def run(context: ServerContext, plan_id: str, node: str = "") -> list[DryRunView]:
    """Run the dry runs of a plan's tasks on their nodes; nothing is changed there.

    Args:
        context: the server.
        plan_id: the plan; it need not be the latest.
        node: only this one, by name or id.

    Raises:
        NotFoundError: there is no such plan, or the plan has no such node.
    """
    with context.database.transaction() as connection:
        stored = load_plan(connection, plan_id)
        plan = stored.plan
        wanted = node_number(plan, node) if node else None
        by_node = _asked(plan, wanted)
        targets = {number: node_target(connection, context.vault, plan.nodes[number].id) for number in by_node}
        secrets = context.vault.all_secrets(connection, stored.environment_id)
        audit.record(connection, "plan.dry-run", stored.id, stored.id, environment=plan.environment_name)
        versions = {plugin.name: plugin.version for plugin in load_snapshot(connection, stored.id).plugins}
    asking = _Asking(context, plan, Materials(plan.contents, secrets, context.store, versions), Redactor(secrets))
    return context.wait(asking.everywhere(by_node, targets))


def _asked(plan: Plan, wanted: int | None) -> dict[int, list[PlannedInstance]]:
    """The instances that would run, by node."""
    by_node: dict[int, list[PlannedInstance]] = {}
    for item in plan.instances:
        if item.run and isinstance(plan.actions[item.action], KindAction) and wanted in (None, item.node):
            by_node.setdefault(item.node, []).append(item)
    return by_node


class _Asking:
    """Asks the programs of one plan."""

    def __init__(self, context: ServerContext, plan: Plan, materials: Materials, redact: Redactor) -> None:
        self._context = context
        self._plan = plan
        self._materials = materials
        self._redact = redact
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def everywhere(self, by_node: dict[int, list[PlannedInstance]], targets: dict[int, NodeTarget]) -> list[DryRunView]:
        found = await asyncio.gather(*(self._on_node(targets[node], items) for node, items in by_node.items()))
        return sorted((item for items in found for item in items), key=lambda item: (item.node, item.task))

    async def _on_node(self, target: NodeTarget, items: list[PlannedInstance]) -> list[DryRunView]:
        askable = [item for item in items if self._plan.tasks[item.task].dry_run]
        found = [self._view(item, "untold", output="Its kind has no dry run.") for item in items if item not in askable]
        if not askable:
            return found
        async with self._gate:
            try:
                link = await self._context.transports[target.transport].connect(target)
            except NodeError as error:
                return [*found, *(self._failed(item, error) for item in askable)]
            try:
                for item in askable:
                    task, action = self._plan.tasks[item.task], self._plan.actions[item.action]
                    assert isinstance(action, KindAction)
                    attempt = f"dry.{uuid.uuid4().hex}"
                    try:
                        dry = msgspec.structs.replace(action, dry_run=True)
                        outcome = await link.execute(attempt, dry, self._materials, task.timeout)
                        await link.forget([attempt])
                    except StokerError as error:  # of the node, or e.g. a secret that is no longer there
                        found.append(self._failed(item, error))
                    else:
                        found.append(self._told(item, outcome))
            finally:
                await link.close()
        return found

    def _told(self, item: PlannedInstance, outcome: Outcome) -> DryRunView:
        report = read_report(outcome.output)
        if outcome.simulated:
            return self._view(item, "not_simulated")
        if not outcome.ok:
            return self._view(item, "failed", diff=report.diff, output=report.text, status=outcome.exit_status)
        if not outcome.changed:
            return self._view(item, "unchanged", output="Its guard says that there is nothing to do.")
        if report.changed is None:
            return self._view(item, "untold", diff=report.diff, output=report.text)
        return self._view(item, "changes" if report.changed else "unchanged", diff=report.diff, output=report.text)

    def _failed(self, item: PlannedInstance, error: StokerError) -> DryRunView:
        return self._view(item, "failed", output=str(error), status=UNREACHABLE)

    def _view(
        self,
        item: PlannedInstance,
        result: Literal["changes", "unchanged", "failed", "untold", "not_simulated"],
        *,
        diff: str = "",
        output: str = "",
        status: int = 0,
    ) -> DryRunView:
        action = self._plan.actions[item.action]
        return DryRunView(
            node=self._plan.nodes[item.node].name,
            task=self._plan.tasks[item.task].name,
            kind=action.kind if isinstance(action, KindAction) else "",
            result=result,
            diff=self._redact(diff),
            output=self._redact(output, cut=True),
            exit_status=status,
        )
