# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The door: under which names the server answers (Host), and who comes in: by bearer token, or a browser by its cookie."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from stoker.api.refusals import WEBSOCKET, method_of, refuse
from stoker.config import LOOPBACK_NAMES, ServerConfig
from stoker.domain import actor
from stoker.domain.actor import STRANGER, Actor
from stoker.errors import ForbiddenError, UnauthorizedError
from stoker.services.identities import Identities, Kind, digest_of
from stoker.services.sessions import csrf_of
from stoker.telemetry import subject

OPEN: Final = frozenset(
    {
        ("GET", "/api/health"),
        ("GET", "/api/ready"),
        ("POST", "/api/session"),
        ("POST", "/api/session/link"),
        ("GET", "/login"),
    }
)
"""Routes that answer without a token: whether the server lives and can work, and how to sign in."""
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER: Final = "X-CSRF-Token"
_TOKEN_REMEDY = "Use a token that is known here, e.g. that of the server's admin-token file."  # noqa: S105  a sentence


class Door:
    """Stands before the whole application, so that also unknown paths tell nothing to strangers."""

    def __init__(self, app: ASGIApp, config: ServerConfig, identities: Identities) -> None:
        """Let in requests to the configured hosts by those who are known."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts(config))
        self._identities = identities
        self._secure = config.uses_tls
        self._open = OPEN | {("GET", "/metrics")} if config.metrics_without_token else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, say who the actor is, then hand it on."""
        headers = dict(scope["headers"])
        client = scope.get("client")
        request = {
            "address": client[0] if client else "",
            "request_id": subject.current().get("request") or secrets.token_hex(8),
        }
        try:
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            known = await self._known(method_of(scope), scope["path"], headers)
        except Exception as error:  # noqa: BLE001  the application's handlers are behind the door
            await refuse(error, scope, send)
            return
        actor.set_current(msgspec.structs.replace(known, **request))
        await self._app(scope, receive, send)

    def _check_host(self, header: str) -> None:
        host = header.rsplit("]", 1)[0].lstrip("[") if header.startswith("[") else header.split(":", 1)[0]
        if host.lower() not in self._hosts:
            raise ForbiddenError(
                f"this server does not answer as {host[:100]!r}.",
                remedy="Use a configured name, or add this one to 'hosts' in the configuration.",
            )

    async def _known(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Actor:
        if ("GET" if method == "HEAD" else method, path) in self._open:
            if method not in READING:
                _refuse_other_origin(headers)
            return STRANGER
        if header := headers.get(b"authorization", b""):
            return await self._bearer(header)
        if secret := session_secret(headers.get(b"cookie", b""), secure=self._secure):
            return await self._browser(secret, method, headers)
        raise UnauthorizedError("no token was given.", remedy=f"Send 'Authorization: Bearer TOKEN'. {_TOKEN_REMEDY}")

    async def _bearer(self, header: bytes) -> Actor:
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise UnauthorizedError("no token was given.", remedy=f"Send 'Authorization: Bearer TOKEN'. {_TOKEN_REMEDY}")
        found = await self._find("token", digest_of(token.strip().decode("latin-1")))
        if found is None:
            raise UnauthorizedError("the token is not known, was revoked or has ended.", remedy=_TOKEN_REMEDY)
        return found

    async def _browser(self, secret: str, method: str, headers: Mapping[bytes, bytes]) -> Actor:
        found = await self._find("session", digest_of(secret))
        if found is None:
            raise UnauthorizedError("the session has ended.", remedy="Sign in again.")
        if method == WEBSOCKET:
            # a page cannot send the CSRF header here, and another site's page may open one with our cookie
            _refuse_other_origin(headers, required=True)
        elif method not in READING:
            _refuse_other_origin(headers)
            given = headers.get(CSRF_HEADER.lower().encode(), b"")
            if not hmac.compare_digest(given, csrf_of(secret).encode()):
                raise ForbiddenError(
                    f"a changing request of a browser needs the header {CSRF_HEADER}.",
                    remedy="Send the value 'csrf' of GET /api/session in it.",
                )
        return found

    async def _find(self, kind: Kind, digest: str) -> Actor | None:
        found = self._identities.remembered(kind, digest)
        return found if found is not None else await asyncio.to_thread(self._identities.look_up, kind, digest)


def allowed_hosts(config: ServerConfig) -> list[str]:
    """The names under which a server answers."""
    own = [] if config.host in ("0.0.0.0", "::") else [config.host]  # noqa: S104  compared, not bound
    return [*LOOPBACK_NAMES, *own, *config.hosts]


def cookie_name(*, secure: bool) -> str:
    """What the session's cookie is called: with TLS, so that browsers take it from this very host over TLS alone."""
    return "__Host-stoker_session" if secure else "stoker_session"


def session_secret(header: bytes, *, secure: bool) -> str:
    """The session's secret in a Cookie header; empty if there is none."""
    found = dict(part.strip().partition("=")[::2] for part in header.decode("latin-1").split(";"))
    return found.get(cookie_name(secure=secure), "")


def _refuse_other_origin(headers: Mapping[bytes, bytes], *, required: bool = False) -> None:
    """Browsers say which site's page sends a changing request, or opens a WebSocket."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    if (origin or required) and urlsplit(origin).netloc.lower() != headers.get(b"host", b"").decode("latin-1").lower():
        raise ForbiddenError(
            f"a page of {origin[:100] or 'an unknown site'!r} sent this request.", remedy="Use the pages of this server."
        )
