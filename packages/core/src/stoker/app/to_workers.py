# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to plugins' applications from the process that has the workers to these."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send
from stoker_sdk.worker.protocol import APPLICATION, CONTEXT_HEADER, ROOT_HEADER, CallContext

from stoker.api.refusals import method_of
from stoker.domain import actor
from stoker.domain.actor import Actor
from stoker.errors import BadRequestError, InvalidInputError, StokerError, WorkerError
from stoker.plugin_host.app_addresses import Address
from stoker.plugin_host.app_headers import Headers, from_application, length_of, to_application
from stoker.plugin_host.app_places import Place, place_of, version_in_use
from stoker.plugin_host.app_traffic import Traffic
from stoker.plugin_host.back import Scope as BackScope
from stoker.plugin_host.late_workers import LateWorkers
from stoker.plugin_host.relay import AnswerError, HttpRelay, LateAnswerError, NoAnswerError, Request, body_of
from stoker.plugin_host.relay_websocket import Opening, relay_websocket
from stoker.plugin_host.unix_http import Answer, BrokenExchangeError, Exchange
from stoker.plugin_host.worker import Worker
from stoker.services import plugin_applications
from stoker.services.context import ServerContext
from stoker.services.plugin_applications import Rules

_TRIES: Final = 3
"""How often a request that no worker has seen is tried: the version in use may change, or a worker die, at any moment."""
_DEATH_SECONDS: Final = 1.0
"""How soon it is known that a worker's process has ended."""
_LARGEST_CONTEXT: Final = 48 * 1024
"""Bytes of what an application is told with a request; a worker takes headers of 64 KiB."""


