# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about what plugins let people do: permissions, actions, jobs, commands."""

from __future__ import annotations

from typing import TypedDict

from stoker.client.requests import Requests


class PermissionDocument(TypedDict):
    """A permission of one plugin version."""

    name: str
    plugin: str
    version: str
    title: str
    access: str
    granted: bool
    environments: list[str] | None


class ActionRequests(Requests):
    """Requests about permissions, actions, jobs and commands of plugins."""

    def permissions(self, plugin: str = "") -> list[PermissionDocument]:
        """The permissions that installed plugins bring."""
        return self._many(PermissionDocument, "/api/permissions", {"plugin": plugin})
