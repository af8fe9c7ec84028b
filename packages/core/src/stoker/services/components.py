# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Components: what installed plugins offer for a new environment, what a choice of them means, and which plugins it enables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

import msgspec
from packaging.requirements import Requirement
from packaging.version import Version
from sqlalchemy import Connection, select
from stoker_sdk.extension_points.components import Component, Group
from stoker_sdk.extension_points.releases import Release
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.plugin import Plugin

from stoker.db import tables
from stoker.domain.components import Choice, Offer, Open, Reasoned, Solver
from stoker.domain.fitting import fits
from stoker.errors import ConflictError, NotFoundError
from stoker.services.context import ServerContext
from stoker.services.server_scope import Active, active

_T = TypeVar("_T", Component, Group, Release)


class ComponentView(msgspec.Struct, frozen=True, kw_only=True):
    """A component that can be chosen."""

    name: str
    group: str
    title: str
    description: str
    default: bool
    """Whether it is proposed."""
    requires: list[str]
    conflicts: list[str]
    plugin: str
    plugin_version: str
    plugins: list[str]
    """Further plugins that it needs, with versions."""
    releases: list[str]
    """Releases that it is offered for; empty: all."""


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group of components."""

    name: str
    title: str
    description: str
    choose: Literal["any", "some", "one"]
    plugin: str
    """Who declares it; empty if nobody does."""


class ComponentsView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is offered."""

    groups: list[GroupView]
    items: list[ComponentView]


class ChosenPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that a choice enables."""

    name: str
    version: str


class ChoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a partial choice."""

    chosen: list[str]
    implied: list[Reasoned]
    possible: list[str]
    impossible: list[Reasoned]
    open: list[Open]
    contradiction: list[str]
    complete: bool
    """Whether an environment can be made of it."""
    plugins: list[ChosenPlugin]
    """What it enables as far as it is known, by name; empty if it contradicts itself."""


class _Offered(msgspec.Struct, frozen=True):
    """What a server offers for one release."""

    components: list[Active[Component]]
    groups: list[Active[Group]]
    release: Active[Release] | None

    def solver(self) -> Solver:
        """Over these components."""
        return Solver(
            (_offer(item.plugin, item.contribution) for item in self.components),
            {item.contribution.name: item.contribution.choose for item in self.groups},
        )


def list_all(context: ServerContext, release: str = "") -> ComponentsView:
    """All components and their groups, of one release or of all. Raises NotFoundError if there is no such release."""
    with context.database.read() as connection:
        offered = _offered(connection, release)
    declared = {item.contribution.name: item for item in offered.groups}
    names = sorted({*declared, *(item.contribution.group for item in offered.components)})
    return ComponentsView(
        groups=[_group(name, declared.get(name)) for name in names],
        items=[_component(item) for item in offered.components],
    )


def solve(context: ServerContext, chosen: Iterable[str], release: str = "") -> ChoiceView:
    """What follows from a choice.

    Raises:
        NotFoundError: there is no such release.
        InvalidInputError: a component is not offered.
        ConflictError: a plugin that a component needs is not installed.
    """
    with context.database.read() as connection:
        offered = _offered(connection, release)
        choice = offered.solver().solve(chosen)
        plugins = [] if choice.contradiction else _plugins(connection, offered, choice)
    return ChoiceView(
        chosen=choice.chosen,
        implied=choice.implied,
        possible=choice.possible,
        impossible=choice.impossible,
        open=choice.open,
        contradiction=choice.contradiction,
        complete=choice.complete,
        plugins=plugins,
    )


def plugins_of(context: ServerContext, chosen: Iterable[str], release: str = "") -> list[ChosenPlugin]:
    """The plugins that an environment with these components enables, by name.

    Raises:
        NotFoundError: there is no such release.
        InvalidInputError: a component is not offered.
        ConflictError: the choice contradicts itself or leaves something open, or a plugin that it needs is not installed.
    """
    choice = solve(context, chosen, release)
    if choice.contradiction:
        raise ConflictError(
            f"these components cannot be chosen together: {' '.join(choice.contradiction)}", remedy="Leave one of them out."
        )
    if choice.open:
        left = "; ".join(f"{item.group} ({', '.join(item.candidates)})" for item in choice.open)
        raise ConflictError(f"something has still to be chosen: {left}.", remedy="Choose one of each group.")
    return choice.plugins


