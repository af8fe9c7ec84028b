# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What serializer hooks add to objects, as one answer shows it: stored texts, what of them is not fresh, and for whom."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, select

from stoker.db import tables
from stoker.db.changes import state_of
from stoker.db.refresh_queue import waiting
from stoker.domain import actor
from stoker.domain.ext import ADMINS, EVERYBODY, OPERATORS, cut, level_in, level_of
from stoker.domain.serializer_hook import NEW

Kind: TypeAlias = Literal["node", "environment", "deployment"]
Part: TypeAlias = "msgspec.Raw | msgspec.UnsetType"
BY_ITSELF: Final = frozenset({"ext", "ext_state"})
"""Fields of a view that plugins make."""
_MOST: Final = 20_000
"""So many rows of the queue are looked at; with more, everything counts as waiting."""
_ext = tables.object_ext.c
_queue = tables.refresh_queue.c
_TEXTS: Final[dict[int, ColumnElement[str]]] = {
    EVERYBODY: _ext.everybody,
    OPERATORS: func.coalesce(_ext.operator, _ext.everybody),
    ADMINS: func.coalesce(_ext.admin, _ext.operator, _ext.everybody),
}


class Wanted(msgspec.Struct, frozen=True):
    """Whose data are wanted."""

    plugins: frozenset[str] | None = None
    """Names of plugins; ``None`` for all, none at all if it is empty."""

    @classmethod
    def read(cls, text: str) -> Wanted:
        """What a request says: names with commas between them, ``none``, or nothing for all."""
        if not text:
            return cls()
        return cls(frozenset(name.strip() for name in text.split(",")) - {"", "none"})


ALL: Final = Wanted()
NOTHING: Final = Wanted(frozenset())


class Shown:
    """What one answer shows of objects of one kind."""

    def __init__(self, connection: Connection, kind: Kind, wanted: Wanted) -> None:
        """Look whether there is anything, and whether anything waits."""
        self._plugins = wanted.plugins
        self.there = self._waits = False
        if wanted.plugins is None or wanted.plugins:
            newest, there = connection.execute(_LOOKS[kind]).one()
            self.there, self._waits = bool(there), newest is not None
        who = actor.current()
        self._who = who
        self._limited = who.environments is not None
        self.plain = self._plugins is None and not self._limited and not self._waits
        """Whether the stored text is shown as it is."""
        self._states = _States(connection, kind, self._plugins) if self._waits else None

    @property
    def level(self) -> int:
        """The level of the text that the query reads."""
        return level_of(self._who.access)

    @property
    def columns(self) -> tuple[int, bool]:
        """What tells queries apart: the level, and whether the text for everybody is needed, too."""
        return self.level, self._limited

    def text_of(self, environment: str, text: str | None, everybody: str | None = None) -> Part:
        """What is shown of an object.

        Args:
            environment: the name of its environment.
            text: as it is stored for the caller's level.
            everybody: as it is stored for everybody; needed for those whose level is limited to some environments.
        """
        if self._limited and level_in(self._who, environment) == EVERYBODY:
            text = everybody
        if text and self._plugins is not None:
            text = cut(text, self._plugins)
        return msgspec.Raw(text) if text else msgspec.UNSET

    def state_of(self, identity: str, environment: str) -> Part:
        """What of an object's data is not fresh: ``PLUGIN.HOOK`` -> ``pending`` or ``stale``."""
        return msgspec.UNSET if self._states is None else self._states.of(identity, environment)


def _look(kind: Kind) -> Select[Any]:
    newest = select(func.max(_queue.id)).scalar_subquery()
    return select(newest, select(_ext.object_id).where(_ext.kind == kind).exists())


_LOOKS: Final[dict[Kind, Select[Any]]] = {kind: _look(kind) for kind in ("node", "environment", "deployment")}
"""Made once."""


