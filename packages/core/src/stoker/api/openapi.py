# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What the API's description says beside the routes themselves: problems by status, the token, bodies that are not JSON."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from litestar import Litestar
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.routes import HTTPRoute

from stoker import __version__
from stoker.api.problems import MEDIA_TYPE, Problem
from stoker.api.rights import level_of

_ALSO: Final = "also_answers"
TOKEN: Final = "token"  # noqa: S105  the scheme's name
SESSION: Final = "session"
_MEANINGS: Final = {
    400: "The request cannot be read: its body is not JSON, or a field or parameter is unknown, missing or of a wrong type.",
    401: "Nobody is signed in: no token or session, or one that is not known or has ended; or the password is wrong.",
    403: "The server does not answer under this Host, the caller's access level does not reach, or the CSRF header is missing.",
    404: "Something that the request names is not there.",
    409: "It clashes with something that is there; nothing was changed.",
    412: "It is no longer in the state that If-Match names; nothing was changed.",
    413: "The body is larger than the server takes.",
    422: "What was given does not fit; findings name each fault.",
    429: "Too many wrong passwords; the header Retry-After says how many seconds to wait.",
    502: "A node cannot be reached, or refuses.",
    503: "The server cannot do its work now, e.g. because the database is away; the same request may work later.",
}
_EXAMPLES: Final = {
    401: ("unauthorized", "the token is not known.", "Use the token of the server's admin-token file."),
    404: ("not-found", "node 'web1' is not there.", "'stoker nodes list' shows all."),
    409: ("conflict", "node 'web1' is there already.", "Choose another name, or change it with 'stoker nodes set web1'."),
    422: ("invalid-input", "node web1: 'a b' is not an address.", "Give a host name or an IP address."),
    502: (
        "node-unreachable",
        "node web1: root@192.0.2.11:22: No route to host.",
        "Check that sshd runs there, or mend the address with 'stoker nodes set web1'.",
    ),
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems with which a route answers: these, and those with which every route does."""
    return {status: _response(status) for status in sorted({400, 401, 403, 503, *statuses})}


def _response(status: int) -> ResponseSpec:
    examples = []
    if status in _EXAMPLES:
        kind, detail, remedy = _EXAMPLES[status]
        value = {
            "type": f"urn:stoker:problem:{kind}",
            "title": kind.replace("-", " ").capitalize(),
            "status": status,
            "detail": detail,
            "remedy": remedy,
        }
        examples = [Example(summary=HTTPStatus(status).phrase, value=value)]
    return ResponseSpec(
        Problem, generate_examples=False, description=_MEANINGS[status], media_type=MEDIA_TYPE, examples=examples or None
    )


@dataclass
class BytesOperation(Operation):
    """An operation whose body is a file's bytes."""

    def __post_init__(self) -> None:
        """Say so: the handler reads the body itself, so nothing is known of it."""
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            content={"application/octet-stream": OpenAPIMediaType(schema=file)}, description="The bundle's bytes.", required=True
        )


def description() -> OpenAPIConfig:
    """The API's description as a whole: every request needs the token, unless its route says otherwise."""
    token = SecurityScheme(
        type="http", scheme="bearer", description="A token: one's own, or that of the server's file admin-token."
    )
    session = SecurityScheme(
        type="apiKey",
        name="stoker_session",
        security_scheme_in="cookie",
        description="A browser's session (with TLS the cookie is called `__Host-stoker_session`). Changing requests need the "
        "header `X-CSRF-Token` too, with the value `csrf` of `GET /api/session`.",
    )
    return OpenAPIConfig(
        title="Stoker",
        version=__version__,
        use_handler_docstrings=True,
        path="/api/openapi",
        render_plugins=[JsonRenderPlugin(path="/schema.json")],
        components=Components(security_schemes={TOKEN: token, SESSION: session}),
        security=[{TOKEN: []}, {SESSION: []}],
    )


def also_answers(*media_types: str) -> dict[str, object]:
    """For a route's ``opt``: further content types of its answer."""
    return {_ALSO: media_types}


def with_access_levels(app: Litestar) -> dict[str, Any]:
    """The API's description with the access level of each operation, as ``x-access`` and in words."""
    document = app.openapi_schema.to_schema()
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        operations = document["paths"].get(route.path_format, {})
        for handler in route.route_handlers:
            level = level_of(handler)
            for method in handler.http_methods:
                if (operation := operations.get(method.lower())) is not None:
                    operation["x-access"] = str(level)
                    said = "Needs no token." if level == "open" else f"Access level: {level}."
                    operation["description"] = f"{operation.get('description', '')}\n\n{said}".strip()
                    for media_type in handler.opt.get(_ALSO, ()):
                        content = operation["responses"]["200"]["content"]
                        content[media_type] = next(iter(content.values()))
    _mend_unions(document)
    return document


def _mend_unions(part: object) -> None:
    """A value may fit several members of a union, null any of them that takes everything: ``anyOf``, not ``oneOf``."""
    if isinstance(part, dict):
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
        for inner in part.values():
            _mend_unions(inner)
    elif isinstance(part, list):
        for inner in part:
            _mend_unions(inner)
