# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin's application: WSGI or ASGI, found and wrapped so that both look alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Literal, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS: Final = 32
"""How many requests a WSGI application answers at once."""
_ASGI_PARAMETERS: Final = 3


class Application:
    """An application behind the ASGI interface."""

    def __init__(self, kind: Literal["wsgi", "asgi"], asgi: Asgi) -> None:
        """Take what :func:`wrap` found."""
        self.kind = kind
        self.asgi = asgi


def wrap(application: object) -> Application:
    """Make an application out of what the plugin's class holds.

    Raises:
        TypeError: it is neither WSGI nor ASGI.
    """
    if not callable(application):
        raise TypeError(f"'application' is a {type(application).__name__}, neither a WSGI nor an ASGI callable")
    if _is_asgi(application):
        return Application("asgi", application)
    from a2wsgi import WSGIMiddleware  # noqa: PLC0415  only those who need it wait for it

    return Application("wsgi", WSGIMiddleware(application, workers=THREADS))  # type: ignore[arg-type]


def _is_asgi(application: Callable[..., object]) -> bool:
    call: Any = application
    while isinstance(call, functools.partial):
        call = call.func
    if inspect.iscoroutinefunction(call):
        return True
    if not inspect.isfunction(call) and not inspect.ismethod(call):
        if inspect.iscoroutinefunction(type(call).__call__):
            return True
        call = type(call).__call__ if not inspect.isclass(call) else call
    try:
        required = [
            one
            for one in inspect.signature(application).parameters.values()
            if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        return False
    return len(required) == _ASGI_PARAMETERS
