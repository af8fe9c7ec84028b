# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Connecting: keys, host keys, jump hosts, sudo, and the errors that tell them apart."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import asyncssh

from stoker.domain.action import Action
from stoker.domain.node import NodeIdentity, NodeTarget
from stoker.errors import HostKeyChangedError, NodeAuthenticationError, NodeUnreachableError
from stoker.telemetry.metrics import METRICS
from stoker.transport.ssh.link import SshLink
from stoker.transport.ssh.shell import Shell

# OpenSSH's own first choice (sntrup761) costs six times the CPU of curve25519 for each connection.
_KEX: Final = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "diffie-hellman-group14-sha256",
)
# AES-GCM is one call into OpenSSL for each packet, ChaCha20-Poly1305 four; every sshd of the last ten years has both.
_CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
_HOST_KEYS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_KINDS: Final = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}
_NUMBERED: Final = re.compile(r"\[Errno (\d+)\]")

TrustFirst: TypeAlias = Callable[[NodeTarget, str], Awaitable[str]]


class _Counted(asyncssh.SSHClient):
    """Counts the connections that are open, however they end."""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        METRICS.ssh_connections.inc()

    def connection_lost(self, exc: Exception | None) -> None:
        METRICS.ssh_connections.dec()


@lru_cache(maxsize=64)
def _private_key(text: str) -> asyncssh.SSHKey:
    return asyncssh.import_private_key(text)


class SshTransport:
    """Opens connections with asyncssh; nothing of the user's own SSH configuration is read."""

    def __init__(
        self, root: str = "/var/lib/stoker", trust_first: TrustFirst | None = None, repositories: Path | None = None
    ) -> None:
        """Use ``root`` as Stoker's folder on nodes.

        Args:
            root: the folder.
            trust_first: asked about every node on the way whose key is not known yet; answers the key that is kept. Without it,
                any first key is taken.
            repositories: the socket at which package repositories are served, for links that offer them to their nodes.
        """
        self._root = root
        self._trust_first = trust_first
        self._repositories = repositories

    async def connect(self, target: NodeTarget, timeout: float = 15.0) -> SshLink:
        """Connect, as ``Transport.connect`` says."""
        connections: list[asyncssh.SSHClientConnection] = []
        try:
            return await asyncio.wait_for(self._connect(target, connections), timeout)
        except TimeoutError as error:
            self._abort(connections)
            raise NodeUnreachableError(
                target.name,
                f"{_way(target)} did not answer within {timeout:g} seconds.",
                remedy=f"Check the network, or mend the address with 'stoker nodes set {target.name}'.",
            ) from error
        except BaseException:
            self._abort(connections)
            raise

    async def pretended(self, target: NodeTarget, actions: list[Action]) -> list[bool]:
        """None: these nodes are real."""
        return [False] * len(actions)

    @staticmethod
    def _abort(connections: list[asyncssh.SSHClientConnection]) -> None:
        for connection in reversed(connections):
            connection.abort()

    async def _connect(self, target: NodeTarget, connections: list[asyncssh.SSHClientConnection]) -> SshLink:
        connection = await self._reach(target, connections)
        command = "sudo -n sh" if target.sudo and target.user != "root" else "sh"
        try:
            _, shell = await connection.create_session(lambda: Shell(target.name), command, encoding=None)
            assert isinstance(shell, Shell)
            words = await shell.start(self._root)
        except asyncssh.Error as error:
            raise NodeUnreachableError(target.name, f"no shell: {error.reason}.") from error
        _, boot_id, spool_id, now, uptime = words[:5]
        identity = NodeIdentity(boot_id=boot_id, spool_id=spool_id, host_key=_shown_key(connection))
        clock = (float(now), float(uptime))
        return SshLink(target, connections, shell, identity, self._root, clock, lambda: self.connect(target), self._repositories)

    async def _reach(self, target: NodeTarget, connections: list[asyncssh.SSHClientConnection]) -> asyncssh.SSHClientConnection:
        """Open the connection to a node, after those to its jump hosts."""
        tunnel = None if target.jump is None else await self._reach(target.jump, connections)
        connection = await self._open(target, tunnel)
        connections.append(connection)
        if not target.host_key and self._trust_first is not None:
            kept = await self._trust_first(target, shown := _shown_key(connection))
            if kept and kept.split()[:2] != shown.split()[:2]:
                raise _changed(target, kept)
        return connection

    async def _open(self, target: NodeTarget, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
        try:
            keys = [_private_key(target.private_key)] if target.private_key else []
        except asyncssh.KeyImportError as error:
            raise NodeAuthenticationError(
                target.name, f"the credential is not a private key: {error}.", remedy="Add it again."
            ) from error
        known = asyncssh.import_known_hosts(f"* {' '.join(target.host_key.split()[:2])}\n") if target.host_key else None
        # the known key's kind first; if the node has another kind only, that is a changed key and not a failed exchange
        kind = target.host_key.split()[0] if target.host_key else _HOST_KEYS[0]
        algorithms = sorted(_HOST_KEYS, key=lambda name: _KINDS.get(name, name) != kind)
        try:
            return await asyncssh.connect(
                target.address,
                target.port,
                tunnel=tunnel or (),
                config=None,
                username=target.user,
                client_keys=keys,
                agent_path=None,
                known_hosts=known,
                server_host_key_algs=algorithms,
                kex_algs=_KEX,
                encryption_algs=_CIPHERS,
                compression_algs=("none",),
                keepalive_interval=15,
                keepalive_count_max=4,
                preferred_auth=("publickey",),
                connect_timeout=None,
                client_factory=_Counted,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise _changed(target, target.host_key) from error
        except asyncssh.PermissionDenied as error:
            raise NodeAuthenticationError(
                target.name,
                f"{_way(target)} refuses the key of credential {target.credential or '(none)'}.",
                remedy=(
                    "'stoker credentials list' shows the public key that belongs into "
                    f"~{target.user}/.ssh/authorized_keys there; 'stoker nodes set {target.name}' changes user or credential."
                ),
            ) from error
        except (OSError, UnicodeError, asyncssh.Error) as error:
            raise NodeUnreachableError(
                target.name,
                f"{_way(target)}: {_plain(error)}.",
                remedy=f"Check that sshd runs there, or mend the address with 'stoker nodes set {target.name}'.",
            ) from error


def _way(target: NodeTarget) -> str:
    return f"{target.user}@{target.address}:{target.port}"


def _shown_key(connection: asyncssh.SSHClientConnection) -> str:
    key = connection.get_server_host_key()
    return key.export_public_key().decode().strip() if key is not None else ""


def _changed(target: NodeTarget, known: str) -> HostKeyChangedError:
    kind, text = known.split()[:2]
    return HostKeyChangedError(
        target.name,
        f"it shows another host key than {kind} ...{text[-12:]}.",
        remedy=f"If it was installed anew: stoker nodes forget-host-key {target.name}. If not, somebody may sit in between.",
    )


def _plain(error: Exception) -> str:
    """What the system means, without how it was called: ``No route to host``."""
    if isinstance(error, UnicodeError):
        return "this is not a host name"
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    if found := [os.strerror(int(number)) for number in _NUMBERED.findall(str(error))]:
        return " and ".join(dict.fromkeys(found))
    return str(error).rstrip(".")
