# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The supervisor: does all the work of a server of several processes, and keeps its API processes alive."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import uvicorn

from stoker.api.plugin_applications import PluginApplications
from stoker.app.api_process import READY, Post
from stoker.app.composition import build_context, build_inner_app
from stoker.app.inside import Inside, inside_socket
from stoker.app.public_settings import DRAIN_SECONDS
from stoker.app.to_workers import ToWorkers
from stoker.config import ServerConfig
from stoker.db.vault import Vault
from stoker.errors import StokerError
from stoker.telemetry import service_manager
from stoker.telemetry.metrics import METRICS

_LOG = logging.getLogger("stoker.app")
_BACKOFF: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_BEHIND: Final = 5
"""How much lower the priority of work is than that of answers."""
_PR_SET_PDEATHSIG: Final = 1
_LONG_LIFE: Final = 10.0
"""Who lived so long is replaced at once."""
_BOOT: Final = f"""
import ctypes, os, runpy, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {signal.SIGKILL:d})
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit("the supervisor is gone")
runpy.run_module("stoker.app", run_name="__main__", alter_sys=True)
"""
"""What an API process begins with, before anything large is loaded: it dies when its supervisor does, however that happens.
Only then a new supervisor can have the port at once."""
_FOR_US_ALONE: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What the service manager tells one process."""


class ApiProcesses:
    """The processes that answer; one that dies is replaced until ``stop``."""

    def __init__(self, config: ServerConfig, post: Post) -> None:
        """Take what each of them is told; its ``link`` is made for each."""
        self._config = config
        self._post = post
        self._spawning = _ordinary_thread()
        self._stopping = asyncio.Event()
        self._alive: dict[int, subprocess.Popen[bytes]] = {}
        self._kept: list[asyncio.Task[None]] = []
        self.ready = asyncio.Event()

    def start(self) -> None:
        """Start all; must be called in the event loop."""
        for number in range(self._config.processes):
            self._kept.append(asyncio.create_task(self._keep(number), name=f"API process {number}"))

    async def stop(self) -> None:
        """Let all end what they do, and wait for them."""
        self._stopping.set()
        for process in self._alive.values():
            process.send_signal(signal.SIGTERM)
        done, late = await asyncio.wait(self._kept, timeout=DRAIN_SECONDS + 3)
        for process in self._alive.values():
            process.kill()
        for task in late:
            task.cancel()
        await asyncio.gather(*done, *late, return_exceptions=True)

    async def _keep(self, number: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            status = await self._live_once(number)
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - begun > _LONG_LIFE else failures + 1
            pause = _BACKOFF[min(failures, len(_BACKOFF) - 1)]
            _LOG.warning("API process %d ended (%s); it is started again%s", number, status, f" in {pause} s" if pause else "")
            await asyncio.sleep(pause)

    async def _live_once(self, number: int) -> str:
        """Start the process and follow it to its end; answers how it ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.get_running_loop().run_in_executor(self._spawning, self._spawn, theirs)
        self._alive[number] = process
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            if await reader.read(len(READY)):
                self.ready.set()
                await reader.read()
        except ConnectionError:
            _LOG.debug("the link to API process %d broke", number)
        finally:
            writer.close()
            self._alive.pop(number, None)
            status = await _end(process)
            METRICS.forget_process(process.pid)
        return status

    def _spawn(self, link: socket.socket) -> subprocess.Popen[bytes]:
        post = msgspec.structs.replace(self._post, link=link.fileno())
        words = ["--config-json", msgspec.json.encode(self._config, enc_hook=str).decode()]
        words += ["--api-process", msgspec.json.encode(post).decode()]
        surroundings = {name: value for name, value in os.environ.items() if name not in _FOR_US_ALONE}
        return subprocess.Popen(
            [sys.executable, "-c", _BOOT, str(os.getpid()), *words],
            pass_fds=(*post.listening, post.link),
            env=surroundings,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _ordinary_thread() -> ThreadPoolExecutor:
    """A thread that starts API processes, at the priority that this process had; this thread, which works, then has a lower one.

    A deployment keeps a processor busy; who asks something meanwhile must not wait for it.
    """
    made = ThreadPoolExecutor(1, thread_name_prefix="spawning")
    made.submit(os.getpid).result()  # it takes the priority that is in force when it begins
    if sys.platform == "linux":  # where a priority is a thread's own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _BEHIND)
    return made


async def _end(process: subprocess.Popen[bytes]) -> str:
    """Wait for a process whose link has ended, and see that it ends, too."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while (status := process.poll()) is None:
        if time.monotonic() > deadline:
            process.kill()
        await asyncio.sleep(0.02)
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


class _Server(uvicorn.Server):
    """Serves the API processes; starts them when it can, stops them before itself."""

    processes: ApiProcesses
    url: str
    stoker: ServerConfig

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.processes.start()
            self.announcing = asyncio.create_task(self._announce(), name="announcement")

    async def _announce(self) -> None:
        await self.processes.ready.wait()
        count = self.stoker.processes
        _LOG.info("listening on %s with %d API processes, admin token in %s", self.url, count, self.stoker.token_file)
        service_manager.notify("READY=1", f"STATUS=listening on {self.url} with {count} API processes")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service_manager.notify("STOPPING=1")
        self.announcing.cancel()
        await self.processes.stop()
        await super().shutdown(sockets)


def supervise(
    config: ServerConfig, vault: Vault, listening: list[socket.socket], certificate: Path | None, key: Path | None
) -> None:
    """Run a server of several processes until it is told to stop.

    Raises:
        StokerError: it did not start.
    """
    metrics = config.data_dir / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)  # what processes counted that are no more
    METRICS.share_through(metrics)
    context = build_context(config, vault)
    for one in listening:
        one.listen(2048)
    with inside_socket(config.data_dir) as (inner, path):
        app = build_inner_app(context)
        app.asgi_handler = Inside(PluginApplications(app.asgi_handler, ToWorkers(context)), context.feed)
        settings = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="on", timeout_graceful_shutdown=DRAIN_SECONDS
        )
        server = _Server(settings)
        server.stoker = config
        server.url = f"{config.url.rsplit(':', 1)[0]}:{listening[0].getsockname()[1]}"
        post = Post(
            listening=[one.fileno() for one in listening],
            link=-1,
            supervisor=str(path),
            certificate=str(certificate or ""),
            key=str(key or ""),
            metrics=str(metrics),
        )

        async def run() -> None:
            server.processes = ApiProcesses(config, post)
            await server.serve(sockets=[inner])

        try:
            with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
                runner.run(run())
        finally:
            context.database.close()
    if not server.started:
        raise StokerError("the server did not start.", remedy="The log says why.")
