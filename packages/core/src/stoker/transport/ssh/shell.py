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

_AGENT: Final = "".join(
    f"{line}\n"
    for line in (resources.files("stoker.transport.ssh") / "agent.sh").read_text().splitlines()
    if line and not line.startswith("#")
)
_MOST_COMPLAINT: Final = 4096


class Reply(msgspec.Struct, frozen=True):
    """What a request printed, and the words that ended it."""

    output: bytes
    words: list[str]


class Shell(asyncssh.SSHClientSession[bytes]):
    """Talks with the agent; it answers requests in their order. Bytes are taken as they come, without streams between."""

    def __init__(self, node: str) -> None:
        """Make the session for ``create_session``."""
        self._node = node
        self._token = secrets.token_hex(12)
        self._mark = f"\n@{self._token} ".encode()
        self._sequence = 0
        self._buffer = bytearray()
        self._complaint = b""
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._ended = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the way in."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Cut what comes into answers; what an abandoned request printed goes with its own."""
        if datatype is not None:
            self._complaint = (self._complaint + data)[-_MOST_COMPLAINT:]
            return
        searched = max(len(self._buffer) - len(self._mark), 0)
        self._buffer += data
        while (found := self._buffer.find(self._mark, searched)) >= 0:
            end = self._buffer.find(b"\n", found + len(self._mark))
            if end < 0:
                return
            number, *words = self._buffer[found + len(self._mark) : end].decode(errors="replace").split()
            output = bytes(self._buffer[:found])
            del self._buffer[: end + 1]
            searched = 0
            future = self._waiting.pop(number, None)
            if future is not None and not future.done():
                future.set_result(Reply(output, words or ["error"]))

    def eof_received(self) -> bool:
        """The shell ended: nobody needs to wait any longer."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns that the connection is gone."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._lost())
        self._waiting.clear()

    async def start(self, root: str) -> list[str]:
        """Send the agent and greet it; answers boot id, spool id and the node's clock.

        Raises:
            NodeAuthenticationError: sudo wants a password.
            NodeUnreachableError: the shell ended.
        """
        try:
            return (await self.ask("S_hello %s", 60, f"S_ROOT={shlex.quote(root)} S_TOKEN={self._token}\n{_AGENT}")).words
        except NodeUnreachableError as error:
            await asyncio.sleep(0)  # its last words may come after its end
            said = self._complaint.decode(errors="replace").strip()
            if said:
                raise NodeAuthenticationError(
                    self._node, f"no shell: {said}.", remedy="Allow the user to run sudo without a password, or log in as root."
                ) from error
            raise

    async def ask(self, request: str, timeout: float, before: str = "") -> Reply:
        """Send a request (``%s`` is where its number goes) and wait for its answer.

        Raises:
            NodeUnreachableError: the connection was lost meanwhile, or there was no answer in ``timeout`` seconds.
            NodeError: the agent could not do it; says why.
        """
        self._sequence += 1
        number = str(self._sequence)
        if self._ended or self._channel is None:
            raise self._lost()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting[number] = future
        try:
            self._channel.write((before + "{ " + request.replace("%s", number, 1) + "\n}\n").encode())
        except (OSError, asyncssh.Error) as error:
            del self._waiting[number]
            raise self._lost() from error
        timer = loop.call_later(timeout, self._expire, number, timeout)
        try:
            reply = await future
        finally:
            timer.cancel()
        if reply.words[0] == "error":
            reason = " ".join(reply.words[1:]) or "the agent failed"
            raise NodeError(
                self._node, f"{reason}.", remedy="Make room below /var/lib/stoker on the node, or check its permissions."
            )
        return reply

    def _expire(self, number: str, timeout: float) -> None:
        future = self._waiting.pop(number, None)
        if future is not None and not future.done():
            detail = f"it did not answer within {timeout:g} seconds."
            future.set_exception(NodeUnreachableError(self._node, detail, remedy="Check the node; it may hang."))
            self.close()

    def _lost(self) -> NodeUnreachableError:
        return NodeUnreachableError(self._node, "the connection was lost.", remedy="Check the node and its network.")

    def close(self) -> None:
        """End the shell; what it started goes on."""
        self._end()
        if self._channel is not None:
            self._channel.close()
