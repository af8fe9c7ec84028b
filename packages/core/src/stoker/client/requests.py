# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to the server: sent, answered, refused; lists are followed over their pages."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, TypeVar, cast
from urllib.parse import quote

import httpx
import msgspec

from stoker.client.connection import (
    ConnectionSettings,
    check_server,
    error_of,
    find_token,
    foreign,
    refused,
    tls_context,
    unreachable,
)
from stoker.errors import InvalidInputError, StokerError, UnderWayError

_T = TypeVar("_T")
_PAUSES: Final = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)
"""Seconds to wait before a request is sent again whose connection broke."""


class Requests:
    """Carries requests to one server."""

    def __init__(self, settings: ConnectionSettings | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            settings: where the server is and who asks.
            transport: what carries the requests, if not the network (tests).
        """
        self.settings = settings or ConnectionSettings()
        url = check_server(self.settings.server)
        self._token = find_token(self.settings)
        self._tags: dict[str, str] = {}
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
            timeout=self.settings.timeout,
            verify=True if transport else tls_context(self.settings),
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content: bytes | None = None,
        timeout: float | None = None,
        query: Mapping[str, object] | None = None,
        if_match: str = "",
    ) -> object:
        data = msgspec.json.encode(body) if body is not None else content
        kind = "application/json" if body is not None else "application/octet-stream"
        headers = {"Content-Type": kind} if data is not None else {}
        if if_match:
            headers["If-Match"] = if_match
        if method == "POST" and content is None:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        request = self._http.build_request(
            method,
            path,
            content=data,
            headers=headers,
            params={
                key: [_text(item) for item in value] if isinstance(value, list) else _text(value)
                for key, value in (query or {}).items()
                if value not in (None, "")
            },
            timeout=self.settings.timeout if timeout is None else timeout,
        )
        response = self._answer_to(request)
        if not response.is_success:
            raise self._error_of(response)
        self._tags[response.request.url.path] = response.headers.get("etag", "")
        if not response.content:
            return {}
        try:
            return msgspec.json.decode(response.content, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise foreign(self.settings.server, response) from error

    def _answer_to(self, request: httpx.Request) -> httpx.Response:
        """Send a request; one with a key is sent again if the connection broke: it is done once, however often it comes."""
        patience = iter(_PAUSES if "Idempotency-Key" in request.headers else ())
        sent = False
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                lost = not isinstance(error, httpx.ConnectError | httpx.TimeoutException) or sent
                if not lost or (pause := next(patience, None)) is None:
                    raise unreachable(self.settings.server, error) from error
                sent = True
                time.sleep(pause)
                continue
            if not sent or response.status_code != httpx.codes.CONFLICT or not _under_way(response):
                return response
            time.sleep(float(response.headers.get("retry-after", "1")))

    def _error_of(self, response: httpx.Response) -> StokerError:
        found = error_of(response)
        if found is None:
            return foreign(self.settings.server, response)
        if response.status_code == httpx.codes.UNAUTHORIZED and response.request.url.path != "/api/session":
            return refused(self.settings, self._token)
        return found

    def _one(
        self,
        kind: type[_T],
        method: str,
        path: str,
        *,
        body: object = None,
        timeout: float | None = None,
        query: Mapping[str, object] | None = None,
        if_match: str = "",
    ) -> _T:
        return cast("_T", self._send(method, path, body=body, timeout=timeout, query=query, if_match=if_match))

    def _seen(self, path: str) -> str:
        """The tag of the state in which a thing was last seen by this client; empty if it was not."""
        return self._tags.get(httpx.URL(path).path, "")

    def _many(self, kind: type[_T], path: str, query: Mapping[str, object] | None = None) -> list[_T]:
        """A whole list, however many pages it has."""
        found: list[_T] = []
        cursor: object = None
        while True:
            answer = cast("dict[str, object]", self._send("GET", path, query={**(query or {}), "cursor": cursor}))
            found += cast("list[_T]", answer.get("items", []))
            cursor = answer.get("next")
            if not cursor:
                return found


def _under_way(response: httpx.Response) -> bool:
    """Whether the server still carries the first one of these requests out."""
    found = error_of(response)
    return found is not None and found.data.get("kind") == UnderWayError.kind


def _text(value: object) -> str:
    """A value in a query."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def part_of_path(part: str) -> str:
    """One segment of a path.

    Raises:
        InvalidInputError: it is no name: empty, or one that means a place in a path.
    """
    if not part.strip() or part in (".", "..") or "/" in part:
        raise InvalidInputError(f"{part!r} is not a name.", remedy="Give the name or id as the listing shows it.")
    return quote(part, safe="")
