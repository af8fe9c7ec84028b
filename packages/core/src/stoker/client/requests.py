# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to the server: sent, answered, refused; lists are followed over their pages."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeVar, cast
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
from stoker.errors import InvalidInputError, StokerError

_T = TypeVar("_T")


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
        try:
            response = self._http.request(
                method,
                path,
                content=data,
                headers=({"Content-Type": kind} if data is not None else {}) | ({"If-Match": if_match} if if_match else {}),
                params={key: _text(value) for key, value in (query or {}).items() if value not in (None, "")},
                timeout=self.settings.timeout if timeout is None else timeout,
            )
        except httpx.TransportError as error:
            raise unreachable(self.settings.server, error) from error
        if not response.is_success:
            raise self._error_of(response)
        self._tags[response.request.url.path] = response.headers.get("etag", "")
        if not response.content:
            return {}
        try:
            return msgspec.json.decode(response.content, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise foreign(self.settings.server, response) from error

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
