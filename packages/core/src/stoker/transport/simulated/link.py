# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server's side of modelled nodes: one pipelined connection to the fleet, shared by all links."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from stoker.domain.action import Action, CommandAction, FilesAction, KindAction, Materials, RebootAction
from stoker.domain.attempt import Outcome, SpoolEntry
from stoker.domain.node import Facts, NodeIdentity, NodeTarget, Observation, Watch
from stoker.errors import (
    AttemptExistsError,
    HostKeyChangedError,
    NodeAuthenticationError,
    NodeError,
    NodeUnreachableError,
    NotStartedError,
)
from stoker.transport.simulated.messages import ENCODER, Answer, Frames, Operation, Request, frame
from stoker.transport.slices import Slices

T = TypeVar("T")

_ANSWER: Final = msgspec.msgpack.Decoder(Answer)
_ERRORS: Final[dict[str, type[NodeError]]] = {
    "unreachable": NodeUnreachableError,
    "dropped": NodeUnreachableError,
    "authentication": NodeAuthenticationError,
    "exists": AttemptExistsError,
    "full-disk": NotStartedError,
}
_REMEDIES: Final = {
    "unreachable": "See 'stoker fleet status'.",
    "authentication": "Put the credential's public key into the node's authorized_keys.",
    "full-disk": "Make room below /var/lib/stoker on the node.",
}


class FleetClient(asyncio.Protocol):
    """One connection to a fleet; requests are numbered, answers may come in any order."""

    def __init__(self) -> None:
        """Start unconnected; use ``open``."""
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0
        self._out: list[bytes] = []
        self._answers = Slices(self._hand_on)
        self.closed = False

    @classmethod
    async def open(cls, socket: Path) -> FleetClient:
        """Connect to the fleet's socket. Raises OSError if nobody listens there."""
        _, protocol = await asyncio.get_running_loop().create_unix_connection(cls, str(socket))
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)  # another event loop's transport is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns that the fleet is gone."""
        self.closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_result(Answer(0, error="unreachable", detail="the fleet of simulated nodes is gone"))
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Hand each answer to whoever waits for it."""
        self._answers.add(self._frames.feed(data))

    def _hand_on(self, body: bytes) -> None:
        answer = _ANSWER.decode(body)
        future = self._waiting.pop(answer.number, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, operation: Operation, node: str = "", data: object = None, **fields: Any) -> Answer:  # noqa: ANN401  fields of Request
        """Send a request and wait for its answer; requests of one turn of the loop leave together."""
        self._number += 1
        number = self._number
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if self.closed or self._transport is None:
            return Answer(number, error="unreachable", detail="the fleet of simulated nodes is gone")
        self._waiting[number] = future
        request = Request(number, operation, node, data=msgspec.Raw(ENCODER.encode(data)), **fields)
        if not self._out:
            loop.call_soon(self._flush)
        self._out.append(frame(request))
        return await future

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()


class SimulatedLink:
    """One held connection to a modelled node."""

    def __init__(self, client: FleetClient, name: str, identity: NodeIdentity) -> None:
        """Use the fleet's connection for this node."""
        self._client = client
        self._name = name
        self.identity = identity

    async def _ask(self, kind: type[T], operation: Operation, data: object = None, **fields: Any) -> T:  # noqa: ANN401  fields of Request
        answer = await self._client.ask(operation, self._name, data, **fields)
        return _read(self._name, answer, kind)

    async def facts(self) -> Facts:
        """Read what the node is."""
        return await self._ask(Facts, "facts")

    async def observe(self, watch: Watch) -> Observation:
        """Look at files, packages and services."""
        return await self._ask(Observation, "observe", watch)

    async def execute(self, attempt: str, action: Action, materials: Materials, timeout: float) -> Outcome:
        """Claim, start and wait, as ``NodeLink.execute`` says."""
        contents: dict[str, bytes] = {}
        texts: dict[str, str] = {}
        if isinstance(action, FilesAction):
            contents = {item.content: materials.content(item.content) for item in action.files if item.content}
        elif isinstance(action, CommandAction):
            texts = {name: materials.text(value) for name, value in action.environment.items()}
            if action.script:
                contents = {action.script: materials.content(action.script)}
        elif isinstance(action, KindAction):
            texts = {"parameters": materials.text(action.parameters)}
            contents = {action.program: materials.content(action.program)}
        outcome = await self._ask(
            Outcome, "execute", attempt=attempt, action=action, contents=contents, texts=texts, timeout=timeout
        )
        if isinstance(action, RebootAction):
            self.identity = await self._ask(NodeIdentity, "connect")
        return outcome

    async def look(self, attempt: str) -> SpoolEntry:
        """What the spool says of an attempt."""
        return await self._ask(SpoolEntry, "look", attempt=attempt)

    async def attach(self, attempt: str, timeout: float) -> Outcome:
        """Wait for the end of an attempt that is running or finished."""
        return await self._ask(Outcome, "attach", attempt=attempt, timeout=timeout)

    async def offer(self, way: str) -> None:
        """Pretend that the node can fetch package repositories."""
        await self._ask(type(None), "offer", way)

    async def forget(self, attempts: list[str]) -> None:
        """Delete finished attempts from the spool."""
        await self._ask(type(None), "forget", attempts)

    async def close(self) -> None:
        """The fleet's connection stays open for the others."""


def _read(name: str, answer: Answer, kind: type[T]) -> T:
    if answer.error:
        error = _ERRORS.get(answer.error, NodeError)
        raise error(name, f"{answer.detail}.", remedy=_REMEDIES.get(answer.error, ""))
    return msgspec.msgpack.decode(answer.data, type=kind)


class SimulatedTransport:
    """Reaches the nodes of a fleet; a target's address is its name there."""

    def __init__(self, socket: Path) -> None:
        """Use the fleet that listens at this socket."""
        self._socket = socket
        self._client: FleetClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection to the fleet; links that are open say that the fleet is gone."""
        if self._client is not None:
            self._client.close()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn

    async def connect(self, target: NodeTarget, timeout: float = 15.0) -> SimulatedLink:
        """Connect, as ``Transport.connect`` says."""
        client = await self._fleet(target)
        try:
            answer = await asyncio.wait_for(client.ask("connect", target.address), timeout)
        except TimeoutError as error:
            raise NodeUnreachableError(target.name, f"nobody answered within {timeout:g} seconds.") from error
        identity = _read(target.name, answer, NodeIdentity)
        if target.host_key and target.host_key != identity.host_key:
            raise HostKeyChangedError(
                target.name, "it shows another host key than before.", remedy="stoker nodes forget-host-key NODE"
            )
        return SimulatedLink(client, target.address, identity)

    async def pretended(self, target: NodeTarget, actions: list[Action]) -> list[bool]:
        """Commands that are not in the fleet's table, and ports that nobody opens."""
        client = await self._fleet(target)
        return _read(target.name, await client.ask("pretended", target.address, actions), list[bool])

    async def _fleet(self, target: NodeTarget) -> FleetClient:
        async with self._opening:
            if self._client is None or self._client.closed:
                try:
                    self._client = await FleetClient.open(self._socket)
                except OSError as error:
                    detail = f"no fleet of simulated nodes listens at {self._socket}."
                    raise NodeUnreachableError(target.name, detail, remedy="Start one: stoker fleet up --nodes 3") from error
            return self._client