class _States:
    """What waits to be made anew, for objects of one kind."""

    def __init__(self, connection: Connection, kind: Kind, plugins: frozenset[str] | None) -> None:
        hooks, environments = tables.serializer_hooks.c, tables.environments.c
        query = (
            select(hooks.environment_id, hooks.plugin, hooks.name, hooks.inputs, hooks.records, hooks.published_at)
            .add_columns(environments.name.label("environment"))
            .join(tables.environments, environments.id == hooks.environment_id)
            .where(hooks.target == kind)
            .order_by(hooks.plugin, hooks.name)
        )
        self._hooks: dict[str, list[Any]] = {}
        for hook in connection.execute(query):
            if plugins is None or hook.plugin in plugins:
                self._hooks.setdefault(hook.environment, []).append(hook)
        self._whole: dict[str, set[tuple[str, str]]] = {}
        """Environment's id -> plugin and hook (empty: all of them) that wait for all objects."""
        self._bits: dict[str, int] = {}
        self._records: dict[str, frozenset[tuple[str, str]]] = {}
        rows = waiting(connection, _MOST + 1)
        for row in rows:
            if row.kind in ("hook", "plugin"):
                self._whole.setdefault(row.environment_id, set()).add((row.plugin, row.name))
            elif row.kind == "record":
                self._records[row.object_id] = self._records.get(row.object_id, frozenset()) | {(row.plugin, row.name)}
            elif row.kind == kind:
                self._bits[row.object_id] = self._bits.get(row.object_id, 0) | row.inputs
        self._all = len(rows) > _MOST
        self._known: dict[object, Part] = {}

    def of(self, identity: str, environment: str) -> Part:
        hooks = self._hooks.get(environment)
        if hooks is None:
            return msgspec.UNSET
        bits, records = self._bits.get(identity, 0), self._records.get(identity, frozenset())
        key = (environment, bits, records)
        if (known := self._known.get(key)) is None:
            found = {
                f"{hook.plugin}.{hook.name}": "pending" if bits & NEW or hook.published_at is None else "stale"
                for hook in hooks
                if self._waits(hook, bits, records)
            }
            known = self._known[key] = msgspec.Raw(msgspec.json.encode(found)) if found else msgspec.UNSET
        return known

    def _waits(self, hook: Any, bits: int, records: frozenset[tuple[str, str]]) -> bool:  # noqa: ANN401  a row
        whole = self._whole.get(hook.environment_id, ())
        return (
            self._all
            or bool(hook.inputs & bits)
            or (hook.plugin, hook.name) in whole
            or (hook.plugin, "") in whole
            or any(plugin == hook.plugin and f",{name}," in hook.records for plugin, name in records)
        )


def with_ext(query: Select[Any], joined: FromClause, identity: ColumnElement[Any], level: int, *, limited: bool) -> Select[Any]:
    """A query with one more column, the text for a level; for who has that level in some environments alone, with two: for
    everybody.
    """
    source = joined.outerjoin(tables.object_ext, _ext.object_id == identity)
    return query.add_columns(_TEXTS[level].label("ext"), *([_ext.everybody] if limited else [])).select_from(source)


def stored(connection: Connection, identities: Sequence[str], level: int) -> dict[str, tuple[str, str]]:
    """The texts of some objects for a level and for everybody; objects without any are left out."""
    if not identities:
        return {}
    query = select(_ext.object_id, _TEXTS[level], _ext.everybody).where(_ext.object_id.in_(identities))
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def parts(connection: Connection, kind: Kind, wanted: Wanted, objects: Sequence[tuple[str, str]]) -> dict[str, tuple[Part, Part]]:
    """What is shown of a few objects, given with the names of their environments: id -> ``ext`` and ``ext_state``."""
    shown = Shown(connection, kind, wanted)
    texts = stored(connection, [identity for identity, _ in objects], shown.level) if shown.there else {}
    return {
        identity: (shown.text_of(environment, *texts.get(identity, ("", ""))), shown.state_of(identity, environment))
        for identity, environment in objects
    }


def state_with_ext(connection: Connection, kinds: Sequence[str], wanted: Wanted) -> str:
    """As ``state_of``, of a list that shows what hooks add: another name also when something begins to wait, and for others."""
    who = actor.current()
    newest = connection.execute(_NEWEST).scalar() or 0
    only = None if wanted.plugins is None else sorted(wanted.plugins)
    seen = (level_of(who.access), None if who.environments is None else sorted(who.environments), only)
    digest = hashlib.blake2b(repr(seen).encode(), digest_size=4).hexdigest()
    return f"{state_of(connection, kinds)}-{newest}-{digest}"


_NEWEST: Final = select(func.max(_queue.id))
