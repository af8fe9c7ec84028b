# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Permissions: what somebody may do with a plugin, beyond the core's own access levels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind


class Permission(Contribution, frozen=True, kw_only=True, tag="permissions"):
    """A permission that routes, actions and serializer hooks of the plugin require; others call it ``PLUGIN.NAME``."""

    name: str
    """Lower case letters, digits and underscores, e.g. ``write_labels``."""
    title: str
    """What it allows, for a person."""
    access: Literal["viewer", "operator", "admin"] = "operator"
    """The lowest access level that has it."""

    @property
    def label(self) -> str:
        """``permissions NAME``."""
        return f"permissions {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name and title; a permission is there or not, so it has no condition."""
        yield from check_kind(self.name, "name")
        if not self.title.strip():
            yield Finding(rule="X060", field="title", message="There is no title.", remedy="Say in a few words what it allows.")
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Leave 'when' out.")


POINT = ExtensionPoint(name="permissions", combines="slot", contributions=(Permission,), scope="server")
