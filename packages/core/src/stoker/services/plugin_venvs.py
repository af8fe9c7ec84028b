# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Venvs of installed plugins: made anew after Python or the SDK has changed, and prepared for the next plugin."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec
from sqlalchemy import select
from stoker_sdk.manifest import read_manifest

from stoker.db import tables
from stoker.errors import StokerError
from stoker.plugin_host.store import FILES
from stoker.services.context import ServerContext

_LOG = logging.getLogger(__name__)
PATIENCE: Final = 10.0
"""Seconds after the start: what is asked for then comes first."""


class _Manifest(msgspec.Struct):
    code: dict[str, object] | None = None


async def look_after(context: ServerContext) -> None:
    """Make what is missing, once."""
    await asyncio.to_thread(make_missing, context)
    await asyncio.sleep(PATIENCE)
    try:
        await asyncio.to_thread(context.venvs.prepare)
    except (StokerError, OSError):
        _LOG.exception("what venvs of plugins are made of could not be prepared")


def make_missing(context: ServerContext) -> list[str]:
    """Make each venv that is missing or was made for another Python or SDK; answers the plugins for which that failed."""
    table = tables.plugins
    with context.database.read() as connection:
        rows = list(connection.execute(select(table.c.name, table.c.version, table.c.digest, table.c.manifest)))
    failed = []
    for row in rows:
        if msgspec.json.decode(row.manifest, type=_Manifest).code is None or context.venvs.is_ready(row.name, row.version):
            continue
        try:
            plugin = read_manifest(msgspec.json.decode(row.manifest))
            context.venvs.ensure(context.store.folder(row.name, row.version) / FILES, plugin, row.digest)
        except (StokerError, OSError) as error:
            failed.append(f"{row.name} {row.version}")
            _LOG.error("plugin %s %s has no venv: %s", row.name, row.version, error, extra={"plugin": row.name})
        else:
            _LOG.info("plugin %s %s has a new venv", row.name, row.version, extra={"plugin": row.name})
    return failed
