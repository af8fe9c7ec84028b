# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The composition root: puts a server's parts together."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias, cast

from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.types import Middleware, Scope
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from stoker import api
from stoker.api.auth import Door
from stoker.api.bodies import JsonRequest
from stoker.api.idempotency import Idempotency
from stoker.api.observed import Observed
from stoker.api.openapi import description
from stoker.api.parameters import refuse_unknown
from stoker.api.plugin_applications import PluginApplications
from stoker.api.problems import HANDLERS
from stoker.api.rights import guard
from stoker.app.to_supervisor import ToSupervisor
from stoker.app.to_workers import ToWorkers
from stoker.app.worker_parts import worker_parts
from stoker.config import ServerConfig
from stoker.db import record_indexes, tables
from stoker.db.database import Database
from stoker.db.faults import reason
from stoker.db.vault import Vault
from stoker.errors import StokerError
from stoker.orchestration.feed import Feed
from stoker.orchestration.orchestrator import Orchestrator
from stoker.plugin_host.back import AsgiApp
from stoker.plugin_host.quarantine import Quarantine
from stoker.plugin_host.repository_server import serving
from stoker.plugin_host.store import PluginStore
from stoker.plugin_host.venvs import Venvs
from stoker.services import plugin_openapi, plugin_registry, plugin_venvs, record_migrations, record_operations, sandboxes
from stoker.services.context import ServerContext
from stoker.services.credentials import ensure_default
from stoker.services.event_delivery import EventDelivery
from stoker.services.host_keys import HostKeys
from stoker.services.job_calls import make_runner
from stoker.services.plugin_events import target_of
from stoker.services.quarantine import QuarantineRows
from stoker.services.refresh import refreshing
from stoker.services.repositories import remake
from stoker.services.tokens import ensure_admin_token
from stoker.telemetry import service_manager
from stoker.transport import Transport
from stoker.transport.simulated import SimulatedTransport
from stoker.transport.ssh import SshTransport

_LOG = logging.getLogger("stoker.app")
_FEWEST_CONNECTIONS = 5
Lifespan: TypeAlias = Callable[[Litestar], AbstractAsyncContextManager[None]]
MAX_BODY = 16 * 1024 * 1024


