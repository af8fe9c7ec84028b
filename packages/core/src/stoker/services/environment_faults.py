# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What does not fit in an environment's file: everything is looked for, and told at once."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Row
from stoker_sdk.model.finding import Finding

from stoker.db.environments import enabled_plugins
from stoker.domain import settings
from stoker.domain.environment_file import EnvironmentFile, FileOverride, without_generated
from stoker.domain.settings import Document
from stoker.domain.snapshot import Snapshot
from stoker.errors import InvalidInputError
from stoker.services import enablement, overrides
from stoker.services.context import ServerContext
from stoker.services.enablement import Wanted
from stoker.services.environment_export import generated_secrets
from stoker.services.node_lists import views_of_names
from stoker.services.overrides import NewOverride
from stoker.services.plugin_inputs import Candidate
from stoker.services.releases import release_of
from stoker.services.roles import roles_of_manifests


def look(
    connection: Connection, home: Row[Any] | None, file: EnvironmentFile, secrets: Mapping[str, str]
) -> tuple[list[Candidate], list[Finding]]:
    """The plugins as they would be, and everything that does not fit."""
    identity = "" if home is None else str(home.id)
    stored = {row.plugin: msgspec.json.decode(row.settings) for row in enabled_plugins(connection, identity)} if identity else {}
    generated = generated_secrets(connection, identity)
    findings: list[Finding] = []
    used: set[str] = set()
    wanted = []
    for name, plugin in file.plugins.items():
        document = cast("Document", without_generated(copy.deepcopy(plugin.settings)))
        findings += _fill_secrets(name, document, stored.get(name, {}), generated, secrets, used)
        wanted.append(Wanted(plugin=name, version=plugin.version or None, settings=document))
    candidates, more = enablement.candidates_for(connection, identity, wanted)
    findings += more
    for candidate in candidates:
        findings += _secrets_in_the_clear(candidate, secrets)
    findings += [
        finding("J008", "secrets", f"the secret {name} is given, but the file has no such secret.", "Leave it out, or name it.")
        for name in sorted(secrets.keys() - used)
    ]
    manifests = [candidate.manifest for candidate in candidates]
    if file.release and file.release != (runs := release_of(manifests)):
        message = f"the file is of the release {file.release}, but its plugins bring {runs or 'none'}."
        findings.append(finding("J007", "release", message, "Name the plugin that brings it, in a version that does."))
    findings += _nodes_unfit(connection, home, file, roles_of_manifests(manifests))
    return candidates, findings


def _fill_secrets(
    plugin: str,
    document: Document,
    stored: Document,
    generated: Collection[tuple[str, str, int]],
    secrets: Mapping[str, str],
    used: set[str],
) -> Iterator[Finding]:
    """Put secrets that were given in their places, and keep those that are there already."""
    for path, reference in list(settings.references(document)):
        name = reference.get(settings.SECRET)
        place = f"{plugin}.{settings.dotted(path)}"
        name = name if isinstance(name, str) and name else place
        if name in secrets:
            used.add(name)
            settings.put(document, path, secrets[name])
            continue
        old = settings.get(stored, path)
        given = (
            isinstance(old, dict)
            and isinstance(old.get(settings.SECRET), str)
            and (plugin, old.get(settings.SECRET), old.get("version")) not in generated
        )
        if given:
            settings.put(document, path, old)
        else:
            settings.put(document, path, None)
            message = f"the secret {name} (setting {settings.dotted(path)} of plugin {plugin}) is not here."
            yield finding(
                "J005", f"plugins.{plugin}.settings.{settings.dotted(path)}", message, f"Give it: --secret {name}=@FILE."
            )


def _secrets_in_the_clear(candidate: Candidate, secrets: Mapping[str, str]) -> Iterator[Finding]:
    for field in candidate.looked.secrets:
        value = settings.get(candidate.settings, field.path)
        if isinstance(value, str) and value and value not in secrets.values():
            place = f"{candidate.plugin}.{settings.dotted(field.path)}"
            message = f"the file has the secret {place} in the clear."
            remedy = f"Write {{$secret: {place}}} there, and give it with --secret {place}=@FILE."
            yield finding("J006", f"plugins.{candidate.plugin}.settings.{settings.dotted(field.path)}", message, remedy)


def _nodes_unfit(
    connection: Connection, home: Row[Any] | None, file: EnvironmentFile, roles: Collection[str]
) -> Iterator[Finding]:
    views = views_of_names(connection, list(file.nodes))
    for name, node in sorted(file.nodes.items()):
        row, place = views.get(name), f"nodes.{name}"
        if row is None and node.address is None:
            remedy = "Add it ('stoker nodes add'), or say in the file how it is reached."
            yield finding("J003", place, f"node {name} is not there.", remedy)
        elif row is not None and row.environment not in ("", "" if home is None else home.name):
            yield finding("J003", place, f"node {name} belongs to another environment.", "Take it out there first.")
        elif row is not None and node.transport not in (None, row.transport):
            yield finding("J003", place, f"node {name} is reached by {row.transport}, not {node.transport}.", "Use another name.")
        for role in sorted(set(node.roles) - set(roles)):
            remedy = f"Use one of: {', '.join(sorted(roles)) or 'none; name a plugin that brings roles'}."
            yield finding("J004", f"{place}.roles", f"node {name}: no plugin of the file brings the role {role}.", remedy)


def overrides_unfit(context: ServerContext, name: str, candidates: list[Candidate], file: EnvironmentFile) -> list[Finding]:
    """A finding for each override that does not fit, or cannot take effect beside the plugins."""
    findings: list[Finding] = []
    fitting = []
    seen: set[tuple[object, ...]] = set()
    for item in file.overrides:
        try:
            override = overrides.checked(new_override(item), "")
        except InvalidInputError as error:
            findings += error.data.get("findings", [])
            continue
        place = (override.path, override.section, override.key, tuple(override.roles))
        if place in seen:
            findings.append(finding("J009", "overrides", f"the override of {item.file} {item.key} is there twice.", "Keep one."))
        seen.add(place)
        fitting.append(override)
    if fitting:
        snapshot = Snapshot(
            environment_id="",
            environment_name=name,
            plugins=enablement.inputs_of(context, candidates),
            nodes=[],
            marker="override",
            overrides=fitting,
        )
        findings += overrides.unfit(context, snapshot)
    return findings


def new_override(item: FileOverride) -> NewOverride:
    """An override of a file as one would give it."""
    return NewOverride(path=item.file, section=item.section, key=item.key, value=item.value, roles=item.roles)


def finding(rule: str, field: str, message: str, remedy: str) -> Finding:
    """A fault of a file."""
    return Finding(rule=rule, field=field, message=message, remedy=remedy)
