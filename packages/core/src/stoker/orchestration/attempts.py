# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One attempt on one node, followed to its end across lost connections, reboots and servers that died."""

from __future__ import annotations

import asyncio
import time

import msgspec

from stoker.domain.action import Action, Materials, RebootAction
from stoker.domain.attempt import Outcome
from stoker.domain.node import NodeIdentity, NodeTarget
from stoker.errors import (
    AttemptExistsError,
    HostKeyChangedError,
    NodeAuthenticationError,
    NodeError,
    NodeUnreachableError,
)
from stoker.transport import NodeLink, Transport

GRACE_SECONDS = 10.0
"""How much longer than the node itself we wait for an attempt's end."""
CLAIM_SECONDS = 2.0
"""How long a claimed attempt may be without a process before nobody knows what became of it."""
_BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

TIMED_OUT = 124
UNREACHABLE = 255


class Unknown(msgspec.Struct, frozen=True):
    """Nobody can know whether an attempt ran, or how far it came."""

    reason: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to begin or to find an attempt again."""

    id: str
    node: str
    """The node's name, for errors."""
    action: Action
    timeout: float
    boot_id: str
    """The boot in which it was dispatched."""
    spool_id: str
    """The spool in which it was dispatched."""
    deadline: float
    """When the client gives up on it, seconds since the epoch."""


class Connector:
    """Holds the connection to one node and makes it anew when it is lost."""

    def __init__(self, target: NodeTarget, transport: Transport, gate: asyncio.Semaphore, way: str = "") -> None:
        """Take what is needed to connect.

        Args:
            target: the node.
            transport: the way to it.
            gate: bounds how many nodes are connected to at once.
            way: if given, each connection offers the node the package repositories under this name.
        """
        self.target = target
        self._transport = transport
        self._gate = gate
        self._way = way
        self._link: NodeLink | None = None

    async def link(self, deadline: float) -> NodeLink:
        """The connection, made if there is none; tried again and again until ``deadline``.

        Raises:
            NodeUnreachableError: nobody answered until then.
            NodeAuthenticationError: the node refuses us; trying again would not help.
            HostKeyChangedError: likewise.
        """
        tries = 0
        while self._link is None:
            try:
                async with self._gate:
                    self._link = await self._connect(min(15.0, max(1.0, deadline - time.time())))
            except (NodeAuthenticationError, HostKeyChangedError):
                raise
            except NodeUnreachableError:
                pause = _BACKOFF[min(tries, len(_BACKOFF) - 1)]
                tries += 1
                if time.time() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
        return self._link

    async def _connect(self, timeout: float) -> NodeLink:
        link = await self._transport.connect(self.target, timeout)
        if self._way:
            try:
                await asyncio.wait_for(link.offer(self._way), timeout)
            except BaseException as error:
                await link.close()
                if isinstance(error, TimeoutError):
                    raise NodeUnreachableError(self.target.name, "it did not answer in time.") from error
                raise
        return link

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._link is not None

    async def drop(self) -> None:
        """Close the connection, if there is one; attempts on the node run on."""
        link, self._link = self._link, None
        if link is not None:
            try:
                await asyncio.wait_for(link.close(), 5.0)
            except (NodeError, OSError, TimeoutError):
                return  # it was broken already


async def follow(connector: Connector, attempt: Attempt, materials: Materials, *, begin: bool) -> Outcome | Unknown:
    """Carry an attempt to its end.

    Args:
        connector: the way to the node.
        attempt: the attempt; its dispatch is on disk.
        materials: contents and secrets.
        begin: start it. Otherwise it may have been started before: look first.

    Raises:
        NotStartedError: it was not claimed; nothing was started.
        NodeError: the node did not tell until the deadline, or refuses us.
    """
    lost: NodeError | None = None
    while True:
        try:
            link = await connector.link(attempt.deadline)
            if begin:
                begin = False
                return await _execute(link, attempt, materials)
            verdict = await asyncio.wait_for(_inspect(link, attempt), max(1.0, attempt.deadline - time.time()))
            if verdict is not None:
                return verdict
            begin = True
        except AttemptExistsError:
            continue  # it was claimed before: look at it
        except NodeUnreachableError as error:
            lost = error
        except TimeoutError:
            lost = None
        await connector.drop()
        if time.time() >= attempt.deadline:
            raise lost or NodeError(attempt.node, "it did not tell in time how the attempt ended.")
        await asyncio.sleep(_BACKOFF[0])


async def _execute(link: NodeLink, attempt: Attempt, materials: Materials) -> Outcome:
    patience = max(attempt.timeout, 0.1) + GRACE_SECONDS
    outcome = await asyncio.wait_for(link.execute(attempt.id, attempt.action, materials, attempt.timeout), patience)
    if isinstance(attempt.action, RebootAction) and outcome.ok and outcome.changed and link.identity.boot_id == attempt.boot_id:
        raise NodeUnreachableError(attempt.node, "it is rebooting.")
    return outcome


async def _inspect(link: NodeLink, attempt: Attempt) -> Outcome | Unknown | None:
    """What became of an attempt; ``None``: it was never claimed, so it can be started under the same id."""
    identity: NodeIdentity = link.identity
    same = (identity.boot_id, identity.spool_id) == (attempt.boot_id, attempt.spool_id)
    rebooting = isinstance(attempt.action, RebootAction)
    if rebooting and identity.boot_id != attempt.boot_id:
        return Outcome(exit_status=0, output="The node answers with another boot id.", finished_at=time.time())
    if identity.spool_id != attempt.spool_id:
        return Unknown("the node's spool was lost")
    until = time.time() + CLAIM_SECONDS
    while True:
        entry = await link.look(attempt.id)
        if entry.state == "finished" and not rebooting:
            return await link.attach(attempt.id, max(1.0, attempt.deadline - time.time()))
        if entry.state == "finished":
            return await _rebooted(link, attempt)
        if not same:
            return Unknown("the node rebooted while it ran")
        if entry.state == "running":
            return await link.attach(attempt.id, max(1.0, attempt.deadline - time.time()))
        if entry.state == "missing":
            return None
        if time.time() > until and not rebooting:
            return Unknown("it was claimed on the node, but neither runs nor has ended")
        await asyncio.sleep(0.2)


async def _rebooted(link: NodeLink, attempt: Attempt) -> Outcome:
    """A reboot's own command has ended: in the same boot that counts only if it failed or had nothing to do."""
    outcome = await link.attach(attempt.id, max(1.0, attempt.deadline - time.time()))
    if outcome.ok and outcome.changed:
        raise NodeUnreachableError(attempt.node, "it is rebooting.")
    return outcome
