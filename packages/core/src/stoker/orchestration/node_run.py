# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One node of a deployment: takes what may start, one attempt at a time, and writes down what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Protocol

from stoker.db.deployments import InstanceHistory, OpenAttempt
from stoker.db.journal import Event, JournalEntry
from stoker.domain.action import CommandAction, KindAction, RebootAction
from stoker.domain.attempt import Outcome
from stoker.domain.plan import Plan, PlannedTask
from stoker.errors import NodeError, NotStartedError, StokerError
from stoker.orchestration import attempts
from stoker.orchestration.applied import Ledger
from stoker.orchestration.attempts import Attempt, Connector, Unknown
from stoker.orchestration.journal import Journal
from stoker.orchestration.kind_output import told
from stoker.orchestration.materials import Materials, Redactor
from stoker.orchestration.scheduler import Scheduler
from stoker.telemetry.metrics import METRICS

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 60.0
"""How long a node that does not answer is tried at most before its task fails."""
FORGET_AT = 64
"""How many finished attempts a node's spool keeps before they are deleted in one go."""


class Run(Protocol):
    """What the nodes of one deployment share."""

    deployment_id: str
    epoch: int
    plan: Plan
    scheduler: Scheduler
    journal: Journal
    ledger: Ledger
    materials: Materials
    redact: Redactor
    unresolved: list[str]

    def wake(self) -> None:
        """Call the workers of nodes that may go on."""
        ...

    def command(self, action: int) -> str:
        """An action in words, without secrets."""
        ...


