# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Permissions of plugins: which ones a manifest declares, and which of them somebody has."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import msgspec

from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor

_KEPT: Final = 512


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """One permission, as a manifest declares it."""

    name: str
    """Without the plugin's name."""
    title: str
    access: AccessLevel
    """The lowest access level that has it."""


class _Contribution(msgspec.Struct, tag="permissions", tag_field="point"):
    name: str
    title: str = ""
    access: Literal["viewer", "operator", "admin"] = "operator"


class _Point(msgspec.Struct):
    point: str


class _Manifest(msgspec.Struct):
    contributions: list[msgspec.Raw] = []


@lru_cache(maxsize=_KEPT)
def declared(manifest: str) -> tuple[Permission, ...]:
    """The permissions that a plugin's manifest (JSON text) declares, in its order."""
    if '"permissions"' not in manifest:
        return ()
    found: list[Permission] = []
    for item in msgspec.json.decode(manifest, type=_Manifest).contributions:
        if msgspec.json.decode(item, type=_Point).point == "permissions":
            read = msgspec.json.decode(item, type=_Contribution)
            found.append(Permission(name=read.name, title=read.title, access=AccessLevel(read.access)))
    return tuple(found)


def has(actor: Actor, permission: Permission, environment: str | None = None) -> bool:
    """Whether somebody has a permission.

    Args:
        actor: who.
        permission: one that a plugin declares.
        environment: the name of the environment in which; ``None`` for what belongs to none.
    """
    if not actor.access.covers(permission.access):
        return False
    # As everywhere, a token that is limited to environments may look at all and change only what is in these.
    limited = actor.environments is not None and environment not in actor.environments
    return not limited or permission.access is AccessLevel.VIEWER


def permissions_of(actor: Actor, manifest: str, environment: str | None = None) -> frozenset[str]:
    """The permissions of one plugin that somebody has, without the plugin's name.

    Args:
        actor: who.
        manifest: of the plugin's version that counts, as JSON text.
        environment: the name of the environment in which; ``None`` for what belongs to none.
    """
    return frozenset(permission.name for permission in declared(manifest) if has(actor, permission, environment))
