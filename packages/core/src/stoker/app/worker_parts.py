# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a server that run plugins' code: workers, the way back, dispatch."""

from __future__ import annotations

import shutil

import msgspec
from sqlalchemy import select
from stoker_sdk.manifest import read_manifest
from stoker_sdk.plugin import Plugin

from stoker.config import ServerConfig
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.plugin_denials import read_denials
from stoker.domain.plugin_denial import refuse_denied
from stoker.errors import NotFoundError, SafeModeError
from stoker.plugin_host.back import BackChannel
from stoker.plugin_host.dispatch import Dispatcher
from stoker.plugin_host.quarantine import Quarantine
from stoker.plugin_host.sandbox.choice import Sandbox
from stoker.plugin_host.store import FILES, PluginStore
from stoker.plugin_host.venvs import Venvs
from stoker.plugin_host.worker_code import WorkerCode
from stoker.plugin_host.workers import Limits, Workers


def worker_parts(
    config: ServerConfig, database: Database, store: PluginStore, venvs: Venvs, quarantine: Quarantine
) -> tuple[Workers, BackChannel, Dispatcher]:
    """Put them together; nothing is started yet, and in safe mode nothing ever is."""
    shutil.rmtree(config.worker_folder, ignore_errors=True)  # what a server that was killed has left

    def code_of(name: str, version: str) -> WorkerCode:
        if config.safe_mode:
            raise SafeModeError(
                f"plugin {name} {version}: its code does not run, for the server runs in safe mode.",
                remedy="Start the server without --safe-mode.",
            )
        plugin, network = _plugin(database, name, version)
        if plugin.code is None:
            raise NotFoundError(f"plugin {name} {version} has no code.", remedy="Build it with its code, as a Python project.")
        venvs.ensure(store.folder(name, version) / FILES, plugin)  # is there already, unless Python or the SDK was changed
        return WorkerCode(
            python=venvs.python(name, version),
            entry=plugin.code.entry_point,
            bundle=store.folder(name, version),
            memory=plugin.memory,
            network=network and bool(plugin.outbound_network),
            api_access=plugin.api_access,
        )

    sandbox = Sandbox(config.worker_folder, share=config.workers_cpu_share, allow_unconfined=config.allow_unconfined_plugins)
    back = BackChannel()
    limits = Limits(most=config.workers_max, idle_seconds=config.workers_idle_seconds)
    workers = Workers(limits, code_of, sandbox, back)
    return workers, back, Dispatcher(workers, back, quarantine)


def _plugin(database: Database, name: str, version: str) -> tuple[Plugin, bool]:
    """What a version brings, and whether an admin lets its code reach the network."""
    table = tables.plugins
    wanted = select(table.c.manifest, table.c.network_agreed).where(table.c.name == name, table.c.version == version)
    with database.read() as connection:
        refuse_denied(read_denials(connection), name, version)
        found = connection.execute(wanted).one_or_none()
    if found is None:
        raise NotFoundError(f"plugin {name} {version} is not installed.", remedy="'stoker plugins list' shows those that are.")
    return read_manifest(msgspec.json.decode(found.manifest)), found.network_agreed
