# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Compiled expressions: what CEL text names, and what it gives in a context."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from stoker_sdk.errors import ExpressionError
from stoker_sdk.model.cel_engine import cel

MAX_SOURCE: Final = 4096
"""Longest text of an expression, in characters."""

_SHOWN: Final = 160
_PATH = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*\b(?!\s*\())*")
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")


class Program:
    """An expression that was compiled once and is evaluated often."""

    __slots__ = ("_paths", "_program", "source", "variables")

    def __init__(self, source: str) -> None:
        """Compile the text.

        Raises:
            ExpressionError: the text is too long or is not CEL.
        """
        if len(source) > MAX_SOURCE:
            raise ExpressionError(shorten(source), f"it is longer than {MAX_SOURCE} characters")
        try:
            self._program = cel.compile(source)
        except (ValueError, RuntimeError, TypeError) as error:
            raise ExpressionError(shorten(source), str(error)) from error
        self.source = source
        self.variables: frozenset[str] = frozenset(self._program.variables())
        """Names that the expression uses, those bound by ``map`` and the like included."""
        self._paths: frozenset[str] | None = None

    def paths(self) -> frozenset[str]:
        """Dotted paths that stand in the text, e.g. ``settings.servers``; method names are left out."""
        if self._paths is None:
            found = set(_PATH.findall(_STRING.sub("''", self.source)))
            self._paths = frozenset(path for path in found if path.split(".")[0] in self.variables)
        return self._paths

    def evaluate(self, context: cel.Context | Mapping[str, object]) -> object:
        """The expression's value.

        Args:
            context: a ``cel.Context`` (cheap to use again) or a map of variables.

        Raises:
            ExpressionError: a name is missing or types do not fit.
        """
        try:
            result: object = self._program.execute(context if isinstance(context, cel.Context) else dict(context))
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError, OverflowError) as error:
            reason = f"{error.args[0]!r} is not there" if isinstance(error, KeyError) and error.args else str(error)
            raise ExpressionError(shorten(self.source), reason) from error
        return result


def shorten(source: str) -> str:
    """An expression's text for a message."""
    return source if len(source) <= _SHOWN else f"{source[: _SHOWN - 3]}..."


@lru_cache(maxsize=4096)
def compile_expression(source: str) -> Program:
    """Compile CEL text; the same text is compiled once.

    Raises:
        ExpressionError: the text is too long or is not CEL.
    """
    return Program(source)
