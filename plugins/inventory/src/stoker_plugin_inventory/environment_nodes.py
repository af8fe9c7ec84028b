# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes of the environment that a call is about, asked of the server's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from stoker_sdk.context import Context


class UnknownNodeError(LookupError):
    """The environment has no such node."""


def names(context: Context) -> dict[str, str]:
    """The name of each node, by its id.

    Raises:
        LookupError: the call is about no environment, or the server does not tell.
    """
    if context.environment is None:
        raise LookupError("labels belong to an environment, and this call names none")
    found: dict[str, str] = {}
    query: dict[str, str] = {}
    while True:
        path = f"/api/environments/{context.environment.id}/nodes?{urlencode({'ext': 'none', **query})}"
        answer = context.api.request("GET", path)
        if answer.status != 200:
            raise LookupError(f"the server does not tell the nodes of {context.environment.name}: it answered {answer.status}")
        page = cast("Mapping[str, Any]", answer.body)
        found |= {str(node["id"]): str(node["name"]) for node in page["items"]}
        if not (cursor := page.get("next")):
            return found
        query["cursor"] = str(cursor)


def identity(context: Context, name: str) -> str:
    """The id of a node.

    Raises:
        UnknownNodeError: the environment has none of that name.
        LookupError: as ``names``.
    """
    for key, known in names(context).items():
        if name in (key, known):
            return key
    raise UnknownNodeError(f"the environment has no node {name!r}")
