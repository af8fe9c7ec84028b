# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptions of plugins' applications: asked for when a version becomes the server's default, kept, added to the server's."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
from stoker_sdk.worker.protocol import APPLICATION, CONTEXT_HEADER, ROOT_HEADER, CallContext

from stoker.domain import permission
from stoker.domain.access import AccessLevel
from stoker.domain.actor import SYSTEM
from stoker.errors import StokerError
from stoker.plugin_host.back import Scope
from stoker.plugin_host.openapi_parts import LARGEST, BrokenDescriptionError, Part, part_of
from stoker.plugin_host.registry import Registry, VersionEntry
from stoker.plugin_host.unix_http import Exchange
from stoker.services import plugin_applications
from stoker.services.context import ServerContext
from stoker.services.plugin_applications import Rules

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 30.0
_OK: Final = 200


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one plugin's description."""

    version: str
    digest: str
    """Of the bundle that it was asked of."""
    fault: str = ""
    """Why there is none; empty if there is."""
    part: Part = Part()


def add(context: ServerContext, document: dict[str, Any]) -> dict[str, Any]:
    """The server's description with those of its plugins."""
    for name in context.registry.read().plugins:
        kept = _load(context, name)
        if kept is None or kept.fault or not _is_current(context.registry.read(), name, kept):
            continue
        document["paths"].update(kept.part.paths)
        for kind, found in kept.part.components.items():
            document.setdefault("components", {}).setdefault(kind, {}).update(found)
    return document


def fault(context: ServerContext, name: str, version: str) -> str:
    """What is wrong with the description of a plugin version's application; empty if nothing is known to be."""
    kept = _load(context, name)
    return kept.fault if kept is not None and kept.version == version else ""


def forget(context: ServerContext, name: str, version: str) -> None:
    """Keep nothing of a version."""
    kept = _load(context, name)
    if kept is not None and kept.version == version:
        _file(context, name).unlink(missing_ok=True)


async def keep(context: ServerContext) -> None:
    """Ask each application once for its description, for as long as the server lives."""
    seen: Registry | None = None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        registry = context.registry.read()
        if registry is seen:
            continue
        seen = registry
        try:
            await _look(context, registry)
        except Exception:  # noqa: BLE001  the next change is looked at all the same
            _LOG.exception("descriptions of plugins' applications cannot be kept")


async def _look(context: ServerContext, registry: Registry) -> None:
    for name, plugin in registry.plugins.items():
        entry = plugin.versions.get(plugin.default)
        kept = _load(context, name)
        if entry is None or not entry.application or not entry.openapi:
            _file(context, name).unlink(missing_ok=True)
        elif kept is None or not _is_current(registry, name, kept):
            _store(context, name, await _ask(context, name, plugin.default, entry))
    for file in _folder(context).glob("*.json"):
        if file.stem not in registry.plugins:
            file.unlink(missing_ok=True)


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
        return Kept(version=version, digest=entry.digest, fault=error.detail)
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


def _folder(context: ServerContext) -> Path:
    return context.config.data_dir / "openapi"


def _file(context: ServerContext, name: str) -> Path:
    return _folder(context) / f"{name}.json"


def _load(context: ServerContext, name: str) -> Kept | None:
    try:
        return msgspec.json.decode(_file(context, name).read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _store(context: ServerContext, name: str, kept: Kept) -> None:
    folder = _folder(context)
    folder.mkdir(exist_ok=True, mode=0o700)
    number, made = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
    with os.fdopen(number, "wb") as file:
        file.write(msgspec.json.encode(kept))
    Path(made).replace(_file(context, name))
