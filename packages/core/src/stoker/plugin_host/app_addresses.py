# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Addresses of plugins' applications: which plugin a request is for, and the path that its application sees."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from stoker.errors import BadRequestError, StokerError

LONGEST_PATH: Final = 4096
"""Characters of a path, as it is sent."""
LONGEST_QUERY: Final = 16 * 1024
_ADDRESS: Final = re.compile(
    r"(?P<root>/api(?:/environments/(?P<environment>[A-Za-z0-9][A-Za-z0-9._-]{0,62}))?/plugins/(?P<plugin>[a-z][a-z0-9-]{0,62}))"
    r"(?P<below>/.*)",
    re.DOTALL,
)
_WHOLE: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)
_UNRESERVED: Final = "/-._~!$&'()*+,;=:@"
_SECRET_SLASHES: Final = re.compile(r"%2f|%5c", re.IGNORECASE)
_FIRST_PRINTABLE: Final = 0x20
_DELETE: Final = 0x7F


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes."""

    plugin: str
    environment: str
    """Name or id of the environment; empty for the server's default version."""
    root: str
    """The application's address, as clients see it."""
    path: str
    """What its application sees: below the address, decoded."""

    @property
    def target(self) -> str:
        """The path, written in one way only, whatever way the client wrote it."""
        return quote(self.path, safe=_UNRESERVED)


class HostilePathError(BadRequestError):
    """A path that could be understood in two ways."""

    kind = "hostile-path"


class TooLongError(StokerError, ValueError):
    """The address is longer than the server takes."""

    status = 414
    kind = "address-too-long"


def address_of(raw_path: bytes, query: bytes = b"") -> Address | None:
    """The application's address that a request names; ``None`` where the core itself answers.

    Args:
        raw_path: as the client sent it, without the query.
        query: the query, as it was sent.

    Raises:
        HostilePathError: the path below the address has ``..``, a hidden slash, a backslash, a control character, or is no UTF-8.
        TooLongError: it is too long.
    """
    found = _ADDRESS.fullmatch(raw_path.decode("latin-1"))
    if found is None:
        return None
    below = found["below"]
    if len(below) > LONGEST_PATH or len(query) > LONGEST_QUERY:
        raise TooLongError(
            f"plugin {found['plugin']}: the address of the request is too long.",
            remedy=f"A path has at most {LONGEST_PATH} characters, a query {LONGEST_QUERY}; send the rest as the body.",
        )
    path = _decoded(found["plugin"], below)
    return Address(plugin=found["plugin"], environment=found["environment"] or "", root=found["root"], path=path)


def _decoded(plugin: str, below: str) -> str:
    try:
        path = unquote_to_bytes(below.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise _hostile(plugin, "it is not UTF-8") from error
    if not _WHOLE.fullmatch(below):
        raise _hostile(plugin, "a % stands without two hexadecimal digits")
    if _SECRET_SLASHES.search(below) or "\\" in path:
        raise _hostile(plugin, "it has an encoded slash or a backslash")
    if any(ord(letter) < _FIRST_PRINTABLE or ord(letter) == _DELETE for letter in path):
        raise _hostile(plugin, "it has a control character")
    if "//" in path:
        raise _hostile(plugin, "it has an empty part, '//'")
    if any(part in (".", "..") for part in path.split("/")):
        raise _hostile(plugin, "it has a part '.' or '..'")
    return path


def _hostile(plugin: str, what: str) -> HostilePathError:
    return HostilePathError(
        f"plugin {plugin}: the request's path could be understood in two ways: {what}.",
        remedy="Send a plain path; put such values into the query or the body.",
    )
