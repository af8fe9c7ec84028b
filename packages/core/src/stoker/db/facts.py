# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One fact out of the facts that a node's row keeps as JSON text, for conditions of queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement, literal


class _Fact(FunctionElement[str]):
    """A field of a JSON text."""

    name = "fact"
    type = String()
    inherit_cache = True


def fact(facts: ColumnElement[Any], name: str) -> ColumnElement[str]:
    """The fact of a name, as text."""
    return _Fact(facts, literal(name))


@compiles(_Fact, "sqlite")
def _in_sqlite(element: _Fact, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  SQLAlchemy's own
    facts, name = (compiler.process(clause, **options) for clause in element.clauses)
    return f"json_extract({facts}, '$.' || {name})"


@compiles(_Fact, "postgresql")
def _in_postgresql(element: _Fact, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  SQLAlchemy's own
    facts, name = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(({facts})::json ->> {name})"
