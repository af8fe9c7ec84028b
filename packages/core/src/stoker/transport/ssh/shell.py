# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The one long-lived shell on a node: requests go in as one line, answers come back framed."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from importlib import resources
from typing import Final

import asyncssh
import msgspec

from stoker.errors import NodeAuthenticationError, NodeError, NodeUnreachableError

_AGENT: Final = (resources.files("stoker.transport.ssh") / "agent.sh").read_text()


class Reply(msgspec.Struct, frozen=True):
    """What a request printed, and the words that ended it."""

    output: bytes
    words: list[str]


class Shell:
    """Talks with the agent; one request at a time."""

    def __init__(self, node: str, process: asyncssh.SSHClientProcess[bytes]) -> None:
        """Use a process that was just started."""
        self._node = node
        self._process = process
        self._token = secrets.token_hex(12)
        self._sequence = 0
        self._lock = asyncio.Lock()
        self._buffer = b""

    async def start(self, root: str) -> list[str]:
        """Send the agent and greet it; answers boot id, spool id and the node's clock.

        Raises:
            NodeAuthenticationError: sudo wants a password.
            NodeUnreachableError: the shell ended.
        """
        self._process.stdin.write(f"S_ROOT={shlex.quote(root)} S_TOKEN={self._token}\n{_AGENT}\n".encode())
        try:
            reply = await self.ask("S_hello %s")
        except NodeUnreachableError as error:
            said = (await self._process.stderr.read(4096)).decode(errors="replace").strip()
            if said:
                raise NodeAuthenticationError(
                    self._node, f"no shell: {said}.", remedy="Allow the user to run sudo without a password, or log in as root."
                ) from error
            raise
        return reply.words

    async def ask(self, request: str) -> Reply:
        """Send a request (``%s`` is where its number goes) and wait for its answer.

        Raises:
            NodeUnreachableError: the connection was lost meanwhile.
            NodeError: the agent could not do it; says why.
        """
        async with self._lock:
            self._sequence += 1
            number = str(self._sequence)
            line = "{ " + request.replace("%s", number, 1) + "\n}\n"
            try:
                self._process.stdin.write(line.encode())
            except (OSError, asyncssh.Error) as error:
                raise self._lost() from error
            reply = await self._read(number)
        if reply.words[0] == "error":
            reason = " ".join(reply.words[1:]) or "the agent failed"
            raise NodeError(
                self._node, f"{reason}.", remedy="Make room below /var/lib/stoker on the node, or check its permissions."
            )
        return reply

    async def _read(self, number: str) -> Reply:
        mark = f"\n@{self._token} {number} ".encode()
        searched = 0
        while True:
            found = self._buffer.find(mark, max(searched - len(mark), 0))
            if found >= 0:
                end = self._buffer.find(b"\n", found + len(mark))
                if end >= 0:
                    words = self._buffer[found + len(mark) : end].decode(errors="replace").split()
                    # what an abandoned request left comes first; it ends with its own mark
                    stale = self._buffer.rfind(f"\n@{self._token} ".encode(), 0, found)
                    begin = self._buffer.index(b"\n", stale + 1) + 1 if stale >= 0 else 0
                    output = self._buffer[begin:found]
                    self._buffer = self._buffer[end + 1 :]
                    return Reply(output, words or ["error"])
            searched = len(self._buffer)
            try:
                data = await self._process.stdout.read(65536)
            except (OSError, asyncssh.Error) as error:
                raise self._lost() from error
            if not data:
                raise self._lost()
            self._buffer += data

    def _lost(self) -> NodeUnreachableError:
        return NodeUnreachableError(self._node, "the connection was lost.", remedy="Check the node and its network.")

    def close(self) -> None:
        """End the shell; what it started goes on."""
        self._process.close()
