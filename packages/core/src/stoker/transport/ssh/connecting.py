# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Connecting: keys, host keys, jump hosts, sudo, and the errors that tell them apart."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Final

import asyncssh

from stoker.domain.action import Action
from stoker.domain.node import NodeIdentity, NodeTarget
from stoker.errors import HostKeyChangedError, NodeAuthenticationError, NodeUnreachableError
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


@lru_cache(maxsize=64)
def _private_key(text: str) -> asyncssh.SSHKey:
    return asyncssh.import_private_key(text)


class SshTransport:
    """Opens connections with asyncssh; nothing of the user's own SSH configuration is read."""

    def __init__(self, root: str = "/var/lib/stoker") -> None:
        """Use ``root`` as Stoker's folder on nodes."""
        self._root = root

    async def connect(self, target: NodeTarget, timeout: float = 15.0) -> SshLink:
        """Connect, as ``Transport.connect`` says."""
        connections: list[asyncssh.SSHClientConnection] = []
        try:
            return await asyncio.wait_for(self._connect(target, connections), timeout)
        except TimeoutError as error:
            self._abort(connections)
            raise NodeUnreachableError(
                target.name,
                f"{target.address}:{target.port} did not answer within {timeout:g} seconds.",
                remedy="Check address and network.",
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
        key = connection.get_server_host_key()
        identity = NodeIdentity(
            boot_id=boot_id, spool_id=spool_id, host_key=key.export_public_key().decode().strip() if key is not None else ""
        )
        return SshLink(
            target, connections, shell, identity, self._root, (float(now), float(uptime)), lambda: self.connect(target)
        )

    async def _reach(self, target: NodeTarget, connections: list[asyncssh.SSHClientConnection]) -> asyncssh.SSHClientConnection:
        """Open the connection to a node, after those to its jump hosts."""
        tunnel = None if target.jump is None else await self._reach(target.jump, connections)
        connection = await self._open(target, tunnel)
        connections.append(connection)
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
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostKeyChangedError(
                target.name,
                f"it shows another host key than {target.host_key.split()[0]} ...{target.host_key.split()[1][-12:]}.",
                remedy="If the node was installed anew: stoker nodes forget-host-key NODE. If not, somebody may sit in between.",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise NodeAuthenticationError(
                target.name,
                f"user {target.user} with our key is refused.",
                remedy="Put the credential's public key into authorized_keys.",
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise NodeUnreachableError(
                target.name, f"{target.address}:{target.port}: {error}.", remedy="Check address, port, and that sshd runs."
            ) from error
