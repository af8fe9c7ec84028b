# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Following events, of a deployment to its end or all changes, over broken connections and restarted servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

import httpx
import msgspec

from stoker.client import documents as doc
from stoker.client.connection import unreachable
from stoker.client.events import read_events
from stoker.client.fleet_documents import ChangeDocument
from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q
from stoker.errors import ServerUnreachableError, StokerError

PATIENCE: Final = 60.0
"""Seconds for which a follower waits for a server that is being restarted."""
SILENCE: Final = httpx.Timeout(25.0, connect=5.0)
"""Seconds without a sign of life in a stream, in which a server says every ten seconds that it is there."""


class _Loss:
    """A server that is lost, and how long its follower still waits."""

    def __init__(self, server: str, patience: float, tell: Callable[[StokerError | None], None]) -> None:
        self._server = server
        self._patience = patience
        self._tell = tell
        self._since: float | None = None

    def over(self) -> None:
        """The server said something."""
        if self._since is not None:
            self._since = None
            self._tell(None)

    def goes_on(self, error: httpx.TransportError | ServerUnreachableError) -> None:
        """The server was not reached; raises ServerUnreachableError when that has lasted too long."""
        now = time.monotonic()
        lost = error if isinstance(error, ServerUnreachableError) else unreachable(self._server, error)
        if self._since is None:
            self._since = now
            self._tell(lost)
        if now - self._since > self._patience:
            raise lost from error


class Following(Requests):
    """Requests whose answers are streams of events."""

    def deployment(self, deployment: str) -> doc.DeploymentDocument:
        """One deployment with the state of each node."""
        return self._one(doc.DeploymentDocument, "GET", f"/api/deployments/{_q(deployment)}")

    def events(
        self,
        deployment: str,
        *,
        after: int = 0,
        patience: float = PATIENCE,
        tell: Callable[[StokerError | None], None] = lambda _: None,
    ) -> Iterator[doc.EventDocument]:
        """Follow a deployment's events to its end; a lost connection is opened again where it broke.

        Args:
            deployment: its id.
            after: the id of the last event that is known already.
            patience: seconds to wait for a server that does not answer before giving up.
            tell: told once why the server was lost, and ``None`` when it is back.

        Raises:
            ServerUnreachableError: the server did not come back in time.
        """
        last = after
        loss = _Loss(self.settings.server, patience, tell)
        while True:
            try:
                for event in self._event_stream(deployment, last):
                    loss.over()
                    if event is None:
                        continue
                    last = event.get("id", last)
                    yield event
                    if event.get("kind") == "state" and event.get("state") in doc.FINAL_STATES:
                        return
                if self.deployment(deployment).get("state") in doc.FINAL_STATES:
                    return
            except (httpx.TransportError, ServerUnreachableError) as error:
                loss.goes_on(error)
            time.sleep(0.5)

    def _event_stream(self, deployment: str, last: int) -> Iterator[doc.EventDocument | None]:
        """The events after one, and first a ``None`` when the server has answered."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(last)} if last else {})
        with self._http.stream("GET", f"/api/deployments/{_q(deployment)}/events", headers=headers, timeout=SILENCE) as response:
            if not response.is_success:
                response.read()
                raise self._error_of(response)
            yield None
            for event in read_events(response.iter_lines()):
                if not event.data:
                    continue
                document = cast("doc.EventDocument", msgspec.json.decode(event.data))
                if event.id.isdigit():
                    document["id"] = int(event.id)
                yield document

    def changes(
        self,
        *,
        environment: str = "",
        kinds: Sequence[str] = (),
        after: int | None = None,
        patience: float = PATIENCE,
        tell: Callable[[StokerError | None], None] = lambda _: None,
    ) -> Iterator[ChangeDocument]:
        """Follow what changes, without an end; a lost connection is opened again where it broke.

        Args:
            environment: of this environment alone.
            kinds: of these kinds alone: node, environment, plugin, plan, deployment, job.
            after: the id of the last change that is known already; from now on if not given.
            patience: seconds to wait for a server that does not answer before giving up.
            tell: told once why the server was lost, and ``None`` when it is back.

        Raises:
            ServerUnreachableError: the server did not come back in time.
        """
        query = [("kind", kind) for kind in kinds] + ([("environment", environment)] if environment else [])
        last = after
        loss = _Loss(self.settings.server, patience, tell)
        while True:
            try:
                for place, change in self._change_stream(query, last):
                    last = place
                    loss.over()
                    if change is not None:
                        yield change
            except (httpx.TransportError, ServerUnreachableError) as error:
                loss.goes_on(error)
            time.sleep(0.5)

    def _change_stream(self, query: Sequence[tuple[str, str]], last: int | None) -> Iterator[tuple[int, ChangeDocument | None]]:
        """How far the stream is, with the change that it came to."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(last)} if last is not None else {})
        with self._http.stream("GET", "/api/events", params=list(query), headers=headers, timeout=SILENCE) as response:
            if not response.is_success:
                response.read()
                raise self._error_of(response)
            for event in read_events(response.iter_lines()):
                place = int(event.id) if event.id.isdigit() else last or 0
                yield place, cast("ChangeDocument", msgspec.json.decode(event.data)) if event.data else None
