# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces of SQL that the triggers of both databases are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NOW: Final = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
}
"""Seconds since 1970."""
OBJECT: Final = {"sqlite": "json_object({})", "postgresql": "json_build_object({})::text"}
"""A JSON object of names and values."""


def differ(*columns: str) -> str:
    """Whether one of these columns is different now."""
    return "(" + " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns) + ")"


def aspects(**columns: Sequence[str]) -> str:
    """A text that names each group of columns in which something is different."""
    parts = [f"CASE WHEN {differ(*group)} THEN '{name} ' ELSE '' END" for name, group in columns.items()]
    return f"trim({' || '.join(parts)})"
