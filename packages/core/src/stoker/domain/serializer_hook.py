# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Serializer hooks as manifests declare them: what they depend on, and who sees what they add."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from stoker.domain.ext import EVERYBODY, level_of
from stoker.domain.permission import declared as declared_permissions

NEW: Final = 1 << 20
"""The bit of an object that is new in its environment: all hooks depend on it."""
INPUTS: Final[Mapping[str, Mapping[str, int]]] = {
    "node": {"name": 1, "address": 2, "transport": 4, "status": 8, "facts": 16, "roles": 32, "environment": 64},
    "environment": {"name": 1, "revision": 2},
    "deployment": {"state": 1, "reason": 2, "plan": 4, "created_at": 8, "finished_at": 16},
}
"""The bits of what hooks may depend on."""
_KEPT: Final = 512


class DeclaredHook(msgspec.Struct, frozen=True, tag="serializer_hooks", tag_field="point"):
    """One hook of a plugin."""

    name: str
    target: str
    """``node``, ``environment`` or ``deployment``."""
    call: str
    schema: dict[str, object]
    reads: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    settings: bool = False
    time_to_live: float = 0
    permission: str = ""
    deadline: float = 10

    @property
    def inputs(self) -> int:
        """The bits of what it depends on."""
        return sum({INPUTS[self.target][column] for column in self.reads}) | NEW

    @property
    def collections(self) -> str:
        """The collections that it depends on, as one text in which each stands between commas."""
        return f",{','.join(self.records)}," if self.records else ""


class _Point(msgspec.Struct):
    point: str


class _Manifest(msgspec.Struct):
    contributions: list[msgspec.Raw] = []


@lru_cache(maxsize=_KEPT)
def declared_hooks(manifest: str) -> Mapping[str, DeclaredHook]:
    """The hooks that a plugin's manifest (JSON text) declares, by their names."""
    found: dict[str, DeclaredHook] = {}
    if '"serializer_hooks"' in manifest:
        for item in msgspec.json.decode(manifest, type=_Manifest).contributions:
            if msgspec.json.decode(item, type=_Point).point == "serializer_hooks":
                hook = msgspec.json.decode(item, type=DeclaredHook)
                found[hook.name] = hook
    return found


def level_of_hook(manifest: str, hook: DeclaredHook) -> int:
    """Who sees what a hook adds: whoever has its permission, in the terms of ``stoker.domain.ext``."""
    if not hook.permission:
        return EVERYBODY
    return next((level_of(known.access) for known in declared_permissions(manifest) if known.name == hook.permission), 2)
