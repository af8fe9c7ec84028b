# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Checks at enabling: everything that is wrong with plugins together and can be seen before there is a plan, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.expression import condition_source
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.program import compile_expression
from stoker_sdk.model.selector import ONCE

from stoker.domain.snapshot import PluginInput, Snapshot
from stoker.planning.definitions import task_sources
from stoker.planning.files import Contents, file_programs
from stoker.planning.fitting import check_releases
from stoker.planning.graph import order_definitions
from stoker.planning.kinds import apply_kinds, check_parameters
from stoker.planning.owners import Want, clashes, constant_content, contested
from stoker.planning.packages import contradictions
from stoker.planning.parts import FileEntry, NodeClass, Origins, PluginParts, read_plugins
from stoker.planning.patches import apply_patches
from stoker.planning.references import VARIABLES, check_expressions, check_selectors
from stoker.planning.repositories import differing_packages
from stoker.planning.secret_places import SecretPlaces
from stoker.planning.selectors import implied
from stoker.planning.values import Scope, ValueFault, sources
from stoker.planning.variables import check_variables

_ALONE: Final = frozenset({"settings", "environment"})
"""Variables whose values are known before any node is."""


def check_plugins(plugins: Sequence[PluginInput]) -> list[Finding]:
    """Everything that can be found when plugins are enabled together; the order of ``plugins`` does not matter."""
    staying = sorted((plugin for plugin in plugins if not plugin.removing), key=lambda plugin: plugin.name)
    snapshot = Snapshot(environment_id="", environment_name="", plugins=staying, nodes=[], marker="")
    secrets = SecretPlaces("")
    read = read_plugins(snapshot, secrets)
    parts, kind_faults = apply_kinds(read.plugins)
    parts, patch_faults = apply_patches(parts, early=True)
    findings = [*read.findings, *kind_faults, *patch_faults]
    findings += _companions(staying)
    findings += check_releases(parts)
    findings += _roles_twice(parts)
    findings += differing_packages(parts)
    findings += check_selectors(parts, read.services)
    findings += _checks_of_contributions(parts)
    findings += check_variables(parts)
    faults = check_expressions(parts, read.services)
    findings += faults
    sources, more = task_sources(parts, snapshot)
    findings += more
    roles = sorted({role.name for part in parts for role in part.roles})
    if not any(finding.rule == "G006" for finding in more):
        findings += order_definitions([source.definition for source in sources], roles, read.services)[1]
    if not faults:
        findings += check_parameters(parts)
        findings += _merging(parts, roles, read.services)
    return list(dict.fromkeys(secrets.in_words(finding) for finding in findings))


def _companions(plugins: Sequence[PluginInput]) -> Iterator[Finding]:
    by_name = {plugin.name: plugin for plugin in plugins}
    for plugin in plugins:
        for text in plugin.requires:
            name, fits = _requirement(text, by_name)
            if not fits:
                there = f"version {by_name[name].version} is" if name in by_name else "it is not"
                message = f"it needs {text}, but {there} enabled here."
                yield Finding(rule="D001", plugin=plugin.name, message=message, remedy=f"Enable {text} first.")
        for text in plugin.conflicts:
            name, fits = _requirement(text, by_name)
            if fits:
                message = f"it cannot be enabled beside {name} {by_name[name].version}."
                yield Finding(rule="D002", plugin=plugin.name, message=message, remedy=f"Disable {plugin.name} or {name}.")


def _requirement(text: str, by_name: dict[str, PluginInput]) -> tuple[str, bool]:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return text, text in by_name
    found = by_name.get(requirement.name)
    return requirement.name, found is not None and requirement.specifier.contains(found.version, prereleases=True)


def _roles_twice(parts: Sequence[PluginParts]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for part in parts:
        for role in part.roles:
            if role.name in owners:
                yield Finding(
                    rule="R007",
                    plugin=part.plugin.name,
                    contribution=role.label,
                    field="name",
                    message=f"the role {role.name} is brought by {owners[role.name]} already.",
                    remedy=f"Disable {owners[role.name]} or {part.plugin.name}, or rename the role.",
                )
            owners.setdefault(role.name, part.plugin.name)


def _checks_of_contributions(parts: Sequence[PluginParts]) -> Iterator[Finding]:
    for part in parts:
        for contribution in part.contributions:
            for finding in contribution.check():
                yield msgspec.structs.replace(finding, plugin=part.plugin.name, contribution=contribution.label)


def _merging(parts: Sequence[PluginParts], roles: Sequence[str], services: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Files and packages as a node of each role would get them; what depends on nodes is left to the plan."""
    known = [_known_before_nodes(part) for part in parts]
    certain = [_certain(part) for part in parts]
    for members in (*(implied(role, services) for role in (*roles, "")), (ONCE,)):
        group = NodeClass(roles=members, os_family="", nodes=[])
        contents = Contents(SecretPlaces(""))
        programs, findings = file_programs(known, group, Origins(), contents)
        yield from findings
        for program in programs:
            try:
                program.check()
            except ValueFault as fault:
                yield fault.finding
            yield from program.findings
        yield from _owners(certain, group)
        yield from contradictions((part, item) for part in known for item in part.packages if group.has(item.roles))


def _owners(parts: Sequence[PluginParts], group: NodeClass) -> Iterator[Finding]:
    """Paths, units and packages that are wanted in two ways, as far as that is known before any node is."""
    # Packages of several families of operating systems may never meet: the plan knows the nodes.
    one_family = len({item.os_family for part in parts for item in part.packages}) <= 1
    return clashes(contested(parts, group, packages=one_family), lambda _: True, _content_alone)


def _content_alone(want: Want) -> str | None:
    known = want.item is not None and all(_alone(source) for source in sources(want.item.content))
    return constant_content(want) if known else None


def _certain(part: PluginParts) -> PluginParts:
    """The plugin without contributions whose condition is not known yet, or false."""
    return msgspec.structs.replace(
        part,
        files=[item for item in part.files if _holds(part.scope, item)],
        packages=[item for item in part.packages if _holds(part.scope, item)],
        tasks=[item for item in part.tasks if _holds(part.scope, item)],
    )


def _known_before_nodes(part: PluginParts) -> PluginParts:
    """The plugin without entries whose condition or value is not known yet: because of nodes, or of settings still to come."""
    return msgspec.structs.replace(
        part,
        files=[item for item in part.files if _is_known(part.scope, item)],
        packages=[item for item in part.packages if _holds(part.scope, item)],
    )


def _is_known(scope: Scope, item: FileEntry) -> bool:
    if isinstance(item, ConfigFile):
        return True
    if not _holds(scope, item):
        return False
    if isinstance(item, Option | ListItem):
        value = item.value if isinstance(item, Option) else item.items
        if not all(_alone(source) for source in sources(value)):
            return False
        try:
            scope.evaluate(value, item.label)
        except ValueFault:
            return False
    return True


def _holds(scope: Scope, item: Contribution) -> bool:
    source = condition_source(item.when)
    if source is None:
        return True
    try:
        return _alone(source) and scope.holds(item.when, item.label)
    except ValueFault:
        return False


def _alone(source: str) -> bool:
    variables = compile_expression(source).variables
    return not (variables & (VARIABLES - _ALONE))
