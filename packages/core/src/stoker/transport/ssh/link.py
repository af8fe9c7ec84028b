# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A held connection to one node over SSH: attempts, looks, facts."""

from __future__ import annotations

import asyncio
import base64
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncssh

from stoker.domain.action import Action, Materials, RebootAction
from stoker.domain.attempt import Outcome, SpoolEntry
from stoker.domain.node import Facts, NodeIdentity, NodeTarget, Observation, ObservedFile, Watch
from stoker.errors import AttemptExistsError, NodeAuthenticationError, NodeError, NodeUnreachableError, NotStartedError
from stoker.transport.ssh import reading, scripts
from stoker.transport.ssh.shell import Reply, Shell

GRACE: Final = 30.0
"""Seconds beyond an attempt's own time-out after which the connection counts as lost."""

_REBOOT_PAUSE: Final = 0.5
_LOOPBACK: Final = "localhost"


class SshLink:
    """One connection with one shell on it; made by ``SshTransport``."""

    def __init__(
        self,
        target: NodeTarget,
        connections: list[asyncssh.SSHClientConnection],
        shell: Shell,
        identity: NodeIdentity,
        root: str,
        clock: tuple[float, float],
        reconnect: Callable[[], Awaitable[SshLink]],
        repositories: Path | None = None,
    ) -> None:
        """Keep what the transport opened.

        ``clock`` is the node's time and its uptime at the same moment, ``repositories`` the socket that is offered.
        """
        self._target = target
        self._connections = connections
        self._shell = shell
        self._root = root
        self._clock = clock
        self._reconnect = reconnect
        self._repositories = repositories
        self._offered = ""
        self.identity = identity

    async def facts(self) -> Facts:
        """Read what the node is."""
        reply = await self._ask("S_facts %s")
        return reading.read_facts(reply.output, self.identity.boot_id)

    async def observe(self, watch: Watch) -> Observation:
        """Look at files, packages and services."""
        files: dict[str, ObservedFile] = {}
        if watch.files:
            names = shlex.join(watch.files)
            seen = await self._ask(f"S_observe %s {names}")
            contents = await self._ask(f"S_contents %s {names}")
            files = reading.read_files(watch.files, seen.output, contents.output)
        packages = {}
        if watch.packages:
            packages = reading.read_packages((await self._ask(f"S_packages %s {shlex.join(watch.packages)}")).output)
        services = {}
        if watch.services:
            services = reading.read_services(watch.services, (await self._ask(f"S_units %s {shlex.join(watch.services)}")).output)
        return Observation(files=files, packages=packages, services=services)

    async def execute(self, attempt: str, action: Action, materials: Materials, timeout: float) -> Outcome:
        """Claim, start and wait, as ``NodeLink.execute`` says."""
        files = self._files(action, materials)
        parts = [f"S_begin %s {attempt}"]
        parts += [_text_part("run", files.run)]
        if files.before:
            parts.append(_text_part("before", files.before))
        if files.environment:
            parts.append(_text_part("env", files.environment))
        for name, data in files.contents.items():
            parts.append(f"S_binary {name} {base64.b64encode(data).decode() or chr(39) * 2} {len(data)}")
        request = f"{parts[0]} && {{ {' && '.join(parts[1:])} || {{ S_refuse; false; }}; }} && S_claim {timeout:.3f}"
        try:
            reply = await self._ask(request, timeout + GRACE)
        except NodeUnreachableError:
            if not isinstance(action, RebootAction):
                raise
            return await self._after_reboot(attempt, timeout)
        except NodeError as error:  # the agent answered that it could not claim the attempt; it left nothing behind
            detail = error.detail.removeprefix(f"node {self._target.name}: ")
            raise NotStartedError(self._target.name, detail, remedy=error.remedy) from error
        if reply.words[0] == "exists":
            raise AttemptExistsError(self._target.name, f"attempt {attempt} was claimed before.")
        return self._outcome(reply)

    def _files(self, action: Action, materials: Materials) -> scripts.AttemptFiles:
        try:
            files = scripts.build(action, materials, self._root)
            if "\0" in files.run + files.before + files.environment:
                raise ValueError("a text for the shell holds a NUL character")
        except ValueError as error:
            raise NotStartedError(
                self._target.name, f"the task cannot be run: {error}.", remedy="Mend the plugin's task."
            ) from error
        return files

    async def _after_reboot(self, attempt: str, timeout: float) -> Outcome:
        deadline = time.monotonic() + timeout + GRACE
        before = self.identity.boot_id
        while True:
            await asyncio.sleep(_REBOOT_PAUSE)
            try:
                fresh = await self._reconnect()
            except (NodeUnreachableError, NodeAuthenticationError):  # a node that boots may refuse logins for a moment
                if time.monotonic() > deadline:
                    raise
                continue
            await self._take_over(fresh)
            if self.identity.boot_id != before:
                return self._outcome(await self._ask(f"S_rebooted %s {attempt}"))
            if time.monotonic() > deadline:
                raise NodeUnreachableError(self._target.name, f"it did not reboot within {timeout:g} seconds.")

    async def _take_over(self, other: SshLink) -> None:
        await self.close()
        self._connections, self._shell = other._connections, other._shell
        self.identity, self._clock = other.identity, other._clock
        if self._offered:
            await self.offer(self._offered)

    async def look(self, attempt: str) -> SpoolEntry:
        """What the spool says of an attempt."""
        reply = await self._ask(f"S_look %s {attempt}")
        state = reply.words[0]
        if state not in ("missing", "claimed", "running", "finished"):
            raise NodeError(self._target.name, f"the spool answered {state!r}.")
        return SpoolEntry(state=state, boot_id=reply.words[1] if len(reply.words) > 1 else "")  # type: ignore[arg-type]

    async def attach(self, attempt: str, timeout: float) -> Outcome:
        """Wait for the end of an attempt that is running or finished."""
        reply = await self._ask(f"S_attach %s {attempt} {int(timeout) + 1}", timeout + GRACE)
        if reply.words[0] != "end":
            raise NodeError(self._target.name, f"attempt {attempt} neither runs nor ended ({reply.words[0]}).")
        return self._outcome(reply)

    async def offer(self, way: str) -> None:
        """Let the node fetch package repositories, as ``NodeLink.offer`` says."""
        if self._repositories is None:
            raise NodeError(self._target.name, "this server serves no package repositories.", remedy="Start it anew.")
        try:
            listener = await self._connections[-1].forward_remote_port_to_path(_LOOPBACK, 0, str(self._repositories))
        except asyncssh.ChannelListenError as error:
            raise NodeError(
                self._target.name,
                "its sshd does not let this connection listen on a port there, and package repositories come that way.",
                remedy="Set 'AllowTcpForwarding yes' (or remote) in its sshd_config, or give the server a repository_url that"
                " nodes can reach.",
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise NodeUnreachableError(self._target.name, "the connection was lost.", remedy="Check the node.") from error
        await self._ask(f"S_way %s {shlex.quote(way)} {listener.get_port()}")
        self._offered = way

    async def forget(self, attempts: list[str]) -> None:
        """Delete finished attempts from the spool."""
        if attempts:
            await self._ask(f"S_forget %s {shlex.join(attempts)}")

    async def close(self) -> None:
        """Close the connection; attempts that run go on."""
        self._shell.close()
        for connection in reversed(self._connections):
            connection.abort()

    async def _ask(self, request: str, timeout: float = 120.0) -> Reply:
        return await self._shell.ask(request, timeout)

    def _outcome(self, reply: Reply) -> Outcome:
        """``end STATUS CHANGED UPTIME_AT_START UPTIME_AT_END``, or ``gone STATUS``."""
        output = reply.output.decode(errors="replace")
        words = reply.words
        if words[0] == "end" and len(words) == 5:
            now, uptime = self._clock
            started, finished = (now - uptime + float(words[3]), now - uptime + float(words[4]))
            return Outcome(
                exit_status=int(words[1]), output=output, changed=words[2] == "1", started_at=started, finished_at=finished
            )
        if words[0] == "gone" and len(words) == 2:
            text = f"{output}\nthe end could not be written into the spool (exit status {words[1]})"
            return Outcome(exit_status=int(words[1]) or 1, output=text)
        raise NodeError(self._target.name, f"the agent answered {' '.join(words)!r}.", remedy="See the node's spool.")


def _text_part(name: str, text: str) -> str:
    return f"S_text {name} {shlex.quote(text)}"
