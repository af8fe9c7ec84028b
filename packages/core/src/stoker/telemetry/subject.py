# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The subject of what is logged: request, environment, deployment, node, plugin; inherited by its threads and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

FIELDS: Final = ("request", "environment", "deployment", "node", "plugin")
"""What a subject may have, in the order in which log lines show it."""

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_subject: ContextVar[Mapping[str, str]] = ContextVar("stoker_subject", default=_EMPTY)


def current() -> Mapping[str, str]:
    """What the present work is about."""
    return _subject.get()


def set_about(**fields: str) -> None:
    """Say what the present task is about, until it ends; empty values are left out, other fields stay."""
    _subject.set({**_subject.get(), **{name: value for name, value in fields.items() if value}})


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Say what the work in the block is about."""
    token = _subject.set({**_subject.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _subject.reset(token)