class NodeRun:
    """The worker of one node."""

    def __init__(
        self, run: Run, node: int, connector: Connector, history: Mapping[int, InstanceHistory], *, recovered: bool
    ) -> None:
        """Take the node's place in the plan, its connection, and what happened on it so far (task -> history)."""
        self.changed = asyncio.Event()
        self._run = run
        self._node = node
        self._name = run.plan.nodes[node].name
        self._connector = connector
        self._history = history
        self._claimed = ""
        """The id in the spool of the attempt that is under way, or was last."""
        self._spooled: list[str] = []
        self._ended: asyncio.Future[None] | None = None
        if recovered:
            self._spooled = [identity for item in history.values() for identity in item.finished]

    async def work(self) -> None:
        """Run everything that this node has to run; returns when nothing is left or nothing may start."""
        scheduler = self._run.scheduler
        try:
            while not scheduler.idle(self._node):
                number = scheduler.take(self._node)
                if number is None:
                    await self._flush()
                    await self.changed.wait()
                    self.changed.clear()
                    continue
                with self._run.journal.at_work():
                    await self._carry_out(number)
            await self._flush()
            await self._forget()
        finally:
            await self._connector.drop()

    async def resume(self, task: int) -> None:
        """Follow an attempt that a dead server left behind, even if nothing new may start."""
        number = self._run.scheduler.number_of(self._node, task)
        if number is not None and self._run.scheduler.take_open(number):
            with self._run.journal.at_work():
                await self._carry_out(number)

    async def _carry_out(self, number: int) -> None:
        """Try an instance until it succeeds, fails for good, or nobody knows."""
        run = self._run
        instance = run.plan.instances[number]
        task = run.plan.tasks[instance.task]
        history = self._history.get(instance.task) or InstanceHistory()
        attempt, failures, old = history.attempts, history.failures, history.open
        while True:
            if old is None:
                attempt += 1
                result = await self._begin(number, attempt)
            else:
                attempt += old.deployment != run.deployment_id  # here it gets a number of its own
                result, old = await self._pick_up(number, attempt, old), None
            if isinstance(result, Unknown):
                if await self._note_unknown(number, attempt, result):
                    continue
                return
            if result.ok:
                self._succeeded(number, attempt, result)
                return
            failures += 1
            final = failures > task.retries or run.scheduler.halted
            await self._note_failed(number, attempt, result, final=final)
            if final:
                return
            await self._pause(task.retry_interval)
            if run.scheduler.halted:
                run.scheduler.put_back(number)
                return

    async def _begin(self, number: int, attempt: int) -> Outcome | Unknown:
        """Connect, write down that the attempt is dispatched, and only then start it."""
        run = self._run
        instance = run.plan.instances[number]
        task = run.plan.tasks[instance.task]
        self._claimed = ""
        try:
            link = await self._connector.link(time.time() + min(task.timeout, CONNECT_SECONDS))
        except NodeError as error:
            return Outcome(exit_status=attempts.UNREACHABLE, output=str(error), finished_at=time.time())
        self._claimed = self._attempt_id(run.deployment_id, instance.task, attempt)
        data: dict[str, object] = {
            "id": self._claimed,
            "command": run.command(instance.action),
            "boot": link.identity.boot_id,
            "spool": link.identity.spool_id,
            "timeout": task.timeout,
        }
        await self._write(Event(kind="dispatched", node=self._name, task=task.name, attempt=attempt, data=data))
        METRICS.attempts.inc()
        return await self._follow(number, data, begin=True)

    async def _pick_up(self, number: int, attempt: int, old: OpenAttempt) -> Outcome | Unknown:
        """Find out what became of an attempt whose end nobody wrote down, under the id that it has in the spool."""
        task = self._run.plan.instances[number].task
        self._claimed = old.id or self._attempt_id(old.deployment, task, old.number)
        if old.deployment != self._run.deployment_id:
            data = {**old.data, "id": self._claimed}
            name = self._run.plan.tasks[task].name
            await self._write(Event(kind="dispatched", node=self._name, task=name, attempt=attempt, data=data))
        return await self._follow(number, old.data, begin=False)

    async def _follow(self, number: int, dispatched: Mapping[str, object], *, begin: bool) -> Outcome | Unknown:
        run = self._run
        instance = run.plan.instances[number]
        task = run.plan.tasks[instance.task]
        wanted = Attempt(
            id=self._claimed,
            node=self._name,
            action=run.plan.actions[instance.action],
            timeout=task.timeout,
            boot_id=str(dispatched.get("boot", "")),
            spool_id=str(dispatched.get("spool", "")),
            deadline=time.time() + task.timeout + attempts.GRACE_SECONDS,
        )
        try:
            return await attempts.follow(self._connector, wanted, run.materials, begin=begin)
        except NotStartedError as error:  # certain, whatever the task: it failed and left nothing
            return Outcome(exit_status=attempts.UNREACHABLE, output=str(error), finished_at=time.time())
        except NodeError as error:
            await self._connector.drop()
            return self._lost(task, error)
        except StokerError as error:  # e.g. a secret or a bundle's file that is no longer there
            return Outcome(exit_status=attempts.UNREACHABLE, output=str(error), finished_at=time.time())

    @staticmethod
    def _lost(task: PlannedTask, error: NodeError) -> Outcome | Unknown:
        """The node did not come back in time: an idempotent task failed, of another one nobody knows."""
        if not task.idempotent:
            return Unknown(f"the node did not come back within {task.timeout} s: {error}")
        return Outcome(exit_status=attempts.TIMED_OUT, output=f"Connection lost. {error}", finished_at=time.time())

    def _attempt_id(self, deployment: str, task: int, attempt: int) -> str:
        return f"{deployment}.{task}.{self._node}.{attempt}"

    def _event_of(self, number: int, attempt: int, outcome: Outcome, *, again_in: float | None = None) -> Event:
        run = self._run
        instance = run.plan.instances[number]
        action = run.plan.actions[instance.action]
        guarded = outcome.ok and not outcome.changed and isinstance(action, CommandAction | RebootAction | KindAction)
        if isinstance(action, KindAction):
            outcome = told(outcome)
        data: dict[str, object] = {
            "exit_status": outcome.exit_status,
            "output": run.redact(outcome.output, cut=True),
            "changed": outcome.changed,
            "started_at": outcome.started_at,
            "finished_at": outcome.finished_at or time.time(),
        }
        if outcome.simulated:
            data["simulated"] = True
        if again_in is not None:
            data["again_in"] = again_in
        if not outcome.ok:
            data["command"] = run.command(instance.action)
        elif guarded:
            data["guarded"] = True
        name = run.plan.tasks[instance.task].name
        return Event(kind="finished", node=self._name, task=name, attempt=attempt, data=data)

    def _succeeded(self, number: int, attempt: int, outcome: Outcome) -> None:
        """Queue the end; it is committed together with the next dispatch of this node, or at once if there is none."""
        run = self._run
        instance = run.plan.instances[number]
        event = self._event_of(number, attempt, outcome)
        METRICS.results.labels(run.plan.tasks[instance.task].kind, "ok").inc()
        self._ended = run.journal.submit(
            JournalEntry(deployment_id=run.deployment_id, epoch=run.epoch, events=[event], applied=run.ledger.finished(instance))
        )
        self._forget_later()
        run.scheduler.finish(number)
        run.wake()

    async def _note_failed(self, number: int, attempt: int, outcome: Outcome, *, final: bool) -> None:
        run = self._run
        task = run.plan.tasks[run.plan.instances[number].task]
        event = self._event_of(number, attempt, outcome, again_in=None if final else task.retry_interval)
        self._forget_later()
        METRICS.results.labels(task.kind, "failed" if final else "tried again").inc()
        events = [event]
        if final:
            logger.warning("%s failed with exit status %d, attempt %d", task.name, outcome.exit_status, attempt)
            reason = f"{event.task} failed with exit status {outcome.exit_status}"
            events.append(Event(kind="node", node=self._name, task=event.task, data={"state": "failed", "reason": reason}))
        await self._write(*events)
        if final:
            run.scheduler.fail(number)
            run.wake()

    async def _note_unknown(self, number: int, attempt: int, unknown: Unknown) -> bool:
        """Write down that nobody knows; answers whether the task may simply run again."""
        run = self._run
        task = run.plan.tasks[run.plan.instances[number].task]
        again = task.idempotent and not run.scheduler.halted
        told = run.redact(unknown.reason)
        METRICS.results.labels(task.kind, "unknown").inc()
        logger.warning("Nobody knows whether %s ran, attempt %d: %s", task.name, attempt, told)
        data: dict[str, object] = {"reason": told, "ask": not task.idempotent}
        events = [Event(kind="unknown", node=self._name, task=task.name, attempt=attempt, data=data)]
        if not task.idempotent:
            reason = f"nobody knows whether {task.name} ran: {told}"
            events.append(Event(kind="node", node=self._name, task=task.name, data={"state": "failed", "reason": reason}))
        await self._write(*events)
        if again:
            return True
        if task.idempotent:
            run.scheduler.put_back(number)
        else:
            run.unresolved.append(f"{task.name} on {self._name}")
            run.scheduler.fail(number)
            run.wake()
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait before the next try; a stop ends it."""
        until = time.monotonic() + seconds
        while not self._run.scheduler.halted and (left := until - time.monotonic()) > 0:
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), left)

    async def _write(self, *events: Event) -> None:
        run = self._run
        await run.journal.submit(JournalEntry(deployment_id=run.deployment_id, epoch=run.epoch, events=events))
        if len(self._spooled) >= FORGET_AT:
            await self._forget()

    async def _flush(self) -> None:
        """Wait until the last end is on disk."""
        if self._ended is not None:
            ended, self._ended = self._ended, None
            await ended

    def _forget_later(self) -> None:
        if self._claimed:
            self._spooled.append(self._claimed)

    async def _forget(self) -> None:
        """Delete attempts from the node's spool; their ends are on disk by now."""
        spooled, self._spooled = self._spooled, []
        if not spooled or not self._connector.connected:
            return
        try:
            link = await self._connector.link(time.time() + 1.0)
            await link.forget(spooled)
        except NodeError:
            await self._connector.drop()  # they stay in the spool; the next deployment's connection is made anew
