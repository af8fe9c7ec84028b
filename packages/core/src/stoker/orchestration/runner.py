# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One deployment, carried out: a worker for each node, a common scheduler, and the verdict at the end."""

from __future__ import annotations

import asyncio
import logging

import msgspec
from sqlalchemy import select

from stoker.db import deployments, tables
from stoker.db.database import Database
from stoker.db.deployments import InstanceHistory
from stoker.db.journal import AppliedChange, Event, JournalEntry, add_event
from stoker.db.nodes import node_target
from stoker.db.plans import load_plan, load_snapshot
from stoker.db.vault import SecretName, Vault
from stoker.domain.action import PackagesAction
from stoker.domain.node import NodeTarget
from stoker.domain.plan import Plan, PlannedNode
from stoker.domain.snapshot import Snapshot
from stoker.errors import NotFoundError
from stoker.orchestration import wording
from stoker.orchestration.applied import Ledger
from stoker.orchestration.attempts import Connector
from stoker.orchestration.journal import LEASE_SECONDS, Journal
from stoker.orchestration.materials import Materials, Redactor
from stoker.orchestration.node_run import NodeRun
from stoker.orchestration.patience import patiently
from stoker.orchestration.scheduler import Scheduler
from stoker.plugin_host.store import PluginStore
from stoker.telemetry.subject import set_about
from stoker.transport import Transport
from stoker.transport.slices import AT_ONCE, Slices

logger = logging.getLogger(__name__)

_NAMES_SHOWN = 10


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What is read from the database before a deployment begins or goes on."""

    plan: Plan
    snapshot: Snapshot
    secrets: dict[SecretName, str]
    targets: dict[str, NodeTarget]
    history: dict[tuple[str, str], InstanceHistory]
    begun: bool
    """Whether it ran before: an earlier server's attempts may be under way."""
    stop_requested: bool


def read_inputs(database: Database, vault: Vault, deployment_id: str) -> Inputs:
    """Read everything that carrying out a deployment needs."""
    with database.read() as connection:
        row = deployments.find_deployment(connection, deployment_id)
        plan = load_plan(connection, row.plan_id).plan
        ids = [node.id for node in plan.nodes]
        known = set(connection.execute(select(tables.nodes.c.id)).scalars())
        started = connection.execute(
            select(tables.deployment_events.c.id).where(tables.deployment_events.c.deployment_id == deployment_id).limit(1)
        ).first()
        return Inputs(
            plan=plan,
            snapshot=load_snapshot(connection, row.plan_id),
            secrets=vault.all_secrets(connection, row.environment_id),
            targets={identity: node_target(connection, vault, identity) for identity in ids if identity in known},
            history=deployments.read_history(connection, deployment_id),
            begun=started is not None,
            stop_requested=bool(row.stop_requested),
        )