def open_vault(config: ServerConfig) -> Vault:
    """The data folder's vault; the first time, make both."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    config.data_dir.chmod(0o700)
    return Vault.open(config.data_dir / "master.key")


def open_database(config: ServerConfig) -> Database:
    """The database, with this version's tables.

    Raises:
        StokerError: it cannot be used.
    """
    database = Database(config.database_url, password=config.database_password, connections=connections(config))
    try:
        database.migrate()
    except DBAPIError as error:
        database.close()
        raise StokerError(
            f"the database cannot be used: {reason(error)}",
            remedy="Check that it runs, that 'database' names it, and that its user owns it; then start the server again.",
        ) from error
    return database


def build_context(config: ServerConfig, vault: Vault) -> ServerContext:
    """Open everything that a server works with; the first time, make it."""
    database = open_database(config)
    store = PluginStore(config.data_dir / "plugins")
    with database.read() as connection:
        rows = connection.execute(select(tables.plugins.c.name, tables.plugins.c.version))
        installed = {(row.name, row.version) for row in rows}
    venvs = Venvs(config.venvs, config.venv_template)
    swept = [*store.sweep(installed), *venvs.sweep(installed)]
    if swept:
        _LOG.warning("deleted what interrupted installations left: %s", ", ".join(swept))
    transports: dict[str, Transport] = {
        "ssh": SshTransport(trust_first=HostKeys(database).trust_first, repositories=config.repository_socket),
        "simulated": SimulatedTransport(config.fleet),
    }
    feed = Feed()
    orchestrator = Orchestrator(database, vault, store, transports, feed)
    quarantine = Quarantine(QuarantineRows(database))
    workers, back, dispatcher = worker_parts(config, database, store, venvs, quarantine)
    context = ServerContext(
        config=config,
        database=database,
        vault=vault,
        store=store,
        venvs=venvs,
        transports=transports,
        orchestrator=orchestrator,
        quarantine=quarantine,
        workers=workers,
        back=back,
        dispatcher=dispatcher,
        events=None if config.safe_mode else EventDelivery(database, dispatcher, target_of),
        feed=feed,
    )
    context.jobs = None if config.safe_mode else make_runner(context)
    ensure_admin_token(context)
    ensure_default(context)
    remake(context)
    plugin_registry.follow(database, context.registry)
    with database.transaction() as connection:
        record_indexes.follow_all(connection)
    record_operations.register(context, back)
    return context


def build_api_context(config: ServerConfig, vault: Vault) -> ServerContext:
    """What an API process works with: it reads, and everything is there already."""
    return ServerContext(
        config=config,
        database=Database(config.database_url, password=config.database_password, connections=connections(config)),
        vault=vault,
        store=PluginStore(config.data_dir / "plugins"),
        venvs=Venvs(config.venvs, config.venv_template),
    )


def connections(config: ServerConfig) -> int:
    """How many connections to the database each process may hold."""
    processes = 1 if config.processes == 1 else config.processes + 1
    return max(_FEWEST_CONNECTIONS, config.database_connections // processes)


def build_app(
    context: ServerContext,
    *,
    middleware: Sequence[Middleware] = (),
    lifespan: Sequence[Lifespan] = (),
    supervisor: Path | None = None,
) -> Litestar:
    """The HTTP application with its door: the one that clients reach; ``supervisor`` is the socket of who has the workers."""
    app = build_inner_app(context, middleware=middleware, lifespan=lifespan)
    passer = ToSupervisor(supervisor) if supervisor else ToWorkers(context)
    app.asgi_handler = Observed(Door(PluginApplications(app.asgi_handler, passer), context.config, context.identities))
    return app


def build_inner_app(
    context: ServerContext, *, middleware: Sequence[Middleware] = (), lifespan: Sequence[Lifespan] = ()
) -> Litestar:
    """The HTTP application without a door: every module of ``stoker.api`` with a ``router`` is a resource."""

    def give_context() -> ServerContext:
        return context

    app = Litestar(
        route_handlers=routers(),
        dependencies={"context": Provide(give_context, sync_to_thread=False)},
        exception_handlers=HANDLERS,
        request_max_body_size=MAX_BODY,
        lifespan=[_lifespan(context), *lifespan],
        logging_config=None,
        on_app_init=[_quiet],
        request_class=JsonRequest,
        guards=[guard(context), refuse_unknown],
        openapi_config=description(),
        middleware=[*middleware, Idempotency(context, MAX_BODY)],
    )
    if context.back is not None:
        context.back.serve_api(_behind_the_door(app))
    return app


def _behind_the_door(app: Litestar) -> AsgiApp:
    """The application for who has been let in already; its own door comes before ``asgi_handler`` later."""
    handler = app.asgi_handler

    async def answer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401  as ASGI has them
        scope["app"] = scope["litestar_app"] = app
        scope.setdefault("state", {})
        await handler(cast("Scope", scope), receive, send)

    return answer


def routers() -> list[Router]:
    """The routers of all resources."""
    modules = [importlib.import_module(f"{api.__name__}.{info.name}") for info in pkgutil.iter_modules(api.__path__)]
    return [router for module in modules if isinstance(router := getattr(module, "router", None), Router)]


def _quiet(config: AppConfig) -> AppConfig:
    config.debug = False
    return config


def _lifespan(context: ServerContext) -> Lifespan:
    @asynccontextmanager
    async def run(_app: Litestar) -> AsyncIterator[None]:
        context.loop = asyncio.get_running_loop()
        try:
            async with nullcontext() if context.orchestrator is None else _working(context, context.orchestrator):
                yield
        finally:
            context.loop = None

    return run


@asynccontextmanager
async def _working(context: ServerContext, orchestrator: Orchestrator) -> AsyncIterator[None]:
    """What a server does beside answering; an API process does none of it."""
    config = context.config
    async with serving(config.repositories, config.repository_socket, config.repository_listen):
        sandboxes.forget(context)
        await orchestrator.recover()
        if context.jobs is not None:
            context.jobs.start()
        alive = asyncio.create_task(service_manager.keep_alive(), name="service manager")
        venvs = asyncio.create_task(plugin_venvs.look_after(context), name="venvs of plugins")
        records = asyncio.create_task(asyncio.to_thread(record_migrations.recover, context), name="records of plugins")
        describing = asyncio.create_task(plugin_openapi.keep(context), name="descriptions of applications")
        sandbox = asyncio.create_task(sandboxes.look(context), name="sandbox of plugins")
        events = None if context.events is None else asyncio.create_task(context.events.run(), name="events for plugins")
        try:
            async with refreshing(context):
                yield
        finally:
            alive.cancel()
            venvs.cancel()
            await asyncio.wait([records])
            describing.cancel()
            if context.jobs is not None:
                await context.jobs.close()
            sandbox.cancel()
            if events is not None:
                events.cancel()
                await asyncio.wait([events])
            if context.workers is not None:
                await context.workers.close()
            await orchestrator.close()
