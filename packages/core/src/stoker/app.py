# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The composition root: puts a server's parts together and runs it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import fcntl
import importlib
import logging
import pkgutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.di import Provide
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from stoker import api
from stoker.api.auth import Door, allowed_hosts, open_paths
from stoker.api.bodies import JsonRequest
from stoker.api.observed import Observed
from stoker.api.openapi import description
from stoker.api.parameters import refuse_unknown
from stoker.api.problems import HANDLERS
from stoker.config import ServerConfig, read_config
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.faults import reason
from stoker.db.vault import Vault
from stoker.errors import ConfigurationError, StokerError
from stoker.orchestration.orchestrator import Orchestrator
from stoker.plugin_host.store import PluginStore
from stoker.services.certificates import ensure_certificate, fingerprint
from stoker.services.context import ServerContext
from stoker.services.credentials import ensure_default
from stoker.services.host_keys import HostKeys
from stoker.services.tokens import ensure_admin_token, token_hashes
from stoker.telemetry import logs, service_manager
from stoker.transport import Transport
from stoker.transport.simulated import SimulatedTransport
from stoker.transport.ssh import SshTransport

_LOG = logging.getLogger("stoker.app")  # also when this module is the program
MAX_BODY = 16 * 1024 * 1024
DRAIN_SECONDS = 5


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
    database = Database(config.database_url, password=config.database_password, connections=config.database_connections)
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
        swept = store.sweep({(row.name, row.version) for row in rows})
    if swept:
        _LOG.warning("deleted what interrupted installations left: %s", ", ".join(swept))
    transports: dict[str, Transport] = {
        "ssh": SshTransport(trust_first=HostKeys(database).trust_first),
        "simulated": SimulatedTransport(config.fleet),
    }
    orchestrator = Orchestrator(database, vault, store, transports)
    context = ServerContext(
        config=config, database=database, vault=vault, store=store, transports=transports, orchestrator=orchestrator
    )
    ensure_admin_token(context)
    ensure_default(context)
    return context


def build_app(context: ServerContext) -> Litestar:
    """The HTTP application: every module of ``stoker.api`` with a ``router`` is a resource."""

    def give_context() -> ServerContext:
        return context

    app = Litestar(
        route_handlers=routers(),
        dependencies={"context": Provide(give_context, sync_to_thread=False)},
        exception_handlers=HANDLERS,
        request_max_body_size=MAX_BODY,
        lifespan=[_lifespan(context)],
        logging_config=None,
        on_app_init=[_quiet],
        request_class=JsonRequest,
        guards=[refuse_unknown],
        openapi_config=description(),
    )
    app.asgi_handler = Observed(
        Door(app.asgi_handler, allowed_hosts(context.config), token_hashes(context), open_paths(context.config))
    )
    return app


def routers() -> list[Router]:
    """The routers of all resources."""
    modules = [importlib.import_module(f"{api.__name__}.{info.name}") for info in pkgutil.iter_modules(api.__path__)]
    return [router for module in modules if isinstance(router := getattr(module, "router", None), Router)]


def _quiet(config: AppConfig) -> AppConfig:
    config.debug = False
    return config


