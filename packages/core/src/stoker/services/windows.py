# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Windows on long lists: a part is named by the key of the row before it, so what comes or goes meanwhile shifts nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, and_, or_

T = TypeVar("T")
R = TypeVar("R")
Key: TypeAlias = "tuple[str | int | float, ...]"
MOST: Final = 1000
"""The most that one answer lists."""


class Window(msgspec.Struct, frozen=True):
    """Which part of a list is wanted."""

    limit: int = MOST
    after: Key = ()
    """The key of the last row of the part before; empty for the first part."""


class Part(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list."""

    items: list[T]
    last: Key | None = None
    """The key of its last row if more follow."""


def cut(rows: Sequence[R], window: Window, key: Callable[[R], Key]) -> tuple[Sequence[R], Key | None]:
    """The window's rows of those that were read (one more than wanted), and the key to go on from if more follow."""
    if len(rows) <= window.limit:
        return rows, None
    kept = rows[: window.limit]
    return kept, key(kept[-1])


def look(query: Select[Any], window: Window, *columns: ColumnElement[Any], newest_first: bool = False) -> Select[Any]:
    """A query for a window's rows and one more, in the order of the columns, which together tell rows apart.

    Args:
        query: all rows, in no order.
        window: the part that is wanted.
        columns: the order; the window's key has a value for each.
        newest_first: whether the greatest comes first.
    """
    if window.after:
        same: list[ColumnElement[bool]] = []
        steps: list[ColumnElement[bool]] = []
        for column, value in zip(columns, window.after, strict=True):
            steps.append(and_(*same, column < value if newest_first else column > value))
            same.append(column == value)
        query = query.where(or_(*steps))
    return query.order_by(*(column.desc() if newest_first else column for column in columns)).limit(window.limit + 1)