def refuse_contradictions(connection: Connection, plugin: Plugin) -> None:
    """Refuse a plugin that is about to be installed, if with it some component can never be chosen.

    Raises:
        ConflictError: the reasons name the components and plugins of both sides.
    """
    new = [item for item in plugin.contributions if isinstance(item, Component)]
    groups = [item for item in plugin.contributions if isinstance(item, Group)]
    if not new and not groups:
        return
    others = [item for item in _newest(active(connection, Component)) if item.plugin != plugin.name]
    offers = [*(_offer(item.plugin, item.contribution) for item in others), *(_offer(plugin.name, item) for item in new)]
    declared = [item.contribution for item in _newest(active(connection, Group)) if item.plugin != plugin.name]
    solver = Solver(offers, {item.name: item.choose for item in (*declared, *groups)}, tolerant=True)
    for found in solver.contradictions():
        raise ConflictError(
            f"plugin {plugin.name} {plugin.version} is refused: the component {found.name} could never be chosen:"
            f" {' '.join(found.reasons)}",
            remedy="Mend what the components of these plugins require and exclude.",
        )


def _offered(connection: Connection, release: str) -> _Offered:
    components = _newest(active(connection, Component))
    groups = _newest(active(connection, Group))
    found: Active[Release] | None = None
    if release:
        known = {item.contribution.name: item for item in reversed(active(connection, Release))}
        if release not in known:
            raise NotFoundError(
                f"no installed plugin brings the release {release!r}.",
                remedy=f"{did_you_mean(release, known)}'stoker releases list' shows all.",
            )
        found = known[release]
        product, version = found.contribution.product, found.contribution.version
        components = [item for item in components if fits(item.contribution.releases, product, version)]
        groups = [item for item in groups if fits(item.contribution.releases, product, version)]
    return _Offered(sorted(components, key=lambda item: item.contribution.name), groups, found)


def _newest(items: Sequence[Active[_T]]) -> list[Active[_T]]:
    """Of each plugin those of its newest version that brings any."""
    newest: dict[str, str] = {}
    return [item for item in items if newest.setdefault(item.plugin, item.version) == item.version]


def _offer(plugin: str, component: Component) -> Offer:
    return Offer(name=component.name, plugin=plugin, requires=component.requires, conflicts=component.conflicts)


def _plugins(connection: Connection, offered: _Offered, choice: Choice) -> list[ChosenPlugin]:
    taken = [item for item in offered.components if item.contribution.name in choice.taken]
    found = {item.plugin: item.version for item in taken}
    if offered.release is not None:
        found.setdefault(offered.release.plugin, offered.release.version)
    table = tables.plugins
    installed: dict[str, list[str]] = {}
    for row in connection.execute(select(table.c.name, table.c.version)):
        installed.setdefault(row.name, []).append(row.version)
    for item in taken:
        for text in item.contribution.plugins:
            wanted = Requirement(text)
            there = [found[wanted.name]] if wanted.name in found else installed.get(wanted.name, [])
            fitting = [version for version in there if wanted.specifier.contains(version, prereleases=True)]
            if not fitting:
                has = f"{', '.join(sorted(there))} is" if there else "it is not"
                raise ConflictError(
                    f"component {item.contribution.name} of plugin {item.plugin} needs the plugin {text}, but {has} installed.",
                    remedy=f"Install {text}, or choose another component.",
                )
            found[wanted.name] = max(fitting, key=Version)
    return [ChosenPlugin(name=name, version=version) for name, version in sorted(found.items())]


def _group(name: str, item: Active[Group] | None) -> GroupView:
    if item is None:
        return GroupView(name=name, title=name, description="", choose="any", plugin="")
    group = item.contribution
    return GroupView(name=name, title=group.title, description=group.description, choose=group.choose, plugin=item.plugin)


def _component(item: Active[Component]) -> ComponentView:
    component = item.contribution
    return ComponentView(
        name=component.name,
        group=component.group,
        title=component.title,
        description=component.description,
        default=component.default,
        requires=list(component.requires),
        conflicts=list(component.conflicts),
        plugin=item.plugin,
        plugin_version=item.version,
        plugins=list(component.plugins),
        releases=list(component.releases),
    )
