# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Starts a worker: loads the plugin by its entry point, and serves it at the socket that the server made."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Final, NoReturn

import uvicorn

from stoker_sdk.worker.application import Application, wrap
from stoker_sdk.worker.calling import Plugin, fault_of
from stoker_sdk.worker.protocol import CORE_SOCKET, WORKER_SOCKET, Fault
from stoker_sdk.worker.serving import Serving

GROUP: Final = "stoker.plugins"
_DRAIN: Final = 3


def load(entry: str) -> tuple[Plugin, Application | None]:
    """Load the plugin and its application.

    Raises:
        BaseException: whatever its code raises.
    """
    from stevedore import DriverManager  # noqa: PLC0415  beside what the plugin's code raises, what its lookup raises
    from stevedore.exception import NoMatches  # noqa: PLC0415

    from stoker_sdk.extension_points.rest_api import RestApi  # noqa: PLC0415
    from stoker_sdk.plugin import Plugin as Declared  # noqa: PLC0415
    from stoker_sdk.worker.calling import find  # noqa: PLC0415

    try:
        manager: DriverManager[object] = DriverManager(
            GROUP, entry, warn_on_missing_entrypoint=False, on_load_failure_callback=_raise
        )
    except NoMatches as error:
        raise LookupError(f"there is no entry point {entry!r} in {GROUP!r}") from error
    declared = manager.driver
    if not isinstance(declared, Declared):
        raise TypeError(f"{entry} is a {type(declared).__name__}, not a stoker_sdk.Plugin")
    api = next((one for one in declared.contributions if isinstance(one, RestApi)), None)
    application = wrap(getattr(find(api.call), "application", None)) if api is not None else None
    return Plugin(name=declared.name, version=declared.version), application


def _raise(_manager: object, _entry: object, error: BaseException) -> NoReturn:
    raise error


async def serve(serving: Serving, listening: socket.socket) -> None:
    """Serve until the server says stop."""
    settings = uvicorn.Config(
        serving,
        log_config=None,
        access_log=False,
        lifespan="auto",
        http="h11",
        ws="websockets-sansio",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN,
        timeout_keep_alive=3600,
    )
    server = uvicorn.Server(settings)

    async def stop() -> None:
        await serving.stop.wait()
        server.should_exit = True

    stopping = asyncio.create_task(stop())
    await server.serve(sockets=[listening])
    stopping.cancel()


def main() -> None:
    """Do what the command line says, until the end."""
    parser = argparse.ArgumentParser(prog="python -m stoker_sdk.worker", description="Run the code of one plugin version.")
    parser.add_argument("--folder", type=Path, required=True, help="holds the sockets")
    parser.add_argument("--entry", required=True, help=f"the plugin's entry point in {GROUP}")
    parser.add_argument("--listen", type=int, default=-1, help="the descriptor of a socket that listens already")
    given = parser.parse_args()
    if given.listen >= 0:
        listening = socket.socket(fileno=given.listen)
    else:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(given.folder / WORKER_SOCKET))
        listening.listen(128)
    core = given.folder / CORE_SOCKET

    async def run() -> None:
        await serve(_loaded(given.entry, core), listening)

    asyncio.run(run())
    sys.stdout.flush()
    os._exit(0)  # threads of the plugin that go on keep nobody waiting


def _loaded(entry: str, core: Path) -> Serving:
    try:
        plugin, application = load(entry)
    except BaseException as error:  # noqa: BLE001  told to the server, whatever it is
        broken: Fault = fault_of(error)
        return Serving(Plugin(name="", version=""), None, core, broken)
    return Serving(plugin, application, core)


if __name__ == "__main__":
    main()
