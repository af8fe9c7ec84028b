# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The door: who may come in (bearer token), and under which names the server answers (Host)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from stoker.api.problems import MEDIA_TYPE, of_error, problem_bytes
from stoker.config import LOOPBACK_NAMES, ServerConfig
from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.errors import ForbiddenError, StokerError, UnauthorizedError
from stoker.telemetry import subject

OPEN_PATHS = frozenset({"/api/health", "/api/ready"})
"""Paths that answer without a token."""


class Door:
    """Stands before the whole application, so that also unknown paths tell nothing to strangers."""

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], token_hashes: Iterable[str], open_paths: Iterable[str] = OPEN_PATHS
    ) -> None:
        """Let in requests to these hosts with a token that has one of these SHA-256 sums, or to one of these paths."""
        self._open_paths = frozenset(open_paths)
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._hashes = tuple(value.encode() for value in token_hashes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then hand it on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            if scope["path"] not in self._open_paths:
                self._check_token(headers.get(b"authorization", b""))
        except StokerError as error:
            await _refuse(error, send)
            return
        address = client[0] if (client := scope.get("client")) else ""
        request_id = subject.current().get("request") or secrets.token_hex(8)
        known = Actor(kind="server", name="admin", access=AccessLevel.ADMIN, address=address, request_id=request_id)
        actor.set_current(known)
        await self._app(scope, receive, send)

    def _check_host(self, header: str) -> None:
        host = header.rsplit("]", 1)[0].lstrip("[") if header.startswith("[") else header.split(":", 1)[0]
        if host.lower() not in self._hosts:
            raise ForbiddenError(
                f"this server does not answer as {host[:100]!r}.",
                remedy="Use a configured name, or add this one to 'hosts' in the configuration.",
            )

    def _check_token(self, header: bytes) -> None:
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise UnauthorizedError(
                "no token was given.",
                remedy="Send 'Authorization: Bearer TOKEN' with the token of the server's admin-token file.",
            )
        digest = hashlib.sha256(token.strip()).hexdigest().encode()
        if not any([hmac.compare_digest(digest, known) for known in self._hashes]):  # noqa: C419  as long for each token
            raise UnauthorizedError("the token is not known.", remedy="Use the token of the server's admin-token file.")


def open_paths(config: ServerConfig) -> frozenset[str]:
    """The paths that answer without a token."""
    return OPEN_PATHS | {"/metrics"} if config.metrics_without_token else OPEN_PATHS


def allowed_hosts(config: ServerConfig) -> list[str]:
    """The names under which a server answers."""
    own = [] if config.host in ("0.0.0.0", "::") else [config.host]  # noqa: S104  compared, not bound
    return [*LOOPBACK_NAMES, *own, *config.hosts]


async def _refuse(error: StokerError, send: Send) -> None:
    problem, extra = of_error(error)
    body = problem_bytes(problem, extra)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    if problem.status == UnauthorizedError.status:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
