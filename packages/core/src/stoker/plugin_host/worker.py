# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A worker as the server sees it: one process in which the code of one plugin version runs."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from stoker_sdk.worker.protocol import CALL, HELLO, PROTOCOL, STOP, WORKER_SOCKET, Call, Fault, Hello

from stoker.errors import WorkerError
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.worker_connections import ProtocolError, WorkerConnections
from stoker.plugin_host.worker_output import Output, collect

_LOG = logging.getLogger(__name__)
START_SECONDS: Final = 20.0
"""How long a worker may take until it answers."""
SPOKEN: Final = frozenset({PROTOCOL})
"""Versions of the protocol that this server speaks: the current one and the one before."""
_OK: Final = 200
_BROKEN: Final = (OSError, EOFError, ProtocolError)
_LAST_WORDS: Final = 1.0
_ENDING_SECONDS: Final = 3.0
"""How long the end of a process may take after its connections ended."""


class Worker:
    """One running worker; made by :func:`start`."""

    def __init__(self, plugin: str, version: str, start: Start, process: asyncio.subprocess.Process, output: Output) -> None:
        """Take a process that was started."""
        self.plugin = plugin
        self.version = version
        self.socket = start.folder / WORKER_SOCKET
        self.hello = Hello(protocols=[], plugin=plugin, version=version, sdk="")
        self.leaving = asyncio.Event()
        """Set when it shall go: streams end and tell their clients to come again."""
        self.gone = asyncio.Event()
        """Set when its process has ended and nothing of it is left."""
        self.start = start
        self._process = process
        self._output = output
        self._connections = WorkerConnections(self.socket)
        self._ended: tuple[str, str] | None = None
        self._first: int | None = None
        self.out_of_memory = False
        self.following: asyncio.Task[None] | None = None
        """Who clears up behind it."""
        self._following = asyncio.create_task(self._follow(), name=f"worker of {plugin} {version}")

    @property
    def pid(self) -> int:
        """Its process, or the one that it stands behind."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.returncode is None and self._ended is None

    async def call(self, call: Call) -> bytes:
        """Call a function of the plugin; gives its result as JSON.

        Raises:
            WorkerError: it gave none; ``reason`` says why. A deadline that passes ends the whole process.
        """
        try:
            async with asyncio.timeout(call.deadline):
                status, body = await self._connections.ask("POST", CALL, msgspec.json.encode(call))
        except TimeoutError as error:
            what = f"{call.function} took more than {call.deadline:g} seconds; its process was ended"
            self.kill("interrupted", f"its process was ended, because {call.function} took more than {call.deadline:g} seconds")
            raise self._error("deadline", what) from error
        except _BROKEN as error:
            raise await self._explain(error) from error
        if status == _OK:
            return body
        try:
            fault = msgspec.json.decode(body, type=Fault)
        except msgspec.DecodeError as error:
            self.kill("interrupted", "its process was ended, because it answered what is no answer")
            raise self._error("protocol", "its process answers what is no answer; it was ended") from error
        reason = "memory" if fault.message.startswith("MemoryError") else fault.kind
        raise self._error(reason, f"{_VERBS[fault.kind]} {fault.message}", fault.traceback)

    async def greet(self) -> None:
        """Wait until it answers, and learn what it is.

        Raises:
            WorkerError: it does not start.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                status, body = await self._connections.ask("GET", HELLO)
            if status != _OK:
                fault = msgspec.json.decode(body, type=Fault)
                raise self._error("start", f"its code cannot be loaded: {fault.message}", fault.traceback)
            self.hello = msgspec.json.decode(body, type=Hello)
            self._first = _child(self._process.pid) if self.start.confined else None
        except TimeoutError as error:
            raise self._error("start", f"its code was not loaded in {START_SECONDS:g} seconds", self._output.tail()) from error
        except msgspec.DecodeError as error:
            raise self._error("protocol", "its process answers what is no answer") from error
        except _BROKEN as error:
            raise await self._explain(error, starting=True) from error
        if not SPOKEN & {*self.hello.protocols}:
            raise self._error(
                "protocol",
                f"its SDK {self.hello.sdk} speaks versions {self.hello.protocols} of the worker protocol",
                remedy=f"This server speaks {sorted(SPOKEN)}: build the plugin with an SDK that does, too.",
            )
        if (self.hello.plugin, self.hello.version) != (self.plugin, self.version):
            raise self._error("start", f"its code says that it is {self.hello.plugin} {self.hello.version}")

    async def answers(self) -> bool:
        """Whether it takes a new connection and answers; waits as long as it takes."""
        connections = WorkerConnections(self.socket)
        try:
            return (await connections.ask("GET", HELLO))[0] == _OK or not self.alive
        except _BROKEN:
            return not self.alive
        finally:
            connections.close()

    async def stop(self, seconds: float = 3.0) -> None:
        """Let it end by itself for some seconds; then nothing of it is left."""
        self.leaving.set()
        if self.alive:
            with suppress(TimeoutError, *_BROKEN):
                async with asyncio.timeout(seconds):
                    await self._connections.ask("POST", STOP)
                    await self._process.wait()
        self.kill("interrupted", "its process was stopped")
        await self.gone.wait()

    def kill(self, reason: str, what: str) -> None:
        """End it at once, with everything that it started; what is being asked of it fails with this reason."""
        if self._ended is None:
            self._ended = (reason, what)
            self.out_of_memory = reason == "memory"
        self._end_processes()

    def _end_processes(self) -> None:
        """In a sandbox the end of its first process is the end of all; a control group knows all; else somebody tends them."""
        if self.start.group is not None:
            self.start.group.kill()
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                if self.start.tended:
                    self._process.terminate()
                else:
                    os.killpg(self._process.pid, signal.SIGKILL)

    async def _follow(self) -> None:
        """See the process to its end, and clear up behind it."""
        assert self._process.stdout is not None
        reading = asyncio.create_task(collect(self._process.stdout, self._output))
        await self._process.wait()
        if self.start.group is not None:
            self.out_of_memory |= await asyncio.to_thread(self.start.group.ran_out_of_memory)
        await self._nothing_left()
        await asyncio.wait([reading], timeout=_LAST_WORDS)
        reading.cancel()
        self._connections.close()
        await asyncio.to_thread(shutil.rmtree, self.start.folder, ignore_errors=True)
        self.leaving.set()
        self.gone.set()

    async def _nothing_left(self) -> None:
        """Wait until the processes in its sandbox or control group are gone."""
        for _ in range(200):
            if await asyncio.to_thread(self._is_clear):  # the kernel takes its time to give much memory back
                return
            await asyncio.sleep(0.01)
        _LOG.warning("processes of plugin %s %s do not end", self.plugin, self.version, extra={"plugin": self.plugin})

    def _is_clear(self) -> bool:
        """Whether nothing lives in its sandbox or control group, which is then gone."""
        group = self.start.group
        if group is not None:
            group.kill()
        return not (self._first is not None and _lives(self._first)) and (group is None or group.remove())

    async def _explain(self, error: BaseException, *, starting: bool = False) -> WorkerError:
        """Why an answer did not come."""
        if isinstance(error, ProtocolError):
            self.kill("interrupted", f"its process was ended, because {error}")
            return self._error("protocol", f"{error}; its process was ended")
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_SECONDS):
                await self._process.wait()
        if self._ended is not None:
            return self._error(*self._ended)
        if self._process.returncode is None:
            self.kill("interrupted", "its process was ended, because it closed its socket")
            return self._error("protocol", "it closed its connection; its process was ended")
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * _LAST_WORDS):
                await self.gone.wait()
        if self.out_of_memory:
            return self._error("memory", f"it used more than its {self.start.memory} MiB of memory; its process was ended")
        how = _how(self._process.returncode)
        return self._error("start" if starting else "died", f"its process ended ({how})", self._output.tail())

    def _error(self, reason: str, detail: str, traceback: str = "", remedy: str = "") -> WorkerError:
        return WorkerError(self.plugin, self.version, reason, f"{detail}.", traceback=traceback, remedy=remedy)


_VERBS: Final = {"raised": "its code raised", "shape": "its code gave what does not fit:", "missing": "its code lacks something:"}


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _child(process: int) -> int | None:
    """The first process in a sandbox: its end is the end of all that are in it."""
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{process}/task/{process}/children").read_text().split()[0])
    return None


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def start(plugin: str, version: str, plan: Start, output: Output) -> Worker:
    """Start a worker's process and wait until it answers.

    Raises:
        WorkerError: it does not start; nothing of it is left.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(plan.folder / WORKER_SOCKET))
        listening.listen(128)
        process = await asyncio.create_subprocess_exec(
            *plan.command,
            "--listen",
            str(listening.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(listening.fileno(),),
            env={},
            cwd="/" if sys.platform != "win32" else None,
        )
    made = Worker(plugin, version, plan, process, output)
    try:
        await made.greet()
    except BaseException:
        made.kill("start", "its process was ended before it answered")
        await asyncio.shield(made.gone.wait())
        raise
    return made
