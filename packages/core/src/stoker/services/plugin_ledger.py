# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger of a plugin version: all that there is because of it, shown before it is uninstalled and looked for afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Connection

from stoker.db.plugin_traces import STAYING, documents_of, rows_of
from stoker.db.plugins import environments_using, find_plugin, plugin_versions
from stoker.services.context import ServerContext

Kind = Literal["rows", "files", "venv", "repository", "process", "socket"]


class LedgerItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes with a plugin version."""

    kind: Kind
    name: str
    """A table, or what there is else, relative to the data folder where it is a file."""
    count: int
    """Rows, files or processes."""
    bytes: int = 0
    """Of files."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes with a plugin version, and what does not."""

    plugin: str
    version: str
    last: bool
    """Whether no other version of the plugin is installed; then its records go, too."""
    environments: list[str]
    """Those that use it: as long as there are any, it is not uninstalled."""
    items: list[LedgerItem]
    documents: dict[str, int]
    """Collection -> how many records of it go; they go only if that is said."""
    staying: dict[str, str]
    """Tables that keep their rows about it -> why; audit, plans and deployments stay anyway."""


def ledger(context: ServerContext, name: str, version: str) -> Ledger:
    """What uninstalling a version would take away. Raises NotFoundError."""
    with context.database.read() as connection:
        find_plugin(connection, name, version)
        last = is_last(connection, name)
        return Ledger(
            plugin=name,
            version=version,
            last=last,
            environments=environments_using(connection).get((name, version), []),
            items=found(context, connection, name, version, last=last),
            documents=documents_of(connection, name) if last else {},
            staying=dict(STAYING),
        )


def is_last(connection: Connection, name: str) -> bool:
    """Whether a plugin has one version only."""
    return len(plugin_versions(connection, name)) <= 1


def found(context: ServerContext, connection: Connection, name: str, version: str, *, last: bool) -> list[LedgerItem]:
    """Everything that is there of a version now: rows, files, processes and their sockets."""
    rows = rows_of(connection, name, version, last=last)
    items = [LedgerItem(kind="rows", name=table, count=count) for table, count in sorted(rows.items())]
    return [*items, *_files(context, name, version), *_processes(context, name, version)]


def _files(context: ServerContext, name: str, version: str) -> Iterator[LedgerItem]:
    folders: tuple[tuple[Kind, Path], ...] = (
        ("files", context.store.folder(name, version)),
        ("venv", context.venvs.folder(name, version)),
        ("repository", context.repositories.folder(name, version)),
    )
    root = context.config.data_dir
    for kind, folder in folders:
        for place in (folder, folder.with_name(f"{folder.name}.tmp")):
            if place.exists():
                files = [path for path in place.rglob("*") if path.is_symlink() or path.is_file()]
                size = sum(path.lstat().st_size for path in files)
                shown = place.relative_to(root) if place.is_relative_to(root) else place
                yield LedgerItem(kind=kind, name=str(shown), count=len(files), bytes=size)


def _processes(context: ServerContext, name: str, version: str) -> Iterator[LedgerItem]:
    for worker in context.workers.alive() if context.workers is not None else ():
        if (worker.plugin, worker.version) == (name, version):
            yield LedgerItem(kind="process", name=f"worker {worker.pid}", count=1)
            yield LedgerItem(kind="socket", name=str(worker.socket), count=1)
