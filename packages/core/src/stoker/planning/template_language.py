# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The language of templates: what of Jinja2 gives the same text each time, and does nothing to secrets but write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stoker.planning.secret_places import encoded, holds_secret

REFUSED_FILTERS: Final = frozenset({"random"})
REFUSED_GLOBALS: Final = frozenset({"lipsum"})
"""What gives another text each time."""

_WRITING: Final = frozenset({"d", "default", "safe", "string"})
"""Filters that write a text as it is."""
# fmt: off
_SORTING_OUT: Final = frozenset({
    "attr", "batch", "count", "dictsort", "first", "groupby", "items", "join", "last", "length", "list", "map", "max",
    "min", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "sum", "unique",
})
# fmt: on
"""Filters that look at a list or a map and leave its members as they are."""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("planning does not know a secret's value: it can be written and joined, nothing else")


class SecretText(str):
    """What stands for a secret in a template: it can be written, joined, and asked whether it is empty."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """A secret is not empty; what else it is equal to is not known."""
        return False if other is None or (isinstance(other, str) and not str(other)) else _refuse()

    def __ne__(self, other: object) -> bool:
        """As for equality."""
        return not self == other

    def __bool__(self) -> bool:
        """A secret is not empty."""
        return True

    __hash__ = str.__hash__


_OPERATORS: Final = ("__getitem__", "__iter__", "__len__", "__contains__", "__mul__", "__rmul__", "__mod__", "__lt__", "__le__")
for _name in (*(name for name in dir(str) if not name.startswith("_")), *_OPERATORS, "__gt__", "__ge__"):
    setattr(SecretText, _name, _refuse)  # everything else that a text can do


def marked(value: object) -> object:
    """Settings with each secret as a :class:`SecretText`."""
    if isinstance(value, Mapping):
        return {key: marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [marked(item) for item in value]
    return SecretText(value) if isinstance(value, str) and holds_secret(value) else value


def _holds(value: object) -> bool:
    if isinstance(value, str):
        return holds_secret(value)
    if isinstance(value, Mapping):
        return any(_holds(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_holds(item) for item in value)


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter or test, which refuses what would need the value of a secret."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def guarded(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401  whatever a template gives
        given = arguments[first:]
        if name == "tojson":
            return encoded(str(function(*arguments, **more)), "quoted")
        texts = [item for item in given[:1] if isinstance(item, str)] if name in _SORTING_OUT else [*given, *more.values()]
        if name not in _WRITING and any(_holds(item) for item in texts):
            raise TypeError(f"{name!r} cannot be done to a secret: planning does not know its value")
        return function(*arguments, **more)

    return guarded


def template_environment() -> ImmutableSandboxedEnvironment:
    """No loader, no files, no chance, no clock."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters = {
        name: _guarded(name, function) for name, function in environment.filters.items() if name not in REFUSED_FILTERS
    }
    for name in ("lower", "upper"):
        environment.tests[name] = _guarded(name, str.isupper if name == "upper" else str.islower)
    environment.globals = {name: value for name, value in environment.globals.items() if name not in REFUSED_GLOBALS}
    return environment
