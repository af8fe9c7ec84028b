# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What every use case works with: configuration, database, vault, plugins, transports, orchestrator."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stoker.config import ServerConfig
from stoker.db.database import Database
from stoker.db.vault import Vault
from stoker.orchestration.orchestrator import Orchestrator
from stoker.plugin_host.store import PluginStore
from stoker.transport import Transport

T = TypeVar("T")


@dataclass(kw_only=True)
class ServerContext:
    """The parts of a running server, made in ``stoker.app``; handlers get it as the dependency ``context``."""

    config: ServerConfig
    database: Database
    vault: Vault
    store: PluginStore
    transports: dict[str, Transport] = field(default_factory=dict)
    orchestrator: Orchestrator | None = None
    loop: asyncio.AbstractEventLoop | None = None
    """The server's event loop, once it runs."""

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Do asynchronous work from a handler's thread and wait for its result; without a server's loop, in a loop of its own."""
        if self.loop is None:
            return asyncio.run(work)
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()
