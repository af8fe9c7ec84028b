# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The worker protocol: HTTP over a Unix socket, with a version that both sides agree on."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from stoker_sdk.context.values import Caller, Environment

PROTOCOL: Final = 1
"""The version of this protocol; a server speaks this one and the one before."""
HELLO: Final = "/stoker/hello"
"""``GET``: answers :class:`Hello`."""
CALL: Final = "/stoker/v1/call"
"""``POST`` :class:`Call`: answers 200 with the function's result as JSON, or 500 with :class:`Fault`."""
STOP: Final = "/stoker/stop"
"""``POST``: end after what is being answered."""
APPLICATION: Final = "/application"
"""What the path of a request for the plugin's application begins with."""
CONTEXT_HEADER: Final = "stoker-context"
"""Holds base64 of JSON of :class:`CallContext` for a request to the application."""
ROOT_HEADER: Final = "stoker-root-path"
"""The address of the application, as clients see it."""
HEADERS: Final = "stoker-"
"""What the names of the server's own headers begin with: removed from what clients send."""
WORKER_SOCKET: Final = "worker.sock"
CORE_SOCKET: Final = "core.sock"
"""Names of the two sockets in the worker's private folder: its own, and the way back to the server."""
BACK: Final = "/v1/"
"""On the way back: ``POST /v1/OPERATION`` with JSON, and the token of the call in ``Authorization``; ``/api/...`` is the
server's API."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself."""

    protocols: list[int]
    plugin: str
    version: str
    sdk: str
    application: Literal["", "wsgi", "asgi"] = ""


class CallContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call or request is about."""

    caller: Caller
    token: str
    """Opens the way back for as long as the call lasts."""
    environment: Environment | None = None
    settings: dict[str, object] = {}


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call of one function of the plugin."""

    point: str
    """The extension point, which says what arguments it gets and gives."""
    name: str
    """The contribution's name."""
    function: str
    """``module:name``."""
    arguments: dict[str, msgspec.Raw]
    """By the name of the parameter, each as JSON."""
    context: CallContext
    deadline: float
    """Seconds."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a call gave no result."""

    kind: Literal["raised", "shape", "missing"]
    """The function raised, gave what does not fit, or is not there."""
    message: str
    traceback: str = ""
