# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The data that plugins' functions are called with, and what some of them give back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from stoker_sdk.model.json_value import JSON


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The environment that a call is about."""

    id: str
    name: str


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who a call is made for, as the server found it; nothing that a client sends can change it."""

    kind: Literal["user", "server", "system"]
    """A person or their token, the holder of the server's own token, or the server by itself."""
    name: str
    access: Literal["viewer", "operator", "admin"]
    permissions: Sequence[str] = ()
    """Those of this plugin that they have, without the plugin's name."""


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """A node, environment or deployment, with the columns that a serializer hook declares to read."""

    id: str
    columns: Mapping[str, JSON] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened."""

    id: int
    """Larger for later events; an event that is told again has the same one."""
    name: str
    """E.g. ``node.created``."""
    at: float
    """Seconds since 1970."""
    object_id: str = ""
    """The id of the plugin, environment, node or deployment."""
    object_name: str = ""
    data: Mapping[str, JSON] = {}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a setting."""

    field: str
    """The setting, as a dotted path; empty for all together."""
    message: str
    remedy: str
    severity: Literal["error", "warning"] = "error"


class PlanNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node as a plan sees it."""

    id: str
    name: str
    address: str
    roles: Sequence[str]
    facts: Mapping[str, JSON]


class PlanInput(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an environment before its snapshot is closed."""

    environment: Environment
    settings: Mapping[str, JSON]
    """Of this plugin; secrets stand as references."""
    nodes: Sequence[PlanNode]
    plugins: Mapping[str, str]
    """Enabled plugins: name -> version."""
