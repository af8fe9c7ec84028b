# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to plugins' applications from an API process to the supervisor, which has the workers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from stoker.api.refusals import method_of
from stoker.app.forwarding import ACTOR_HEADER, SCHEME_HEADER, SupervisorGoneError
from stoker.domain import actor
from stoker.plugin_host.app_addresses import Address
from stoker.plugin_host.app_headers import Headers, length_of
from stoker.plugin_host.app_traffic import Passage
from stoker.plugin_host.relay import HttpRelay, Request, body_of
from stoker.plugin_host.relay_websocket import Opening, relay_websocket
from stoker.plugin_host.unix_http import Answer, BrokenExchangeError, Exchange

_DROPPED: Final = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade expect content-length authorization cookie "
    b"sec-websocket-key sec-websocket-version sec-websocket-extensions sec-websocket-protocol".split()
) | {ACTOR_HEADER.encode(), SCHEME_HEADER.encode()}
"""What is of one connection, ends at the door, or is for nobody but us to send."""
_OF_ITS_CONNECTION: Final = frozenset({b"connection", b"transfer-encoding", b"keep-alive", b"date"})
_OPENING_SECONDS: Final = 660.0
"""Longer than any application may take: the supervisor has the last word about that."""


class ToSupervisor:
    """Passes requests on with the identity that this process's door found."""

    def __init__(self, supervisor: Path) -> None:
        """Take the supervisor's socket."""
        self._supervisor = supervisor

    async def pass_on(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the supervisor answer. Raises StokerError."""
        query = scope["query_string"].decode("latin-1")
        target = f"{address.root}{address.target}{'?' if query else ''}{query}"
        passage = Passage(address.plugin, address.environment, "")
        if scope["type"] == ScopeType.WEBSOCKET:
            opening = Opening(
                socket=self._supervisor,
                target=target,
                host=dict(scope["headers"]).get(b"host", b"").decode("latin-1"),
                headers=_headers(scope),
                subprotocols=list(scope.get("subprotocols") or ()),
                who="the process that has the workers",
                timeout=_OPENING_SECONDS,
            )
            await relay_websocket(opening, receive, send, _unchanged, passage)
            return
        request = Request(
            method=method_of(scope),
            target=target,
            headers=_headers(scope),
            length=length_of(scope["headers"]),
            has_body=body_of(scope["headers"]),
            who="the process that has the workers",
            timeout=None,
        )
        try:
            exchange = await Exchange.connect(self._supervisor)
        except BrokenExchangeError as error:
            raise SupervisorGoneError(
                "the process that does the server's work does not answer.", remedy="Try again in a moment."
            ) from error
        await HttpRelay(request, exchange, _unchanged, passage).run(receive, send)


def _headers(scope: Scope) -> Headers:
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _DROPPED]
    present = base64.b64encode(msgspec.json.encode(actor.current()))
    scheme = str(scope["scheme"]).encode()
    return [*kept, (ACTOR_HEADER.encode(), present), (SCHEME_HEADER.encode(), scheme)]


def _unchanged(answer: Answer) -> Headers:
    """The supervisor has seen to the headers; those of its own connection end here."""
    return [(name, value) for name, value in answer.headers if name.lower() not in _OF_ITS_CONNECTION]
