# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""REST API: a WSGI or ASGI application of the plugin, which answers below the plugin's own address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import msgspec

from stoker_sdk.model.code import check_code
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET")


class RESTAPIPlugin:
    """The base of a plugin's application: set ``application`` to a WSGI or ASGI callable of any framework.

    It answers at ``/api/plugins/NAME/*`` (the server's default version) and at ``/api/environments/ID/plugins/NAME/*`` (that
    environment's version and settings). The application sees paths below that address, and the address as SCRIPT_NAME (WSGI) or
    ``root_path`` (ASGI).
    """

    application: ClassVar[object]
    """A WSGI or ASGI callable. A function with two positional parameters is WSGI, a coroutine function with three is ASGI."""


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who may use a part of the application; of several that fit a request, the one with the longest path counts."""

    path: str
    """A path below the application's address, e.g. ``/labels``; it stands for everything below it, too."""
    methods: Sequence[str] = ()
    """HTTP methods, or ``WEBSOCKET``; empty: all."""
    permission: str = ""
    """A permission of this plugin (see ``permissions``)."""


class RestApi(Contribution, frozen=True, kw_only=True, tag="rest_api"):
    """The plugin's application, a class that derives from :class:`RESTAPIPlugin`; a plugin has one at most.

    Without a fitting route, GET, HEAD and OPTIONS are for viewers, everything else is for operators.
    """

    call: str
    """The class, as ``code(CLASS)``."""
    routes: Sequence[Route] = ()
    """Who may use which part."""
    openapi: str = ""
    """The path at which the application gives its OpenAPI document, e.g. ``/openapi.json``; it becomes part of the server's."""
    timeout: float = 60
    """Seconds until an answer must begin."""

    def check(self) -> Iterable[Finding]:
        """The class, the routes and the time; an application is there or not, so it has no condition."""
        yield from check_code(self.call, "call")
        for index, route in enumerate(self.routes):
            if not route.path.startswith("/") or ".." in route.path.split("/"):
                yield Finding(
                    rule="X010",
                    field=f"routes[{index}].path",
                    message=f"{route.path[:80]!r} is not a path.",
                    remedy="Write a path below the application's address, e.g. /labels.",
                )
            for method in route.methods:
                if method not in METHODS:
                    yield Finding(
                        rule="X011",
                        field=f"routes[{index}].methods",
                        message=f"{method[:40]!r} is not a method.",
                        remedy=f"There are: {', '.join(METHODS)}.",
                    )
        if self.openapi and not self.openapi.startswith("/"):
            yield Finding(
                rule="X010", field="openapi", message="it is not a path.", remedy="Write e.g. /openapi.json, or leave it out."
            )
        if not 0 < self.timeout <= MAX_TIMEOUT:
            yield Finding(
                rule="X012",
                field="timeout",
                message=f"{self.timeout:g} is not a time.",
                remedy=f"Give seconds above 0, at most {MAX_TIMEOUT}.",
            )
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Leave 'when' out.")


MAX_TIMEOUT: Final = 600
"""Seconds that an answer may take to begin, at most."""

POINT = ExtensionPoint(name="rest_api", combines="slot", contributions=(RestApi,), scope="server", needs_code=True)
