# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptions of plugins' applications: asked for when a version becomes the server's default, kept, added to the server's."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any, Final

import msgspec
from stoker_sdk.worker.protocol import APPLICATION, CONTEXT_HEADER, ROOT_HEADER, CallContext

from stoker.domain import permission
from stoker.domain.access import AccessLevel
from stoker.domain.actor import SYSTEM
from stoker.errors import StokerError
from stoker.plugin_host.back import Scope
from stoker.plugin_host.openapi_parts import LARGEST, BrokenDescriptionError, part_of
from stoker.plugin_host.registry import Registry, VersionEntry
from stoker.plugin_host.unix_http import Exchange
from stoker.services import plugin_applications
from stoker.services.context import ServerContext
from stoker.services.plugin_applications import Rules
from stoker.services.plugin_descriptions import Kept, forget, known, load, store

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = (2.0, 5.0, 15.0, 60.0, 300.0)
"""The pauses after which an application that could not be asked is asked again."""
_ANSWER_SECONDS: Final = 30.0
_OK: Final = 200


def add(context: ServerContext, document: dict[str, Any]) -> dict[str, Any]:
    """The server's description with those of its plugins."""
    for name in context.registry.read().plugins:
        kept = load(context, name)
        if kept is None or kept.fault or not _is_current(context.registry.read(), name, kept):
            continue
        document["paths"].update(kept.part.paths)
        for kind, found in kept.part.components.items():
            document.setdefault("components", {}).setdefault(kind, {}).update(found)
    return document


async def keep(context: ServerContext) -> None:
    """Ask each application once for its description, for as long as the server lives."""
    seen: Registry | None = None
    pauses: list[float] = []
    due: float | None = None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = asyncio.get_running_loop().time()
        registry = context.registry.read()
        if registry is not seen:
            seen, pauses, due = registry, [*_AGAIN_SECONDS], now
        if due is None or now < due:
            continue
        due = None
        try:
            if await _look(context, registry) and pauses:
                due = now + pauses.pop(0)
        except Exception:  # noqa: BLE001  the next change is looked at all the same
            _LOG.exception("descriptions of plugins' applications cannot be kept")


async def _look(context: ServerContext, registry: Registry) -> bool:
    """Ask those of which nothing is kept; answers whether one of them could not be asked."""
    again = False
    for name, plugin in registry.plugins.items():
        entry = plugin.versions.get(plugin.default)
        kept = load(context, name)
        if entry is None or not entry.application or not entry.openapi:
            forget(context, name)
        elif kept is None or kept.passing or not _is_current(registry, name, kept):
            kept = await _ask(context, name, plugin.default, entry)
            again = again or kept.passing
            if _is_current(context.registry.read(), name, kept):
                store(context, name, kept)
    for gone in set(known(context)) - set(registry.plugins):
        forget(context, gone)
    return again


def _is_current(registry: Registry, name: str, kept: Kept) -> bool:
    plugin = registry.plugins.get(name)
    entry = plugin.versions.get(plugin.default) if plugin else None
    return plugin is not None and entry is not None and (plugin.default, entry.digest) == (kept.version, kept.digest)


async def _ask(context: ServerContext, name: str, version: str, entry: VersionEntry) -> Kept:
    try:
        rules = await asyncio.to_thread(plugin_applications.rules_of, context, name, version)
        document = await _fetch(context, rules)
        part = await asyncio.to_thread(part_of, name, document, lambda method, path: _access(rules, method, path))
    except StokerError as error:
        _LOG.warning("plugin %s %s: %s", name, version, error.detail, extra={"plugin": name})
        passing = not isinstance(error, BrokenDescriptionError)
        return Kept(version=version, digest=entry.digest, fault=error.detail, passing=passing)
    return Kept(version=version, digest=entry.digest, part=part)


async def _fetch(context: ServerContext, rules: Rules) -> bytes:
    """Ask the application as the server itself, with a viewer's rights."""
    if context.workers is None or context.back is None:
        raise BrokenDescriptionError("this server runs no plugins' code.")
    who = msgspec.structs.replace(SYSTEM, access=AccessLevel.VIEWER)
    caller = plugin_applications.caller_of(who, rules, None)
    scope = Scope(plugin=rules.plugin, version=rules.version, environment_id=None, actor=who, permissions=caller.permissions)
    async with context.workers.using(rules.plugin, rules.version) as worker:
        with context.back.open(scope) as token:
            told = base64.b64encode(msgspec.json.encode(CallContext(caller=caller, token=token)))
            headers = [
                (b"host", b"localhost"),
                (CONTEXT_HEADER.encode(), told),
                (ROOT_HEADER.encode(), f"/api/plugins/{rules.plugin}".encode()),
            ]
            exchange = await Exchange.connect(worker.socket)
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await exchange.begin("GET", f"{APPLICATION}{rules.openapi}", headers)
                    await exchange.end()
                    return await _read(exchange)
            except TimeoutError as error:
                raise BrokenDescriptionError("its application gives its OpenAPI document too slowly.") from error
            finally:
                exchange.close()


async def _read(exchange: Exchange) -> bytes:
    answer = await exchange.answer()
    if answer.status != _OK:
        raise BrokenDescriptionError(f"its application answers {answer.status} where its OpenAPI document should be.")
    body = bytearray()
    async for piece in exchange.pieces(_ANSWER_SECONDS):
        body += piece
        if len(body) > LARGEST:
            raise BrokenDescriptionError(f"its OpenAPI document has more than {LARGEST} bytes.")
    return bytes(body)


def _access(rules: Rules, method: str, path: str) -> str:
    """The access level that a request needs."""
    route = plugin_applications.route_of(rules.routes, method, path)
    if route is not None and route.permission:
        levels = {item.name: item.access for item in permission.declared(rules.manifest)}
        return levels.get(route.permission, AccessLevel.ADMIN).value
    return (AccessLevel.VIEWER if method in plugin_applications.READING else AccessLevel.OPERATOR).value