def _lifespan(context: ServerContext) -> Callable[[Litestar], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(_app: Litestar) -> AsyncIterator[None]:
        context.loop = asyncio.get_running_loop()
        if context.orchestrator is not None:
            await context.orchestrator.recover()
        alive = asyncio.create_task(service_manager.keep_alive(), name="service manager")
        try:
            yield
        finally:
            alive.cancel()
            if context.orchestrator is not None:
                await context.orchestrator.close()
            context.loop = None

    return run


class _Server(uvicorn.Server):
    """Says where it is as soon as it listens."""

    stoker: ServerConfig

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        port = next((s.sockets[0].getsockname()[1] for s in self.servers if s.sockets), self.stoker.port)
        url = self.stoker.url.rsplit(":", 1)[0] + f":{port}"
        _LOG.info("listening on %s, admin token in %s", url, self.stoker.token_file)
        service_manager.notify("READY=1", f"STATUS=listening on {url}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service_manager.notify("STOPPING=1")
        await super().shutdown(sockets)


@contextmanager
def _alone(config: ServerConfig) -> Iterator[None]:
    """Two servers on one data folder would carry out deployments twice."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (config.data_dir / "server.lock").open("w")
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {config.data_dir} cannot be used: {error.strerror}.",
            remedy="Name a folder that this user may write with --data, STOKER_DATA or data_dir.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"another server runs with the data folder {config.data_dir}.",
                remedy="Stop it, or choose another folder with --data.",
            ) from error
        yield


def _listen(config: ServerConfig) -> list[socket.socket]:
    """Take the port before anything else is opened; every address of the host's name has it.

    Raises:
        ConfigurationError: this machine has no such address.
        StokerError: the port is in use, or not for this user.
    """
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"the server cannot listen on {config.host}: the name has no address.", remedy="Give an address with --listen."
        ) from error
    taken: list[socket.socket] = []
    port = config.port
    with contextlib.ExitStack() as stack:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            made = stack.enter_context(socket.socket(family, kind, protocol))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                made.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    continue  # e.g. localhost is ::1, too, where the machine has no IPv6
                raise _cannot_listen(config, error) from error
            port = made.getsockname()[1]
            taken.append(made)
        stack.pop_all()
    if not taken:
        raise _cannot_listen(config, OSError(errno.EADDRNOTAVAIL, ""))
    return taken


def _cannot_listen(config: ServerConfig, error: OSError) -> StokerError:
    """Which port of which address, why, and what to do."""
    what = f"the server cannot listen on {config.host} port {config.port}"
    if error.errno == errno.EADDRINUSE:
        return StokerError(
            f"{what}: the port is in use.",
            remedy=f"Stop what uses it ('ss -ltnp sport = :{config.port}' shows it), or choose another port with --listen.",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(f"{what}: this machine has no such address.", remedy="Give one that it has with --listen.")
    return StokerError(f"{what}: {error.strerror}.", remedy="Choose another port with --listen, e.g. one above 1023.")


def serve(config: ServerConfig) -> None:
    """Run the server until it is told to stop; attempts on nodes run on and are picked up at the next start.

    Raises:
        ConfigurationError: the configuration does not fit, or another server uses the data folder.
        StokerError: the port cannot be had.
    """
    with _alone(config):
        sockets = _listen(config)
        vault = open_vault(config)
        logs.set_up(config.log_format, config.log_level, vault.redact)
        certificate, key = _tls(config)
        context = build_context(config, vault)
        settings = uvicorn.Config(
            build_app(context),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        server = _Server(settings)
        server.stoker = config
        try:
            server.run(sockets=sockets)
        finally:
            context.database.close()
        if not server.started:
            raise StokerError("the server did not start.", remedy="The log says why.")


def _tls(config: ServerConfig) -> tuple[Path | None, Path | None]:
    if not config.uses_tls:
        return None, None
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigurationError("tls_cert and tls_key belong together.", remedy="Give both, or none to have a certificate made.")
    if config.tls_cert is not None and config.tls_key is not None:
        certificate, key = config.tls_cert, config.tls_key
        _check_certificate(certificate, key)
    else:
        certificate, key = ensure_certificate(config.data_dir / "tls", allowed_hosts(config))
    _LOG.info("certificate %s, SHA-256 fingerprint %s", certificate, fingerprint(certificate))
    return certificate, key


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the certificate {certificate} with the key {key} cannot be used: {error.strerror or error}.",
            remedy="Give a certificate and its key in PEM with --tls-cert and --tls-key.",
        ) from error


def main() -> None:
    """``python -m stoker.app --config-json DOCUMENT``: what ``stoker serve`` becomes."""
    parser = argparse.ArgumentParser(prog="stoker serve")
    parser.add_argument("--config-json", required=True)
    try:
        serve(read_config(parser.parse_args().config_json))
    except StokerError as error:
        sys.stderr.write(f"error: {error.detail}\n" + (f"remedy: {error.remedy}\n" if error.remedy else ""))
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
