# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers as people see them: which run, in what, and what their plugins' code wrote."""

from __future__ import annotations

import msgspec

from stoker.db.plugins import find_plugin
from stoker.plugin_host.worker_watch import usage
from stoker.services.context import ServerContext


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A running worker."""

    plugin: str
    version: str
    confined: bool
    """Whether it runs in a sandbox."""
    application: str
    """``wsgi`` or ``asgi``; empty if the plugin has no application."""
    memory_bytes: int
    """What its processes take."""
    cpu_seconds: float
    """Processor time that they took."""


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a plugin's code wrote on standard output or error."""

    version: str
    at: float
    """Seconds since 1970."""
    text: str


def workers(context: ServerContext) -> list[WorkerView]:
    """Those that run now."""
    found = []
    for worker in context.workers.alive() if context.workers is not None else ():
        taken = usage(worker.pid)
        found.append(
            WorkerView(
                plugin=worker.plugin,
                version=worker.version,
                confined=worker.start.confined,
                application=worker.hello.application,
                memory_bytes=taken.memory,
                cpu_seconds=taken.seconds,
            )
        )
    return sorted(found, key=lambda view: (view.plugin, view.version))


def lines(context: ServerContext, plugin: str) -> list[LineView]:
    """What the code of a plugin's versions wrote lately, the oldest first; secrets are not in it.

    Raises:
        NotFoundError: the plugin is not installed.
    """
    with context.database.read() as connection:
        find_plugin(connection, plugin)
    if context.workers is None:
        return []
    redact = context.vault.redact
    found = [
        LineView(version=version, at=line.at, text=redact(line.text))
        for version, kept in context.workers.outputs.of_plugin(plugin).items()
        for line in kept
    ]
    return sorted(found, key=lambda line: line.at)
