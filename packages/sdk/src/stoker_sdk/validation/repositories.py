# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repositories of a plugin: one for each family of operating systems."""

from __future__ import annotations

from collections.abc import Iterable

from stoker_sdk.extension_points.node_packages import Repository
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin


def check_repositories(plugin: Plugin) -> Iterable[Finding]:
    """Nodes know a plugin's repository by the plugin's name alone."""
    first: dict[str, Repository] = {}
    for item in plugin.contributions:
        if isinstance(item, Repository) and first.setdefault(item.os_family, item) is not item:
            yield Finding(
                rule="A013",
                contribution=item.label,
                field="os_family",
                message=f"{first[item.os_family].path} is the repository for {item.os_family} already.",
                remedy="Put all packages of one family into one folder.",
            )
