# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Sandboxes: what plugins' code runs in on this machine, known to every process of the server."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from stoker.services.context import ServerContext

_LOG = logging.getLogger(__name__)
UNCONFINED: Final = "unconfined"
"""Plugins' code runs without a sandbox, because none works here and an admin allowed it."""


async def look(context: ServerContext) -> None:
    """Find out what works on this machine, and tell all processes."""
    if context.workers is None or context.config.safe_mode:
        return
    kind = await asyncio.to_thread(context.workers.sandbox.find)
    if kind == "none" and context.config.allow_unconfined_plugins:
        _LOG.warning("plugins' code runs WITHOUT a sandbox: it can read all that the server can")
        kind = UNCONFINED
    elif kind == "none":
        _LOG.warning("plugins' code does not run, because no sandbox works: %s", context.workers.sandbox.why)
    await asyncio.to_thread(_file(context).write_text, kind)


def forget(context: ServerContext) -> None:
    """Nobody knows until the next look: it may be another machine."""
    _file(context).unlink(missing_ok=True)


def sandbox_of(context: ServerContext) -> str:
    """``bubblewrap``, ``namespaces``, ``unconfined`` or ``none``; empty while the server has not looked."""
    try:
        return _file(context).read_text()
    except OSError:
        return ""


def _file(context: ServerContext) -> Path:
    return context.config.data_dir / "sandbox"
