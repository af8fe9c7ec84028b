# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reaching nodes: the protocols that every transport keeps; ``ssh`` and ``simulated`` are the two that there are."""

from __future__ import annotations

from typing import Protocol

from stoker.domain.action import Action, Materials
from stoker.domain.attempt import Outcome, SpoolEntry
from stoker.domain.node import Facts, NodeIdentity, NodeTarget, Observation, Watch


class NodeLink(Protocol):
    """One held connection to one node. One attempt at a time; ``close`` leaves running attempts alone."""

    identity: NodeIdentity

    async def facts(self) -> Facts:
        """Read what the node is. Raises NodeUnreachableError."""
        ...

    async def observe(self, watch: Watch) -> Observation:
        """Look at files, packages and services. Raises NodeUnreachableError."""
        ...

    async def execute(self, attempt: str, action: Action, materials: Materials, timeout: float) -> Outcome:
        """Claim the attempt in the node's spool, start it detached, and wait for its end.

        Args:
            attempt: its id, unique for ever: letters, digits, ``.``, ``-`` and ``_``.
            action: what to do.
            materials: gives contents and secrets.
            timeout: seconds after which the node itself kills it (exit status 124).

        Raises:
            AttemptExistsError: it was claimed before; nothing was started. Use ``look`` and ``attach``.
            NotStartedError: it cannot be claimed, e.g. because the disk is full, or cannot even be sent; nothing was started.
            NodeUnreachableError: the connection was lost; the attempt may or may not have been claimed.
        """
        ...

    async def look(self, attempt: str) -> SpoolEntry:
        """What the spool says of an attempt."""
        ...

    async def attach(self, attempt: str, timeout: float) -> Outcome:
        """Wait for the end of an attempt that is running or finished. Raises NodeError if it is neither."""
        ...

    async def offer(self, way: str) -> None:
        """Let the node fetch this server's package repositories, as long as the connection is held.

        Args:
            way: the name under which the node keeps the port, ``ways/WAY`` in Stoker's folder there.

        Raises:
            NodeUnreachableError: the connection was lost.
            NodeError: the node's sshd forwards no ports.
        """
        ...

    async def forget(self, attempts: list[str]) -> None:
        """Delete finished attempts from the spool; unknown ids are ignored."""
        ...

    async def close(self) -> None:
        """Close the connection; attempts that run go on."""
        ...


class Transport(Protocol):
    """Opens connections of one kind."""

    async def connect(self, target: NodeTarget, timeout: float = 15.0) -> NodeLink:
        """Connect and prepare the spool.

        Raises:
            NodeUnreachableError: nobody answers within ``timeout`` seconds.
            NodeAuthenticationError: the node refuses the key, or sudo wants a password.
            HostKeyChangedError: the node shows another key than ``target.host_key``.
        """
        ...

    async def pretended(self, target: NodeTarget, actions: list[Action]) -> list[bool]:
        """Which of these actions the node would only pretend to do; a real one none. Raises NodeUnreachableError."""
        ...
