# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Releases: which the installed plugins bring, what they are made of, and which one an environment runs."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection
from stoker_sdk.extension_points.releases import Release
from stoker_sdk.extension_points.roles import Role
from stoker_sdk.extension_points.services import Service
from stoker_sdk.manifest import read_contribution
from stoker_sdk.model.naming import did_you_mean

from stoker.db.plugins import environments_using, find_plugin
from stoker.errors import NotFoundError
from stoker.services.context import ServerContext
from stoker.services.server_scope import active, contributions_of


class ReleaseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A release that an installed plugin brings."""

    name: str
    product: str
    version: str
    title: str
    description: str
    operating_systems: list[str]
    """Operating systems that its nodes may have, e.g. ``debian>=12,<13``; empty: all."""
    plugin: str
    """The plugin that brings it."""
    plugin_versions: list[str]
    """Its installed versions that do, newest first; all else is told of the newest."""
    environments: list[str]
    """Names of the environments that run it."""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service of a release."""

    name: str
    title: str
    roles: list[str]
    """The selectors of its nodes."""
    packages: list[str]
    units: list[str]
    files: dict[str, str]
    """What entries call a file -> its path."""


class ReleaseView(ReleaseSummary, frozen=True, kw_only=True):
    """A release with what its plugin brings."""

    roles: list[str]
    services: list[ServiceView]


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


def list_all(context: ServerContext) -> list[ReleaseSummary]:
    """All releases, by name."""
    with context.database.read() as connection:
        return _summaries(connection)


def show(context: ServerContext, name: str) -> ReleaseView:
    """One release with its roles and services. Raises NotFoundError."""
    with context.database.read() as connection:
        found = {item.name: item for item in _summaries(connection)}
        if name not in found:
            raise NotFoundError(
                f"no installed plugin brings the release {name!r}.",
                remedy=f"{did_you_mean(name, found)}'stoker releases list' shows all.",
            )
        summary = found[name]
        manifest = str(find_plugin(connection, summary.plugin, summary.plugin_versions[0]).manifest)
    documents = msgspec.json.decode(manifest, type=_Manifest).contributions
    parts = [read_contribution(document) for document in documents if document.get("point") in ("roles", "services")]
    return ReleaseView(
        **msgspec.structs.asdict(summary),
        roles=sorted(item.name for item in parts if isinstance(item, Role)),
        services=sorted((_service(item) for item in parts if isinstance(item, Service)), key=lambda item: item.name),
    )


def release_of(manifests: Iterable[str]) -> str:
    """The name of the release among an environment's plugins; an empty text if none brings one."""
    for manifest in manifests:
        if '"releases"' not in manifest:
            continue  # most plugins bring none, and manifests can be long
        for item in contributions_of(manifest):
            if isinstance(item, Release):
                return item.name
    return ""


def _summaries(connection: Connection) -> list[ReleaseSummary]:
    users = environments_using(connection)
    found: dict[str, ReleaseSummary] = {}
    for item in active(connection, Release):
        release, known = item.contribution, found.get(item.contribution.name)
        environments = users.get((item.plugin, item.version), [])
        if known is None:
            found[release.name] = ReleaseSummary(
                name=release.name,
                product=release.product,
                version=release.version,
                title=release.title or release.name,
                description=release.description,
                operating_systems=list(release.operating_systems),
                plugin=item.plugin,
                plugin_versions=[item.version],
                environments=sorted(environments),
            )
        else:
            known.plugin_versions.append(item.version)
            known.environments[:] = sorted({*known.environments, *environments})
    return [found[name] for name in sorted(found)]


def _service(service: Service) -> ServiceView:
    return ServiceView(
        name=service.name,
        title=service.title or service.name,
        roles=list(service.roles),
        packages=[item if isinstance(item, str) else item.name for item in service.packages],
        units=list(service.units),
        files={file.called: file.path for file in service.files},
    )
