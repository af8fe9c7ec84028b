# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Headers between clients and plugins' applications: what passes in either direction, and what the server adds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from stoker_sdk.worker.protocol import HEADERS as OWN

from stoker.errors import BadRequestError, StokerError

Headers: TypeAlias = list[tuple[bytes, bytes]]

LARGEST: Final = 32 * 1024
"""Bytes that the headers of a request have together."""
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_OF_ONE_CONNECTION: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade "
    b"expect http2-settings".split()
)
_STOPPED: Final = _OF_ONE_CONNECTION | frozenset(
    b"cookie cookie2 authorization x-csrf-token host content-length forwarded x-real-ip x-client-ip x-original-url "
    b"x-original-uri x-original-host x-rewrite-url x-http-method-override x-http-method x-method-override x-script-name "
    b"x-request-id remote-user x-remote-user x-forwarded-user x-auth-request-user".split()
)
"""What ends at the server: secrets, who the client says it is, and what makes one request look like another."""
_STOPPED_FAMILIES: Final = (OWN.encode(), b"x-stoker-", b"x-forwarded-", b"x-accel-", b"sec-websocket-", b"x-envoy-")

_PASSING_ANSWERS: Final = frozenset(
    b"accept-patch accept-post accept-ranges age allow cache-control content-disposition content-encoding content-language "
    b"content-length content-range content-type deprecation digest etag expires last-modified location preference-applied "
    b"ratelimit ratelimit-limit ratelimit-policy ratelimit-remaining ratelimit-reset repr-digest retry-after sunset "
    b"tus-extension tus-max-size tus-resumable tus-version upload-expires upload-length upload-offset vary".split()
)
"""Headers of answers that give a page no power; a header that browsers learn tomorrow does not come through."""
_POWERFUL: Final = frozenset(
    b"x-frame-options x-content-type-options x-xss-protection x-dns-prefetch-control x-permitted-cross-domain-policies "
    b"x-sendfile x-lighttpd-send-file x-request-id x-ua-compatible x-download-options x-webkit-csp "
    b"x-content-security-policy x-csrf-token x-sourcemap x-reproxy-url".split()
)
_POWERFUL_FAMILIES: Final = (b"x-accel-", b"x-stoker-", b"x-forwarded-", b"x-litespeed-")
POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
"""A page of a plugin is shown as if it came from nowhere: it runs no script, and asks for nothing."""
_ADDED: Final[Headers] = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
_PROGRAMS: Final = re.compile(rb"(?i).*(?:java|ecma|j|live)script.*|text/css.*|.*/wasm.*|text/xsl.*|.*xslt.*|.*manifest.*")
"""Content types that a page of the server could run or obey, if somebody made it load them."""
_PROGRAM_USES: Final = frozenset(
    b"script worker sharedworker serviceworker audioworklet paintworklet style xslt manifest embed object".split()
)


class TooManyHeadersError(StokerError, ValueError):
    """The request's headers are larger than the server takes."""

    status = 431
    kind = "headers-too-large"


class StrayingAnswerError(StokerError):
    """An application's answer would lead its caller away from its own address."""

    status = 502
    kind = "plugin-answer"


def to_application(plugin: str, given: Iterable[tuple[bytes, bytes]], *, scheme: str, root: str) -> Headers:
    """The headers that an application gets of a client's, and those that say by which address it was reached.

    Raises:
        TooManyHeadersError: they are too large.
        BadRequestError: the request says no host, or a program of a page asks for what a plugin must not give it.
    """
    headers = [(name.lower(), value) for name, value in given]
    if sum(len(name) + len(value) for name, value in headers) > LARGEST:
        raise TooManyHeadersError(
            f"plugin {plugin}: the request's headers are too large.", remedy=f"They have at most {LARGEST} bytes."
        )
    if any(name == b"sec-fetch-dest" and value.lower() in _PROGRAM_USES for name, value in headers):
        raise BadRequestError(
            f"plugin {plugin}: its answers are no programs or styles for a page.",
            remedy="Ask for it with fetch() and use its data.",
        )
    host = next((value for name, value in headers if name == b"host"), b"")
    if not _HOST.fullmatch(host):
        raise BadRequestError(f"plugin {plugin}: the request's Host is no name.", remedy="Send the server's name as Host.")
    named = _named_by_connection(headers)
    kept = [(name, value) for name, value in headers if _passes(name) and name not in named]
    return [
        (b"host", host),
        *kept,
        (b"x-forwarded-proto", {"ws": "http", "wss": "https"}.get(scheme, scheme).encode()),
        (b"x-forwarded-host", host),
        (b"x-forwarded-prefix", root.encode()),
    ]


