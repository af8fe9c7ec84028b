# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Services and releases: whether a plugin's own say one thing each, and entries name files that its own services have."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stoker_sdk.extension_points.config_files import ListItem, Option
from stoker_sdk.extension_points.releases import Release
from stoker_sdk.extension_points.services import Service
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin


def check_services(plugin: Plugin) -> Iterable[Finding]:
    """What the plugin's services and releases say of each other; services of other plugins are left to the plan."""
    releases = [item for item in plugin.contributions if isinstance(item, Release)]
    for release in releases[1:]:
        yield Finding(
            rule="J007",
            contribution=release.label,
            message="the plugin brings a release already, and an environment runs one only.",
            remedy="Make a plugin of its own for each release; one release may fit several operating systems.",
        )
    services: dict[str, Service] = {}
    units: set[str] = set()
    for item in plugin.contributions:
        if not isinstance(item, Service):
            continue
        if item.name in services:
            yield Finding(
                rule="J008", contribution=item.label, field="name", message="the plugin brings it twice.", remedy="Make it one."
            )
        for unit in item.units:
            if unit in units:
                yield Finding(
                    rule="J009",
                    contribution=item.label,
                    field="units",
                    message=f"the unit {unit} belongs to another service of the plugin already.",
                    remedy="Name it once; a unit can serve several roles.",
                )
            units.add(unit)
        services.setdefault(item.name, item)
    for entry in plugin.contributions:
        if isinstance(entry, Option | ListItem) and entry.service in services:
            for finding in services[entry.service].check_file(entry.file):
                yield msgspec.structs.replace(finding, contribution=entry.label)
