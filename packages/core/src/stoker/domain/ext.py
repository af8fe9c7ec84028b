# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The texts that serializer hooks add to objects: put together once for each group of people, and cut to what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

import msgspec

from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor

EVERYBODY: Final = 0
"""Who sees the object: a permission that viewers have, everybody has."""
OPERATORS: Final = 1
ADMINS: Final = 2
LEVELS: Final = (EVERYBODY, OPERATORS, ADMINS)
"""Who sees a fragment; who has one level has those below it."""
Fragments: TypeAlias = "dict[str, dict[str, msgspec.Raw]]"
"""Plugin -> hook -> what it adds, encoded."""
_decoder = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]])
_by_plugin = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Texts(msgspec.Struct, frozen=True):
    """What is stored of one object; empty where there is nothing."""

    everybody: str = ""
    operator: str | None = None
    """``None`` where operators see no more than everybody."""
    admin: str | None = None
    """``None`` where admins see no more than operators."""

    @property
    def whole(self) -> str:
        """The text with everything in it."""
        return next((text for text in (self.admin, self.operator) if text is not None), self.everybody)


def level_of(access: AccessLevel) -> int:
    """The level of somebody with this access, and of what a permission with this access is needed for."""
    return {AccessLevel.VIEWER: EVERYBODY, AccessLevel.OPERATOR: OPERATORS, AccessLevel.ADMIN: ADMINS}[access]


def level_in(actor: Actor, environment: str) -> int:
    """The level of somebody for what belongs to an environment (its name)."""
    limited = actor.environments is not None and environment not in actor.environments
    return EVERYBODY if limited else level_of(actor.access)


def fragments_of(text: str) -> Fragments:
    """What is in a text."""
    return _decoder.decode(text) if text else {}


def put_together(fragments: Mapping[str, Mapping[str, msgspec.Raw]], level: Callable[[str, str], int | None]) -> Texts:
    """The texts of an object, in the order of plugins and hooks.

    Args:
        fragments: all that there is.
        level: who sees a plugin's hook; ``None`` if there is no such hook any more.
    """
    shown: list[dict[str, dict[str, msgspec.Raw]]] = [{} for _ in LEVELS]
    highest = EVERYBODY
    for plugin in sorted(fragments):
        for name in sorted(fragments[plugin]):
            needed = level(plugin, name)
            if needed is None:
                continue
            highest = max(highest, needed)
            for limit in LEVELS[needed:]:
                shown[limit].setdefault(plugin, {})[name] = fragments[plugin][name]
    everybody, operator, admin = (
        _encode(part) if part and limit <= highest else "" for limit, part in zip(LEVELS, shown, strict=True)
    )
    if highest == EVERYBODY:
        return Texts(everybody)
    return Texts(everybody, operator if operator != everybody else None, admin if highest == ADMINS else None)


def _encode(part: dict[str, dict[str, msgspec.Raw]]) -> str:
    return msgspec.json.encode(part).decode()


def cut(text: str, plugins: Collection[str]) -> str:
    """A text with these plugins alone."""
    if not text:
        return ""
    kept = {name: part for name, part in _by_plugin.decode(text).items() if name in plugins}
    return msgspec.json.encode(kept).decode() if kept else ""