def _passes(name: bytes) -> bool:
    # an underscore is a dash to a WSGI application: stoker_context would be stoker-context
    return b"_" not in name and name not in _STOPPED and not name.startswith(_STOPPED_FAMILIES)


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """Headers that the header ``Connection`` declares to be of one connection."""
    return frozenset(word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b","))


def length_of(given: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The length that a client says its body has; empty if it says none."""
    return next((value for name, value in given if name.lower() == b"content-length"), b"")


def from_application(plugin: str, given: Sequence[tuple[bytes, bytes]], *, root: str, hosts: Iterable[bytes]) -> Headers:
    """The headers that a client gets of an application's.

    Args:
        plugin: its name, for messages.
        given: what the application answered.
        root: the application's address.
        hosts: under which names the client reached the server: a whole URL may name them.

    Raises:
        StrayingAnswerError: ``Location`` leads out of the application's address.
    """
    headers = [(name.lower(), value) for name, value in given]
    named = _named_by_connection(headers)
    kept: Headers = []
    seen: set[bytes] = set()
    for name, value in headers:
        if name in named or not _may_answer(name) or (name in seen and name in _ONCE):
            continue
        seen.add(name)
        if name == b"location":
            kept.append((name, _inside(plugin, value, root, hosts)))
        elif name == b"content-type" and _PROGRAMS.fullmatch(value):
            kept.append((name, b"text/plain; charset=utf-8"))
        else:
            kept.append((name, value))
    if b"content-type" not in seen:
        kept.append((b"content-type", b"application/octet-stream"))
    if b"cache-control" not in seen:
        kept.append((b"cache-control", b"no-store"))
    return kept + _ADDED


_ONCE: Final = frozenset({b"content-type", b"location", b"content-length", b"content-disposition"})


def _may_answer(name: bytes) -> bool:
    # Nothing is left to the plugin's name: there could be one called "set", "access" or "transfer".
    if name in _PASSING_ANSWERS:
        return True
    return name.startswith(b"x-") and name not in _POWERFUL and not name.startswith(_POWERFUL_FAMILIES)


def _inside(plugin: str, value: bytes, root: str, hosts: Iterable[bytes]) -> bytes:
    """A redirect, as a path below the application's address."""
    text = value.decode("latin-1").strip()
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise _straying(plugin) from error
    if any(ord(letter) <= ord(" ") or letter == "\\" for letter in text):
        raise _straying(plugin)
    if parts.scheme or parts.netloc:
        if parts.scheme not in ("http", "https") or parts.netloc.lower().encode() not in {host.lower() for host in hosts}:
            raise _straying(plugin)
        text = text.split(parts.netloc, 1)[1] or "/"
        parts = urlsplit("http://server" + text)
    path = parts.path
    lowered = path.lower()
    if "//" in path or "%2f" in lowered or "%5c" in lowered or "%00" in lowered:
        raise _straying(plugin)
    if any(part.lower().replace("%2e", ".") in (".", "..") for part in path.split("/")):
        raise _straying(plugin)
    if path.startswith("/") and path != root and not path.startswith(root + "/"):
        raise _straying(plugin)
    return text.encode("latin-1")


def _straying(plugin: str) -> StrayingAnswerError:
    return StrayingAnswerError(
        f"plugin {plugin}: its application redirects out of its own address.",
        remedy="This is the plugin's mistake: tell its author. A redirect stays below root_path or SCRIPT_NAME.",
    )
