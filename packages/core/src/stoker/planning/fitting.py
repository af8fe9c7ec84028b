# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Fitting: whether plugins fit the environment's release, and nodes the operating systems of release and plugins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stoker_sdk.extension_points.releases import Release
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding

from stoker.domain.fitting import fits, names_of
from stoker.domain.node import Facts
from stoker.domain.snapshot import NodeInput
from stoker.planning.packages import join_constraints, unsatisfiable
from stoker.planning.parts import PluginParts
from stoker.planning.selectors import Membership


def check_releases(parts: Sequence[PluginParts]) -> Iterator[Finding]:
    """One release at most, and every plugin fits it."""
    brought = [(part, item) for part in parts for item in part.contributions if isinstance(item, Release)]
    for part, item in brought[1:]:
        first, other = brought[0]
        yield Finding(
            rule="J013",
            plugin=part.plugin.name,
            contribution=item.label,
            message=f"the environment runs the release {other.name} of plugin {first.plugin.name} already; it has one only.",
            remedy=f"Disable {first.plugin.name} or {part.plugin.name}, or use another environment.",
        )
    release = brought[0][1] if brought else None
    for part in parts:
        yield from _release_of(part, release)


def _release_of(part: PluginParts, release: Release | None) -> Iterator[Finding]:
    plugin = part.plugin
    if plugin.releases and (release is None or not fits(plugin.releases, release.product, release.version)):
        there = (
            "the environment has no release" if release is None else f"the environment runs {release.product} {release.version}"
        )
        wanted = " or ".join(plugin.releases)
        yield Finding(
            rule="J014",
            plugin=plugin.name,
            field="releases",
            message=f"it is for {wanted}, and {there}.",
            remedy="Enable the plugin of such a release first, or a version of this plugin that fits.",
        )
    if release is not None and not _meet(plugin.operating_systems, release.operating_systems):
        yield Finding(
            rule="J015",
            plugin=plugin.name,
            field="operating_systems",
            message=f"it is for nodes with {' or '.join(plugin.operating_systems)}, and the release {release.name} for nodes with"
            f" {' or '.join(release.operating_systems)}.",
            remedy="Use a version of the plugin that fits.",
        )


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether any operating system can be both."""
    if not one or not other:
        return True
    first, second = names_of(one), names_of(other)
    return any(
        not unsatisfiable(join_constraints(left, right))
        for name in first.keys() & second.keys()
        for left in first[name]
        for right in second[name]
    )


def check_operating_systems(
    parts: Sequence[PluginParts], nodes: Sequence[NodeInput], membership: Membership
) -> Iterator[Finding]:
    """A finding for each node that the release, or a plugin with something to do there, is not for."""
    staying = [part for part in parts if not part.plugin.removing]
    for part in staying:
        release = next((item for item in part.contributions if isinstance(item, Release)), None)
        for index, node in enumerate(nodes):
            if node.removing or node.left_out:
                continue
            if release is not None and not _right(release.operating_systems, node.facts):
                wanted = " or ".join(release.operating_systems)
                yield Finding(
                    rule="J016",
                    plugin=part.plugin.name,
                    contribution=release.label,
                    field=f"nodes.{node.name}",
                    message=f"node {node.name} has {_system(node.facts)}, and the release {release.name} is for {wanted}.",
                    remedy="Take the node out of the environment, or give it such an operating system.",
                )
            systems = part.plugin.operating_systems
            if not _right(systems, node.facts) and any(_meant(item, index, membership) for item in part.contributions):
                yield Finding(
                    rule="J017",
                    plugin=part.plugin.name,
                    field=f"nodes.{node.name}",
                    message=f"node {node.name} has {_system(node.facts)}, and the plugin is for {' or '.join(systems)}.",
                    remedy="Take the plugin's roles from the node, or use a version of the plugin that fits.",
                )


def _meant(contribution: Contribution, node: int, membership: Membership) -> bool:
    return membership.has(node, getattr(contribution, "roles", ()))


def _right(systems: Sequence[str], facts: Facts) -> bool:
    return fits(systems, facts.os_id, facts.os_version)


def _system(facts: Facts) -> str:
    return f"{facts.os_id} {facts.os_version}".strip() or "an operating system that is not known"
