# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Selectors: whether the roles that contributions are for are likely to be there."""

from __future__ import annotations

from collections.abc import Iterable

from stoker_sdk.extension_points.roles import Role
from stoker_sdk.extension_points.services import Service
from stoker_sdk.extension_points.tasks import Task
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.dependency import Dependency
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_role, did_you_mean
from stoker_sdk.model.selector import read_selector
from stoker_sdk.plugin import Plugin


def check_selectors(plugin: Plugin) -> Iterable[Finding]:
    """Roles that this plugin does not bring: legal, since another may, but a name that is only mistyped looks the same."""
    own = {item.name for item in plugin.contributions if isinstance(item, Role)}
    told: set[str] = set()
    for item in plugin.contributions:
        for field, text in _roles(item):
            role = base_role(text)
            if role in own or not role or role in told or list(check_role(role, field)):
                continue
            # A plugin that leans on another takes roles from there; only what looks like an own one is doubted.
            if plugin.requires_plugins and not did_you_mean(role, own):
                continue
            told.add(role)
            yield Finding(
                rule="S003",
                severity="warning",
                contribution=item.label,
                field=field,
                message=f"this plugin does not bring the role {role!r}.",
                remedy=f"{did_you_mean(role, own)}Add a roles.Role, or name the plugin that brings it in requires_plugins.",
            )


def base_role(text: str) -> str:
    """The role that a selector names; an empty text if it names none."""
    selector = read_selector(text)
    return selector.name if selector.kind in ("role", "primary") else ""


def _roles(item: Contribution) -> Iterable[tuple[str, str]]:
    for index, role in enumerate(getattr(item, "roles", ())):
        yield f"roles[{index}]", role
    if isinstance(item, Task | Service):
        for field in ("after", "before"):
            for index, edge in enumerate(getattr(item, field, ())):
                if isinstance(edge, Dependency) and edge.role is not None:
                    yield f"{field}[{index}].role", edge.role
