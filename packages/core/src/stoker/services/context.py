# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What every use case works with: configuration, database, vault, plugins, transports, orchestrator."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, ParamSpec, TypeVar

from stoker.config import ServerConfig
from stoker.db.database import Database
from stoker.db.vault import Vault
from stoker.orchestration.feed import Feed
from stoker.orchestration.job_runner import JobRunner
from stoker.orchestration.orchestrator import Orchestrator
from stoker.plugin_host.back import BackChannel
from stoker.plugin_host.dispatch import Dispatcher
from stoker.plugin_host.quarantine import Quarantine
from stoker.plugin_host.registry import RegistryFile
from stoker.plugin_host.repositories import RepositoryStore
from stoker.plugin_host.store import PluginStore
from stoker.plugin_host.venvs import Venvs
from stoker.plugin_host.workers import Workers
from stoker.services.change_feed import ChangeFeed
from stoker.services.event_delivery import EventDelivery
from stoker.services.identities import Identities
from stoker.services.record_gates import RecordGates
from stoker.telemetry.metrics import METRICS
from stoker.transport import Transport

T = TypeVar("T")
P = ParamSpec("P")
LONG_AT_ONCE: Final = 32
"""How many pieces of long work (plans, checks, looks at nodes) go on at once; further ones wait their turn."""


def _long_work() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=LONG_AT_ONCE, thread_name_prefix="long-work")


@dataclass(kw_only=True)
class ServerContext:
    """The parts of a running server, made in ``stoker.app``; handlers get it as the dependency ``context``."""

    config: ServerConfig
    database: Database
    vault: Vault
    store: PluginStore
    venvs: Venvs
    """The venvs of plugins with code."""
    transports: dict[str, Transport] = field(default_factory=dict)
    orchestrator: Orchestrator | None = None
    """Carries out deployments; an API process has none, and leaves all changes and all long work to the supervisor."""
    quarantine: Quarantine | None = None
    """Which hooks of plugins are skipped for now; an API process calls none, and shows what the database has of it."""
    workers: Workers | None = None
    """Run plugins' code; an API process has none, nor what follows."""
    back: BackChannel | None = None
    """What plugins' code may ask for."""
    dispatcher: Dispatcher | None = None
    """Calls plugins' hooks."""
    jobs: JobRunner | None = None
    """Runs plugins' actions; an API process has none."""
    events: EventDelivery | None = None
    """Tells plugins what has happened; an API process tells nobody."""
    feed: Feed = field(default_factory=Feed)
    """Wakes those who follow deployments."""
    loop: asyncio.AbstractEventLoop | None = None
    """The server's event loop, once it runs."""
    long_work: ThreadPoolExecutor = field(default_factory=_long_work)
    """Threads for work that waits for planning processes or nodes: those that answer reads are never taken for it."""

    identities: Identities = field(init=False)
    """Who may come in."""
    changes: ChangeFeed = field(init=False)
    """Wakes those who follow changes of anything."""

    def __post_init__(self) -> None:
        """Know the people of the database."""
        self.identities = Identities(self.database)
        self.changes = ChangeFeed(self.database)

    @cached_property
    def record_gates(self) -> RecordGates:
        """Where who writes plugins' records waits while they are migrated."""
        return RecordGates()

    @cached_property
    def registry(self) -> RegistryFile:
        """Which plugin versions are live."""
        return RegistryFile(self.config.registry)

    @cached_property
    def repositories(self) -> RepositoryStore:
        """The signed package repositories of installed plugins."""
        return RepositoryStore(self.config.repositories, self.config.data_dir / "signing")

    async def at_length(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do long synchronous work apart from the threads that answer other requests, for the same actor."""
        present = contextvars.copy_context()
        waiting, running = METRICS.long_work.labels("waiting"), METRICS.long_work.labels("running")
        begun = False

        def begin() -> T:
            nonlocal begun
            begun = True
            waiting.dec()
            with running.track_inprogress():
                return present.run(work, *args, **kwargs)

        waiting.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(self.long_work, begin)
        finally:
            if not begun:  # nobody waits for it any more, and it had not begun
                waiting.dec()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Do asynchronous work from a handler's thread and wait for its result; without a server's loop, in a loop of its own."""
        if self.loop is None:
            return asyncio.run(work)
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()
