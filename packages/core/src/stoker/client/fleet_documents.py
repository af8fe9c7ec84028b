# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of calls about many nodes and of changes, as a client reads them; a server may send further fields."""

from __future__ import annotations

from typing import TypedDict


class NodesDocument(TypedDict):
    """Nodes that were added or removed together."""

    nodes: list[str]


class BulkDocument(TypedDict, total=False):
    """What became of many nodes that were given roles or taken out together."""

    environment: str
    revision: int
    changed: list[str]
    unchanged: list[str]
    removing: list[str]


class ChangeDocument(TypedDict, total=False):
    """Something that has changed; further fields depend on its kind."""

    id: int
    at: float
    kind: str
    action: str
    object: str
    object_id: str
    environment: str
    environment_id: str
    what: str
    status: str
    state: str
    revision: int
    gets: str
    loses: str
    version: str
    phase: str
    nodes: int
    looked_at: int
    plan: str
    reason: str
    progress: float
    message: str
    on: str
