# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server itself: whether it lives, and which version it is."""

from __future__ import annotations

import msgspec
from litestar import Router, get

from stoker import __version__


class Health(msgspec.Struct, frozen=True):
    """The server answers."""

    status: str


class VersionView(msgspec.Struct, frozen=True):
    """The server's version."""

    version: str


@get("/health", sync_to_thread=False)
def health() -> Health:
    """Whether the server lives; needs no token."""
    return Health("ok")


@get("/version", sync_to_thread=False)
def version() -> VersionView:
    """Which version it is."""
    return VersionView(__version__)


router = Router("/api", route_handlers=[health, version], tags=["system"])
