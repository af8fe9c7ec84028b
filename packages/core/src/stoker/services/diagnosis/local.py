# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that can be looked at on the server's own machine, whether it runs or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from sqlalchemy import make_url

from stoker.config import ServerConfig
from stoker.db.database import Database
from stoker.errors import StokerError
from stoker.plugin_host import planning_process
from stoker.plugin_host.store import PluginStore
from stoker.services.diagnosis import folder, machine, stored
from stoker.services.diagnosis.check import Check, fail, ok


def checks(config: ServerConfig) -> Iterator[Check]:
    """Look at machine, data folder, database and planning process."""
    yield from machine.checks()
    found = list(folder.checks(config))
    yield from found
    yield _planning(config)
    database = make_url(config.database_url).database or ""
    if config.database_url.startswith("sqlite") and not config.data_dir.joinpath(database).exists():
        yield fail(
            "database", f"{database} is not there", "Start the server once, or name its folder with --data or STOKER_DATA."
        )
        return
    opened = Database(config.database_url, password=config.database_password, connections=config.database_connections)
    try:
        yield from stored.checks(opened, PluginStore(config.data_dir / "plugins"))
    finally:
        opened.close()


def _planning(config: ServerConfig) -> Check:
    limits = planning_process.Limits(memory_bytes=config.planning_memory_bytes, seconds=config.planning_seconds)
    begun = time.perf_counter()
    try:
        asyncio.run(planning_process.run_in_process("check", b"[]", limits))
    except (StokerError, OSError) as error:
        return fail("planning", f"the planning process does not work: {error}", "See planning_memory_bytes and planning_seconds.")
    return ok("planning", f"a process starts and answers in {time.perf_counter() - begun:.1f} s")
