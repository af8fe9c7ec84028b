# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Operator's overrides: values that beat what plugins give to a file, and whether they still fit what plugins declare."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.services import Service
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.selector import read_selector

from stoker.domain.plan import OPERATOR
from stoker.domain.snapshot import OverrideInput, PluginInput, Snapshot
from stoker.planning.merge import Entry, Override
from stoker.planning.parts import NodeClass, Origins, PluginParts, read_plugins
from stoker.planning.secret_places import SecretPlaces, holds_secret
from stoker.planning.selectors import Membership
from stoker.planning.values import Nodes, Scope, ValueFault

_SHOWN: Final = 3


class Overrides:
    """The overrides of one environment as entries of files."""

    def __init__(self, given: Sequence[OverrideInput], secrets: SecretPlaces) -> None:
        """Sort them by file; the order in which they were given does not matter."""
        plugin = PluginInput(name=OPERATOR, version="", digest="", contributions=[])
        self._scope = Scope(plugin, Nodes([], Membership([])), {}, secrets, [])
        self._by_path: dict[str, list[Override]] = {}
        for item in sorted(given, key=lambda item: (item.path, item.section, item.key, item.roles)):
            self._by_path.setdefault(item.path, []).append(
                Override(path=item.path, section=item.section, key=item.key, value=item.value, roles=item.roles, by=item.by)
            )

    def entries(self, path: str, group: NodeClass, origins: Origins) -> list[Entry]:
        """What the operator says about a file on a class of nodes."""
        return [
            Entry(self._scope, item, self._origin(item, origins)) for item in self._by_path.get(path, ()) if group.has(item.roles)
        ]

    def _origin(self, item: Override, origins: Origins) -> int:
        number = origins.add(self._scope.plugin, item, item.value, "override")
        if item.by and not origins.items[number].by:
            origins.items[number] = msgspec.structs.replace(origins.items[number], by=item.by)
        return number


def check_overrides(parts: Sequence[PluginParts], overrides: Iterable[OverrideInput]) -> list[Finding]:
    """A finding for each override that cannot take effect, or would show a secret."""
    staying = [part for part in parts if not part.plugin.removing]
    declared = {item.path: item for part in staying for item in part.files if isinstance(item, ConfigFile)}
    whole = {item.path: part for part in staying for item in part.files if isinstance(item, WholeFile)}
    roles = sorted({role.name for part in staying for role in part.roles})
    services = {item.name for part in staying for item in part.contributions if isinstance(item, Service)}
    findings: list[Finding] = []
    for override in overrides:
        if override.path in whole:
            findings.append(_whole(override, whole[override.path].plugin.name))
        elif override.path not in declared:
            findings.append(_undeclared(override, sorted(declared)))
        else:
            findings += _unwritable(override, declared[override.path])
            findings += _shows_secret(override, staying)
        findings += (_unknown_role(override, text, roles) for text in override.roles if not _is_known(text, roles, services))
    return findings


def check_given(snapshot: Snapshot) -> list[Finding]:
    """What is wrong with a snapshot's overrides; other faults of its plugins are told elsewhere."""
    parts = read_plugins(snapshot, SecretPlaces(snapshot.marker)).plugins
    return check_overrides(parts, snapshot.overrides)


def place_of(override: OverrideInput) -> str:
    """An override's place as messages say it."""
    return f"{override.path} [{override.section}] {override.key}" if override.section else f"{override.path} {override.key}"


def _finding(rule: str, override: OverrideInput, message: str, remedy: str) -> Finding:
    label = f"override {place_of(override)}"
    return Finding(rule=rule, contribution=label, field="path", file=override.path, message=message, remedy=remedy)


def _undeclared(override: OverrideInput, declared: Sequence[str]) -> Finding:
    close = difflib.get_close_matches(override.path, declared, n=_SHOWN, cutoff=0.5)
    close = close or [path for path in declared if path.rsplit("/", 1)[-1] == override.path.rsplit("/", 1)[-1]][:_SHOWN]
    meant = f"Did you mean {' or '.join(close)}?" if close else "Enable the plugin that declares it"
    message = f"the operator overrides {place_of(override)}, but no enabled plugin declares {override.path}."
    return _finding(
        "O001", override, message, f"{meant}{'' if close else ','} or take the override back ('stoker env override unset')."
    )


def _whole(override: OverrideInput, plugin: str) -> Finding:
    message = (
        f"the operator overrides {place_of(override)}, but plugin {plugin} writes {override.path} as a whole: it has no options."
    )
    return _finding("O002", override, message, f"Use the settings of {plugin}, or take the override back.")


def _is_known(text: str, roles: Collection[str], services: Collection[str]) -> bool:
    """Whether a selector names what is there."""
    selector = read_selector(text)
    return not selector.name or selector.name in (services if selector.kind == "service" else roles)


def _unknown_role(override: OverrideInput, role: str, roles: Sequence[str]) -> Finding:
    close = difflib.get_close_matches(role, roles, n=_SHOWN)
    message = f"the operator overrides {place_of(override)} for the role {role}, which no enabled plugin brings."
    return _finding("O004", override, message, f"Use one of: {', '.join(close or roles) or 'none'}; or take the override back.")


def _unwritable(override: OverrideInput, file: ConfigFile) -> Iterator[Finding]:
    values = override.value if isinstance(override.value, list) else [override.value]
    if file.format != "yaml" and any(isinstance(value, str) and len(value.splitlines()) > 1 for value in values):
        message = f"the operator overrides {place_of(override)} with several lines; a value in this file has one."
        yield _finding("O005", override, message, "Give one line.")


def _shows_secret(override: OverrideInput, parts: Sequence[PluginParts]) -> Iterator[Finding]:
    for part in parts:
        for item in part.files:
            if not isinstance(item, Option | ListItem) or (item.path, item.section, item.key) != (
                override.path,
                override.section,
                override.key,
            ):
                continue
            if _is_secret(part, item):
                plugin = part.plugin.name
                message = (
                    f"{place_of(override)} holds a secret of plugin {plugin}; overrides are no secrets: everybody can read them."
                )
                yield _finding(
                    "O006", override, message, f"Give it as a setting: 'stoker env settings ENV {plugin} --secret NAME'."
                )
                return


def _is_secret(part: PluginParts, item: Option | ListItem) -> bool:
    try:
        value = part.scope.evaluate(item.value if isinstance(item, Option) else item.items, item.label)
    except ValueFault:
        return False  # it needs a node; secrets do not
    return any(isinstance(text, str) and holds_secret(text) for text in (value if isinstance(value, list) else [value]))