class ToWorkers:
    """Passes requests on to the worker of the version in use."""

    def __init__(self, context: ServerContext) -> None:
        """Take the server's parts."""
        self._context = context
        self._known: dict[tuple[str, str], tuple[str, Rules]] = {}

        def in_use(plugin: str, environment: str) -> str:
            return version_in_use(context.registry.read(), plugin, environment)

        async def stands(who: Actor) -> bool:
            return await asyncio.to_thread(context.identities.stands, who)

        self._in_use = in_use
        self._late = LateWorkers()
        self.traffic = Traffic(in_use, stands, context.config.plugin_drain_seconds)

    async def pass_on(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the worker of the version in use answer. Raises StokerError."""
        for tries_left in reversed(range(_TRIES)):
            place = place_of(self._context.registry.read(), address)
            attempt = _Attempt()
            try:
                await self._try(place, address, scope, receive, send, attempt)
            except BrokenExchangeError as error:
                if not tries_left:
                    raise AnswerError(
                        f"{place.title} cannot be asked: {error.detail}.", remedy="'stoker plugins doctor' says more."
                    ) from error
                await attempt.met_its_end()
            except NoAnswerError:
                # a request that changes nothing may have met a worker that another one had just brought down
                if tries_left < _TRIES - 1 or not _harmless(scope) or not await attempt.met_its_end():
                    raise
            except StokerError:
                moved = self._in_use(place.plugin, place.environment_id) != place.version
                if attempt.relayed or not tries_left or not moved:
                    raise
            else:
                return

    async def _rules(self, place: Place) -> Rules:
        key = place.plugin, place.version
        known = self._known.get(key)
        if known is None or known[0] != place.digest:
            rules = await asyncio.to_thread(plugin_applications.rules_of, self._context, place.plugin, place.version)
            known = self._known[key] = (place.digest, rules)
        return known[1]

    async def _try(self, place: Place, address: Address, scope: Scope, receive: Receive, send: Send, attempt: _Attempt) -> None:
        """Ask the worker once; ``attempt`` says how far it came.

        Raises:
            BrokenExchangeError: it cannot be reached.
            StokerError: it did not answer, or this request is refused.
        """
        context, who = self._context, actor.current()
        rules = await self._rules(place)
        plugin_applications.refuse(who, rules, method_of(scope), address.path, place.environment_name)
        headers = to_application(place.plugin, scope["headers"], scheme=str(scope["scheme"]), root=address.root)
        settings: dict[str, object] = {}
        if place.environment is not None:
            look = plugin_applications.settings_in
            settings = await asyncio.to_thread(look, context, place.environment, place.plugin, place.version)
        caller = plugin_applications.caller_of(who, rules, place.environment_name)
        back = BackScope(
            plugin=place.plugin,
            version=place.version,
            environment_id=place.environment_id or None,
            actor=who,
            permissions=caller.permissions,
        )
        if context.workers is None or context.back is None:
            raise WorkerError(place.plugin, place.version, "start", "this process runs no plugins' code.")
        async with context.workers.using(place.plugin, place.version) as worker:
            attempt.worker = worker
            passing = self.traffic.passing(place.plugin, place.environment_id, place.version, who, worker.leaving)
            with passing as passage, context.back.open(back) as token:
                told = CallContext(caller=caller, token=token, environment=place.environment, settings=settings)
                headers += [(CONTEXT_HEADER.encode(), _encoded(place, told)), (ROOT_HEADER.encode(), address.root.encode())]
                asked = _Asked(place=place, address=address, rules=rules, headers=headers, scope=scope)
                if scope["type"] == ScopeType.WEBSOCKET:
                    attempt.relayed = True
                    await relay_websocket(asked.opening(worker), receive, send, asked.answer_headers, passage)
                    return
                exchange = await Exchange.connect(worker.socket)
                attempt.relayed = True
                try:
                    await HttpRelay(asked.request(), exchange, asked.answer_headers, passage).run(receive, send)
                except LateAnswerError:
                    self._late.looked_at(worker)
                    raise


class _Attempt:
    """How far a try came."""

    def __init__(self) -> None:
        self.relayed = False
        """Whether the worker may have seen the request."""
        self.worker: Worker | None = None

    async def met_its_end(self) -> bool:
        """Whether the worker's process ends, or has ended, just now."""
        until = asyncio.get_running_loop().time() + _DEATH_SECONDS
        while self.worker is not None and self.worker.alive:
            if asyncio.get_running_loop().time() > until:
                return False
            await asyncio.sleep(0.02)
        return True


def _harmless(scope: Scope) -> bool:
    """Whether a request changes nothing, so that it may be sent again."""
    return method_of(scope) in plugin_applications.READING and not body_of(scope["headers"])


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a worker is about to get."""

    place: Place
    address: Address
    rules: Rules
    headers: Headers
    scope: Any

    @property
    def target(self) -> str:
        query = self.scope["query_string"].decode("latin-1")
        return f"{APPLICATION}{self.address.target}{'?' if query else ''}{query}"

    def request(self) -> Request:
        given = self.scope["headers"]
        return Request(
            method=self.scope["method"],
            target=self.target,
            headers=self.headers,
            length=length_of(given),
            has_body=body_of(given),
            who=self.place.title,
            timeout=self.rules.timeout,
        )

    def opening(self, worker: Worker) -> Opening:
        if worker.hello.application == "wsgi":
            raise BadRequestError(f"{self.place.title}: its application has no WebSockets.", remedy="Ask with HTTP.")
        return Opening(
            socket=worker.socket,
            target=self.target,
            host=dict(self.headers)[b"host"].decode(),
            headers=self.headers,
            subprotocols=list(self.scope.get("subprotocols") or ()),
            who=self.place.title,
            timeout=self.rules.timeout,
        )

    def answer_headers(self, answer: Answer) -> Headers:
        hosts = [dict(self.headers)[b"host"]]
        return from_application(self.place.plugin, answer.headers, root=self.address.root, hosts=hosts)


def _encoded(place: Place, told: CallContext) -> bytes:
    made = base64.b64encode(msgspec.json.encode(told))
    if len(made) > _LARGEST_CONTEXT:
        raise InvalidInputError(
            f"{place.title}: its settings in environment {place.environment_name} are too large to be given to its application.",
            remedy="Make them smaller: large texts belong into the plugin's records.",
        )
    return made
