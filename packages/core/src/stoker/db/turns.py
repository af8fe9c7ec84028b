# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Turns: what a connection says of itself, so that its transactions begin as those of one who writes."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

WRITE: Final = "stoker_write"
"""The execution option of connections that write."""


def writes(connection: Connection) -> bool:
    """Whether a connection's transactions write."""
    return bool(connection.get_execution_options().get(WRITE))