class DeploymentRun:
    """Carries out one deployment that is ours by its epoch."""

    def __init__(
        self,
        deployment_id: str,
        epoch: int,
        inputs: Inputs,
        *,
        database: Database,
        journal: Journal,
        store: PluginStore,
        transports: dict[str, Transport],
        gate: asyncio.Semaphore,
    ) -> None:
        """Take the parts; nothing happens before ``run``."""
        self.deployment_id = deployment_id
        self.epoch = epoch
        self.plan = inputs.plan
        self.journal = journal
        self.ledger = Ledger(inputs.plan, inputs.snapshot)
        versions = {plugin.name: plugin.version for plugin in inputs.snapshot.plugins}
        self.materials = Materials(inputs.plan.contents, inputs.secrets, store, versions)
        self.redact = Redactor(inputs.secrets)
        self.unresolved: list[str] = []
        self._database = database
        self._transports = transports
        self._gate = gate
        self._inputs = inputs
        self._stopping = inputs.stop_requested
        self._nodes = {node.name: number for number, node in enumerate(self.plan.nodes)}
        self._tasks = {task.name: number for number, task in enumerate(self.plan.tasks)}
        done = {self._place(place) for place, item in inputs.history.items() if item.done}
        self.scheduler = Scheduler(self.plan, done)
        self._runs: dict[int, NodeRun] = {}
        self._commands: dict[int, str] = {}
        self._waking = Slices(self._wake)

    def _place(self, place: tuple[str, str]) -> tuple[int, int]:
        """(node, task) by name -> (task, node) in the plan."""
        return self._tasks[place[1]], self._nodes[place[0]]

    def stop(self) -> None:
        """End gracefully: what runs ends, nothing new starts."""
        self._stopping = True
        self.scheduler.halt()
        self.wake()

    def command(self, action: int) -> str:
        """An action in words, without secrets; made once for all nodes."""
        if action not in self._commands:
            self._commands[action] = self.redact(wording.command(self.plan.actions[action]))
        return self._commands[action]

    def wake(self) -> None:
        """Call the workers of nodes that may go on."""
        woken, self.scheduler.woken = self.scheduler.woken, set()
        self._waking.add(woken)

    def _wake(self, node: int) -> None:
        if (run := self._runs.get(node)) is not None:
            run.changed.set()

    async def run(self) -> None:
        """Carry the deployment to its end.

        Raises:
            LostLeaseError: another server took it over; nothing more is written.
        """
        await self._begin()
        self._make_workers()
        self._judge_earlier()
        if self._stopping:
            self.scheduler.halt()
        heartbeat = asyncio.create_task(self._keep_lease())
        try:
            async with asyncio.TaskGroup() as group:
                for number, (node, run) in enumerate(self._runs.items(), 1):
                    group.create_task(self._work(node, run))
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)
        finally:
            heartbeat.cancel()
        await patiently(f"Deployment {self.deployment_id}", self._end)

    async def _begin(self) -> None:
        if self._inputs.begun:
            note = Event(kind="note", data={"message": "The server was started again; the deployment goes on."})
            await self.journal.submit(JournalEntry(deployment_id=self.deployment_id, epoch=self.epoch, events=[note]))
            return
        numbers, applied = await asyncio.to_thread(self._to_run)
        logger.info("Deployment %s begins: %d tasks on %d nodes", self.deployment_id, len(numbers), len(self.plan.nodes))
        state = "stopping" if self._stopping else "running"
        event = Event(kind="state", data={"state": state, "reason": "", "total": len(numbers)})
        await self.journal.submit(
            JournalEntry(
                deployment_id=self.deployment_id,
                epoch=self.epoch,
                events=[event, *self._left_out()],
                applied=applied,
                state=state,
            )
        )

    def _to_run(self) -> tuple[list[int], list[AppliedChange]]:
        numbers = [number for number in range(len(self.plan.instances)) if self.scheduler.must_run(number)]
        return numbers, [*(self.ledger.started(self.plan.instances[number]) for number in numbers), *self.ledger.owed()]

    def _left_out(self) -> list[Event]:
        return [
            Event(kind="node", node=node.name, data={"state": "failed", "reason": self.redact(f"left out: {_why_out(node)}")})
            for node in self.plan.nodes
            if node.left_out and not node.outside
        ]

    def _make_workers(self) -> None:
        history: dict[int, dict[int, InstanceHistory]] = {}
        for place, item in self._inputs.history.items():
            task, node = self._place(place)
            history.setdefault(node, {})[task] = item
        ways = self._ways()
        for number, planned in enumerate(self.plan.nodes):
            if not self.scheduler.remaining[number]:
                continue
            target = self._inputs.targets.get(planned.id)
            if target is None:
                raise NotFoundError(f"node {planned.name} is no longer there.", remedy="Make a new plan.")
            connector = Connector(target, self._transports[target.transport], self._gate, ways.get(number, ""))
            self._runs[number] = NodeRun(self, number, connector, history.get(number, {}), recovered=self._inputs.begun)

    def _ways(self) -> dict[int, str]:
        """Node -> the name under which it keeps the way to our package repositories, for nodes that use it."""
        found: dict[int, str] = {}
        for number, instance in enumerate(self.plan.instances):
            action = self.plan.actions[instance.action]
            if isinstance(action, PackagesAction) and action.way and self.scheduler.must_run(number):
                found[instance.node] = action.way
        return found

    def _judge_earlier(self) -> None:
        """Nodes that had failed before the server died stay failed."""
        for place, item in self._inputs.history.items():
            task, node = self._place(place)
            if item.unknown:
                self.unresolved.append(f"{place[1]} on {place[0]}")
                self.scheduler.fail_node(node)
            elif item.open is None and item.failures > self.plan.tasks[task].retries and not item.done:
                self.scheduler.fail_node(node)

    async def _work(self, node: int, run: NodeRun) -> None:
        set_about(node=self.plan.nodes[node].name)
        for place, item in self._inputs.history.items():
            if item.open is not None and self._nodes[place[0]] == node:
                await run.resume(self._tasks[place[1]])
        await run.work()

    async def _keep_lease(self) -> None:
        """Renew the lease while nothing happens, and look whether somebody asked to stop."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            self.journal.submit(JournalEntry(deployment_id=self.deployment_id, epoch=self.epoch)).add_done_callback(_seen)
            if not self._stopping and await patiently(f"Deployment {self.deployment_id}", self._asked_to_stop):
                self.stop()

    def _asked_to_stop(self) -> bool:
        with self._database.read() as connection:
            return bool(deployments.find_deployment(connection, self.deployment_id).stop_requested)

    def verdict(self) -> tuple[str, str]:
        """The state in which the deployment ends, and why."""
        scheduler = self.scheduler
        broken = [self.plan.nodes[number] for number in scheduler.failed_nodes]
        failed = sorted(node.name for node in broken if not node.left_out)
        out = sorted(f"{node.name}: {_why_out(node)}" for node in broken if node.left_out)
        left_out = self.redact(f"; left out: {wording.listed(out, '; ')}") if out else ""
        if self.unresolved:
            what = ", ".join(sorted(self.unresolved)[:_NAMES_SHOWN])
            return "failed", f"Nobody knows whether these ran: {what}. Look, answer (done or rerun), and retry."
        if exceeded := scheduler.exceeded():
            return "failed", f"More nodes failed than may: {exceeded}{left_out}."
        if self._stopping and scheduler.unfinished:
            return "stopped", "Stopped on request; 'retry' goes on from here."
        if failed:
            return "degraded", f"Failed within tolerance: {wording.listed(failed)}{left_out}."
        if scheduler.unfinished:
            return "failed", "Tasks are left that wait for something that never came; this is a fault of the plan."
        if left_out:
            return "degraded", f"Done on all nodes of the plan{left_out}."
        done = "" if any(instance.run for instance in self.plan.instances) else "Nothing to do."
        if self.plan.left_out:
            nodes = wording.listed(sorted({self.plan.nodes[item.node].name for item in self.plan.left_out}))
            done = f"{done} A part alone: {len(self.plan.left_out)} tasks were left out, on {nodes}.".lstrip()
        return "ready", done

    def _end(self) -> None:
        state, reason = self.verdict()
        clean = state == "ready"
        torn = self.scheduler.failed_nodes | {item.node for item in self.plan.left_out}
        freed = [
            node.id
            for number, node in enumerate(self.plan.nodes)
            if node.removing and not node.outside and number not in torn and not self.scheduler.remaining[number]
        ]
        with self._database.transaction() as connection:
            ended = deployments.end_deployment(
                connection,
                self.deployment_id,
                self.epoch,
                state=state,
                reason=reason,
                freed_nodes=freed,
                removed_plugins=self.plan.remove_plugins if clean else (),
            )
            if ended:
                add_event(connection, self.deployment_id, Event(kind="state", data={"state": state, "reason": reason}))
        logger.info("Deployment %s ended: %s %s", self.deployment_id, state, reason)


def _why_out(node: PlannedNode) -> str:
    return node.left_out.removeprefix(f"node {node.name}: ").rstrip(". ")


def _seen(future: asyncio.Future[None]) -> None:
    """A lost lease shows at the next write that somebody waits for."""
    if not future.cancelled() and future.exception() is not None:
        logger.warning("The lease could not be renewed: %s", future.exception())
