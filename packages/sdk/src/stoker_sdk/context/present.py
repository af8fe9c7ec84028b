# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The context of the present call; functions get it as an argument, applications ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

import msgspec

from stoker_sdk.context.records import Records
from stoker_sdk.context.values import Caller, Environment
from stoker_sdk.model.json_value import JSON


class ApiAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the server's API."""

    status: int
    body: JSON


class Api(Protocol):
    """The server's own HTTP API, with the rights that the caller and the plugin (``api_access``) both have."""

    def request(self, method: str, path: str, body: JSON = None) -> ApiAnswer:
        """Ask, e.g. ``request("GET", "/api/nodes")``. Raises :class:`stoker_sdk.errors.ChannelError` if the server cannot be
        asked.
        """
        ...


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What one call is about."""

    plugin: str
    version: str
    environment: Environment | None
    """``None`` where the plugin works for the whole server."""
    settings: Mapping[str, JSON]
    """The plugin's effective settings in the environment, secrets as references; empty without an environment."""
    caller: Caller
    records: Records
    api: Api


_present: ContextVar[Context] = ContextVar("stoker_plugin_context")


def current() -> Context:
    """The context of the request or call that is being answered, also in the threads of a WSGI application.

    Raises:
        LookupError: nothing is being answered, e.g. while the module is imported.
    """
    return _present.get()


def set_current(context: Context) -> None:
    """Say what the present call is about; the worker does."""
    _present.set(context)
