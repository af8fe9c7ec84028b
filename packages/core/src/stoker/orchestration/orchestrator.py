# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The orchestrator: owns deployments by a lease with an epoch, and takes over those that a dead server left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import time
from pathlib import Path

from sqlalchemy import Row, update
from sqlalchemy.exc import SQLAlchemyError

from stoker.db import deployments, tables
from stoker.db.database import Database
from stoker.db.faults import reason
from stoker.db.journal import Event, add_event
from stoker.db.vault import Vault
from stoker.orchestration.feed import Feed
from stoker.orchestration.journal import LEASE_SECONDS, Journal, LostLeaseError
from stoker.orchestration.patience import patiently
from stoker.orchestration.runner import DeploymentRun, read_inputs
from stoker.orchestration.wording import listed
from stoker.plugin_host.store import PluginStore
from stoker.telemetry.subject import set_about
from stoker.transport import Transport

logger = logging.getLogger(__name__)

CONNECTING_AT_ONCE = 64
_REASON_SHOWN = 300


class Orchestrator:
    """Carries out deployments in the server's event loop."""

    def __init__(
        self, database: Database, vault: Vault, store: PluginStore, transports: dict[str, Transport], feed: Feed | None = None
    ) -> None:
        """Take the parts; ``recover`` must be called in the event loop before anything is started."""
        self.feed = feed or Feed()
        self._database = database
        self._vault = vault
        self._store = store
        self._transports = transports
        self._loop: asyncio.AbstractEventLoop | None = None
        self._journal: Journal | None = None
        self._gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, DeploymentRun] = {}
        self._owner = _own_name()

    @property
    def at_work(self) -> bool:
        """Whether deployments are carried out: it was started, and the journal writes."""
        return self._journal is not None and self._journal.alive

    def start(self, deployment_id: str) -> None:
        """Begin to carry out a deployment; returns at once, from any thread."""
        if self._loop is None:
            raise RuntimeError("recover() was not called")
        self._loop.call_soon_threadsafe(self._spawn, deployment_id)

    def stop(self, deployment_id: str) -> None:
        """End a deployment gracefully; returns at once, from any thread. The request is in the database already."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop, deployment_id)

    async def recover(self) -> None:
        """Go on with deployments that nobody carries out."""
        self._loop = asyncio.get_running_loop()
        if self._journal is None:
            self._journal = Journal(self._database, self.feed.notify)
        for row in await asyncio.to_thread(self._unfinished):
            logger.info("Deployment %s goes on (state %s)", row.id, row.state)
            self._spawn(str(row.id))

    async def close(self) -> None:
        """Let go of all deployments; attempts on nodes run on and are picked up by the next server."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._journal is not None:
            await self._journal.close()
            self._journal = None
        try:
            await asyncio.to_thread(self._release)
        except SQLAlchemyError as error:
            logger.warning("The leases could not be given back (%s); they run out by themselves", reason(error))

    def _unfinished(self) -> list[Row[tuple[object, ...]]]:
        with self._database.read() as connection:
            return deployments.unfinished_deployments(connection)

    def _release(self) -> None:
        table = tables.deployments
        with self._database.transaction() as connection:
            connection.execute(update(table).where(table.c.owner == self._owner).values(lease_until=0.0))

    def _spawn(self, deployment_id: str) -> None:
        if deployment_id in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(deployment_id), name=f"deployment {deployment_id}")
        self._tasks[deployment_id] = task
        task.add_done_callback(lambda ended: self._ended(deployment_id, ended))

    def _stop(self, deployment_id: str) -> None:
        if (run := self._runs.get(deployment_id)) is not None:
            run.stop()

    async def _carry_out(self, deployment_id: str) -> None:
        set_about(deployment=deployment_id)
        epoch = await self._take(deployment_id)
        if epoch is None or self._journal is None:
            return
        what = f"Deployment {deployment_id}"
        inputs = await patiently(what, read_inputs, self._database, self._vault, deployment_id)
        run = await asyncio.to_thread(
            DeploymentRun,
            deployment_id,
            epoch,
            inputs,
            database=self._database,
            journal=self._journal,
            store=self._store,
            transports=self._transports,
            gate=self._gate,
        )
        self._runs[deployment_id] = run
        set_about(environment=inputs.plan.environment_name)
        # The plan stays until the end: to look through it for circles again and again would hold up everybody.
        gc.freeze()
        try:
            await run.run()
        finally:
            del self._runs[deployment_id]
            if not self._runs:
                gc.unfreeze()

    async def _take(self, deployment_id: str) -> int | None:
        """Wait until the deployment's owner is gone, and make it ours."""
        while True:
            taken = await patiently(f"Deployment {deployment_id}", self._try_to_take, deployment_id)
            if not isinstance(taken, float):
                return taken
            await asyncio.sleep(taken)

    def _try_to_take(self, deployment_id: str) -> int | float | None:
        now = time.time()
        with self._database.transaction() as connection:
            row = deployments.find_deployment(connection, deployment_id)
            if row.state not in deployments.UNFINISHED:
                return None
            if row.lease_until > now and row.owner != self._owner and not _is_gone(str(row.owner)):
                return min(1.0, float(row.lease_until - now) + 0.05)
            return deployments.take_lease(connection, row, self._owner, now + LEASE_SECONDS)

    def _ended(self, deployment_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(deployment_id, None)
        self.feed.notify([deployment_id])
        if task.cancelled() or (error := task.exception()) is None:
            return
        cause, about = _cause(error), {"deployment": deployment_id}
        if isinstance(cause, LostLeaseError):
            logger.warning("Let go of deployment %s: another server carries it out", deployment_id, extra=about)
            return
        logger.error("Deployment %s broke off", deployment_id, exc_info=error, extra=about)
        told = self._vault.redact(reason(cause))[:_REASON_SHOWN]
        ending = asyncio.get_running_loop().create_task(
            patiently(f"Deployment {deployment_id}", self._broke_off, deployment_id, told),
            name=f"end of deployment {deployment_id}",
        )
        self._tasks[deployment_id] = ending
        ending.add_done_callback(lambda ended: self._broken(deployment_id, ended))

    def _broke_off(self, deployment_id: str, told: str) -> None:
        """A fault of ours: the deployment fails, so that people see it. What was under way is picked up by a retry only."""
        with self._database.transaction() as connection:
            row = deployments.find_deployment(connection, deployment_id)
            text = f"The server met a fault of its own and broke off: {told}"
            if running := deployments.open_attempts(deployments.read_history(connection, deployment_id)):
                text = f"{text.rstrip('.')}. Under way then: {listed(running)}; 'retry' picks it up."
            if row.owner in ("", self._owner) and deployments.end_deployment(
                connection, deployment_id, row.epoch, state="failed", reason=text
            ):
                add_event(connection, deployment_id, Event(kind="state", data={"state": "failed", "reason": text}))

    def _broken(self, deployment_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(deployment_id, None)
        self.feed.notify([deployment_id])
        if not task.cancelled() and (error := task.exception()) is not None:
            about = {"deployment": deployment_id}
            logger.error("The end of deployment %s could not be written", deployment_id, exc_info=error, extra=about)


def _cause(error: BaseException) -> BaseException:
    """What is behind groups of exceptions; a lost lease before all others, because then nothing more may be written."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, LostLeaseError)), causes[0])


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _start_of(pid: int) -> str:
    """When a process was started, in the kernel's own count; empty if there is none."""
    path = Path(f"/proc/{pid}/stat")
    try:
        return path.read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _own_name() -> str:
    pid = os.getpid()
    return f"{platform.node()}:{_boot_id()}:{pid}:{_start_of(pid)}:{time.monotonic_ns()}"


def _is_gone(owner: str) -> bool:
    """Whether the owner was a process of this machine that no longer lives."""
    parts = owner.split(":")
    if len(parts) != 5 or parts[0] != platform.node() or not parts[1]:
        return False
    return parts[1] != _boot_id() or _start_of(int(parts[2])) != parts[3]
