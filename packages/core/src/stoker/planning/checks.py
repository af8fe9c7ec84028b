# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Checks at enable: everything that can be found without nodes, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.expression import Expression, condition_source
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.program import compile_expression

from stoker.domain.snapshot import PluginInput, Snapshot
from stoker.planning.definitions import task_sources
from stoker.planning.files import Contents, MergedFile, file_programs
from stoker.planning.graph import order_definitions
from stoker.planning.packages import contradictions
from stoker.planning.parts import NodeClass, Origins, PluginParts, read_plugins

_UNKNOWN_BEFORE_DEPLOYMENT = frozenset({"node", "nodes", "by_role"})


def check_plugins(
    plugins: Sequence[PluginInput], relations: dict[str, tuple[Sequence[str], Sequence[str]]] | None = None
) -> list[Finding]:
    """All findings of plugins that shall be enabled together.

    Args:
        plugins: those that are enabled already and the new ones, with their settings.
        relations: plugin -> (requires_plugins, conflicts_plugins) as in the manifests.
    """
    marker = "\x00secret\x00"
    snapshot = Snapshot(environment_id="", environment_name="", plugins=list(plugins), nodes=[], marker=marker)
    parts, findings = read_plugins(snapshot)
    staying = [part for part in parts if not part.plugin.removing]
    findings += _relations(plugins, relations or {})
    findings += _roles(staying)
    sources, found = task_sources(parts, snapshot)
    findings += found
    names = {role.name for part in parts for role in part.roles}
    _, found = order_definitions([source.definition for source in sources], names)
    findings += found
    findings += _selectors(staying, names)
    findings += contradictions(staying)
    findings += _files(staying, names, marker)
    return list(dict.fromkeys(findings))


def _relations(plugins: Sequence[PluginInput], relations: dict[str, tuple[Sequence[str], Sequence[str]]]) -> Iterable[Finding]:
    present = {plugin.name: plugin.version for plugin in plugins if not plugin.removing}
    for name in sorted(present):
        requires, conflicts = relations.get(name, ((), ()))
        for text in requires:
            wanted = _requirement(text)
            if wanted.name not in present or not wanted.specifier.contains(present[wanted.name], prereleases=True):
                have = f"version {present[wanted.name]} is enabled" if wanted.name in present else "it is not enabled"
                yield Finding(
                    rule="D001",
                    plugin=name,
                    field="requires_plugins",
                    message=f"it needs {text}, but {have}.",
                    remedy=f"Enable {text}.",
                )
        for text in conflicts:
            other = _requirement(text)
            if other.name in present and other.specifier.contains(present[other.name], prereleases=True):
                yield Finding(
                    rule="D002",
                    plugin=name,
                    field="conflicts_plugins",
                    message=f"{name} and {other.name} {present[other.name]} exclude each other.",
                    remedy=f"Disable {other.name} or {name}.",
                )


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return Requirement("invalid-requirement")


def _roles(parts: Sequence[PluginParts]) -> Iterable[Finding]:
    owners: dict[str, PluginParts] = {}
    for part in parts:
        for role in part.roles:
            if role.name in owners:
                yield Finding(
                    rule="R007",
                    plugin=part.plugin.name,
                    contribution=role.label,
                    field="name",
                    message=f"the role {role.name} is brought by {owners[role.name].plugin.name} and {part.plugin.name}.",
                    remedy="Disable one of the two.",
                )
            owners.setdefault(role.name, part)


def _selectors(parts: Sequence[PluginParts], names: set[str]) -> Iterable[Finding]:
    for part in parts:
        members: list[tuple[Contribution, Sequence[str]]] = [
            *((item, item.roles) for item in part.packages),
            *((item, item.roles) for item in part.files),
            *((item, item.roles) for item in part.tasks),
            *((item, item.roles) for item in part.checks),
        ]
        for item, selector in members:
            for role in selector:
                if role != "*" and role not in names:
                    yield Finding(
                        rule="G002",
                        plugin=part.plugin.name,
                        contribution=item.label,
                        field="roles",
                        message=f"no enabled plugin brings the role {role!r}.",
                        remedy="Correct the name, or enable the plugin that brings it.",
                    )


def _known_now(item: ConfigFile | Option | ListItem) -> bool:
    """Whether an entry's value depends on settings and constants alone."""
    value = item.value if isinstance(item, Option) else item.items if isinstance(item, ListItem) else None
    texts = [part.source for part in (value if isinstance(value, list | tuple) else [value]) if isinstance(part, Expression)]
    source = condition_source(item.when)
    if source is not None:
        texts.append(source)
    return all(not (compile_expression(text).variables & _UNKNOWN_BEFORE_DEPLOYMENT) for text in texts)


def _files(parts: Sequence[PluginParts], names: set[str], marker: str) -> list[Finding]:
    """Conflicts in files, for each role alone and for all plugins that select every node."""
    findings: list[Finding] = []
    known = [
        msgspec.structs.replace(
            part, files=[item for item in part.files if not isinstance(item, ConfigFile | Option | ListItem) or _known_now(item)]
        )
        for part in parts
    ]
    for role in sorted(names) or ["*"]:
        group = NodeClass(roles=(role,), os_family="", nodes=[])
        programs, found = file_programs(known, group, Origins(), Contents(marker))
        findings += found
        for program in programs:
            if isinstance(program, MergedFile):
                program.content(-1)
                findings += program.findings
    return findings
