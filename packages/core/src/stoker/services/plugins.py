# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Installing, showing and uninstalling plugins in the running server."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from sqlalchemy import Row, insert, select
from stoker_sdk.bundle import Bundle
from stoker_sdk.extension_points.node_packages import RepositoryPackage
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin
from stoker_sdk.validation import check_plugin

from stoker import __version__
from stoker.db import record_indexes, tables
from stoker.db.plugin_denials import read_denials
from stoker.db.plugins import default_version, default_versions, environments_using, find_plugin
from stoker.domain.plugin_denial import Denial, denial_of, refuse_denied
from stoker.domain.settings import check_schema
from stoker.errors import BadRequestError, ConflictError, InvalidInputError
from stoker.plugin_host.store import FILES
from stoker.services import audit, plugin_descriptions, plugin_events, repositories
from stoker.services.commands import refuse_core_names
from stoker.services.components import refuse_contradictions
from stoker.services.context import ServerContext
from stoker.services.plugin_settings import settings_schema
from stoker.services.server_scope import refuse_clashes
from stoker.services.windows import Part, Window, cut

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,62}")
INSTALLING = threading.Lock()
"""Held while versions come and go: one at a time."""


class ContributionView(msgspec.Struct, frozen=True, kw_only=True):
    """One contribution of a plugin."""

    point: str
    """The class, e.g. ``tasks.shell``."""
    label: str
    """What messages call it."""


class PluginView(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin version."""

    name: str
    version: str
    title: str
    digest: str
    """SHA-256 of the bundle."""
    description: str
    requires_stoker: str
    requires_plugins: list[str]
    """Plugins that must be enabled beside it."""
    releases: list[str]
    """Releases that it works with, e.g. ``web-cluster>=1``; empty: it needs none."""
    operating_systems: list[str]
    """Operating systems that its nodes may have, e.g. ``debian>=12``; empty: all."""
    installed_at: float
    contributions: list[ContributionView]
    environments: list[str]
    """Names of the environments that use this version."""
    default: bool
    """Whether it is the server's default version."""
    denied: str
    """Why it is denied; empty if it is not."""
    outbound_network: str
    """Why its code must reach the network; empty: it need not."""
    network_agreed: bool
    """Whether an admin agreed to that."""
    settings_schema: dict[str, object]
    """JSON Schema of its settings; empty if it has none."""
    repository_packages: list[RepositoryPackage] = []
    """The packages of its own repositories."""
    openapi_problem: str = ""
    """Why its application's OpenAPI document is no part of the server's; told where one version is shown."""


class _Manifest(msgspec.Struct):
    """What answers show of a manifest."""

    description: str = ""
    requires_stoker: str = ""
    requires_plugins: list[str] = []
    releases: list[str] = []
    operating_systems: list[str] = []
    contributions: list[dict[str, object]] = []
    outbound_network: str = ""


def install(context: ServerContext, source: Path | bytes, *, allow_network: bool = False) -> tuple[PluginView, bool]:
    """Install a bundle; the second value says whether anything was new.

    Args:
        context: the server.
        source: the bundle.
        allow_network: let its code reach the network, if it says that it must.

    Raises:
        InvalidBundleError: it is broken, was tampered with, or is hostile.
        InvalidInputError: it does not fit this server, or a package of its repository is not what the manifest says,
            or its code does not fit this server's Python and platform.
        MissingProgramError: it carries a repository, and a program that makes one is not installed.
        ConflictError: the same version with other contents is installed, or another plugin brings the same for the whole server,
            or the version is denied.
        NetworkNotAgreedError: its code must reach the network, and nobody agreed to that.
    """
    bundle = context.store.open(source)
    _check(bundle)
    name, version = bundle.plugin.name, bundle.plugin.version
    with INSTALLING:
        if _installed(context, name, version, bundle.digest):
            return show(context, name, version), False
        with context.database.read() as connection:
            refuse_denied(read_denials(connection), name, version)
            _refuse_network(bundle.plugin, allow_network=allow_network)
            refuse_clashes(connection, bundle.plugin)
            refuse_core_names(bundle.plugin)
            refuse_contradictions(connection, bundle.plugin)
        context.store.install(bundle)
        try:
            repositories.make(context, bundle)
            context.venvs.ensure(context.store.folder(name, version) / FILES, bundle.plugin, bundle.digest)
            manifest = msgspec.json.encode(bundle.manifest).decode()
            with context.database.transaction() as connection:
                connection.execute(
                    insert(tables.plugins).values(
                        name=name,
                        version=version,
                        digest=bundle.digest,
                        title=bundle.plugin.title,
                        manifest=manifest,
                        path=f"{name}/{version}",
                        installed_at=time.time(),
                        network_agreed=bool(bundle.plugin.outbound_network),
                    )
                )
                told = {"version": version, "digest": bundle.digest}
                if bundle.plugin.outbound_network:
                    told["network"] = f"agreed: {bundle.plugin.outbound_network}"
                audit.record(connection, "plugin.install", f"{name}/{version}", name, after=told)
                record_indexes.follow(connection, name)
                plugin_events.note_interests(connection, bundle.plugin.name, version, manifest)
        except BaseException:
            _forget(context, name, version)  # no row, no file
            raise
    if context.events is not None:
        context.events.wake()
    _LOG.info("plugin %s %s installed, digest %s", name, version, bundle.digest, extra={"plugin": name})
    return show(context, name, version), True


class NetworkNotAgreedError(ConflictError):
    """A plugin's code must reach the network, and no admin agreed to that."""

    kind = "network-not-agreed"


def _refuse_network(plugin: Plugin, *, allow_network: bool) -> None:
    if plugin.outbound_network and not allow_network:
        raise NetworkNotAgreedError(
            f"the code of plugin {plugin.name} {plugin.version} wants to reach the network: {plugin.outbound_network}",
            remedy="If you agree, install it with --allow-network (API: ?allow_network=true).",
            outbound_network=plugin.outbound_network,
        )


def _forget(context: ServerContext, name: str, version: str) -> None:
    context.repositories.remove(name, version)
    context.venvs.remove(name, version)
    plugin_descriptions.forget(context, name, version)
    context.store.remove(name, version)


def _installed(context: ServerContext, name: str, version: str, digest: str) -> bool:
    with context.database.read() as connection:
        table = tables.plugins
        there = connection.execute(select(table.c.digest).where(table.c.name == name, table.c.version == version)).scalar()
    if there is not None and there != digest:
        raise ConflictError(
            f"plugin {name} {version} is installed with other contents (digest {there[:12]}, this one {digest[:12]}).",
            remedy="Give the changed plugin a new version, or uninstall the installed one first.",
        )
    return there is not None


def _check(bundle: Bundle) -> None:
    plugin = bundle.plugin
    if not _NAME.fullmatch(plugin.name) or not _is_version(plugin.version):
        raise InvalidInputError(
            f"plugin {plugin.name!r} {plugin.version!r}: name or version is not usable.",
            remedy="Names have lower case letters, digits and dashes; versions are as in Python packaging.",
        )
    try:
        fits = SpecifierSet(plugin.requires_stoker).contains(Version(__version__), prereleases=True)
    except (InvalidSpecifier, InvalidVersion) as error:
        raise InvalidInputError(f"plugin {plugin.name}: {error}.", remedy="Write requires_stoker as in '>=0.1,<1'.") from error
    if not fits:
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version} wants Stoker {plugin.requires_stoker}; this is {__version__}.",
            remedy="Install a version of the plugin for this Stoker.",
        )
    findings: list[Finding] = [finding for finding in check_plugin(plugin, try_defaults=False) if finding.severity == "error"]
    for contribution in plugin.contributions:
        if isinstance(contribution, Settings) and not any(finding.rule == "V002" for finding in findings):
            findings += check_schema(plugin.name, contribution.json_schema)
    if findings:
        raise InvalidInputError(f"plugin {plugin.name} is refused.", remedy=findings[0].remedy, findings=findings)


def _is_version(text: str) -> bool:
    """Whether a text is a version that is also the name of a folder."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return _VERSION.fullmatch(text) is not None


def show(context: ServerContext, name: str, version: str) -> PluginView:
    """One installed version. Raises NotFoundError."""
    with context.database.read() as connection:
        row = find_plugin(connection, name, version)
        view = _view(row, environments_using(connection), default_version(connection, name), read_denials(connection))
    return msgspec.structs.replace(view, openapi_problem=plugin_descriptions.fault(context, name, version))


def list_all(context: ServerContext, window: Window, name: str = "") -> Part[PluginView]:
    """Installed versions, by name and version; of one plugin if it is named."""
    table = tables.plugins
    after = _place(*window.after) if window.after else None
    with context.database.read() as connection:
        known = [_place(*row) for row in connection.execute(select(table.c.name, table.c.version))]
        wanted = sorted(place for place in known if name in ("", place[0]) and (after is None or place > after))
        shown, last = cut(wanted, window, lambda place: (place[0], place[2]))
        if not shown:
            return Part([])
        within = table.c.name.between(shown[0][0], shown[-1][0])
        rows = {(row.name, row.version): row for row in connection.execute(select(table).where(within))}
        users = environments_using(connection)
        defaults, denials = default_versions(connection), read_denials(connection)
    return Part([_view(rows[place[0], place[2]], users, defaults[place[0]], denials) for place in shown], last)


def _place(name: str | float, version: str | float) -> tuple[str, Version, str]:
    """Where a version stands in the list."""
    try:
        return str(name), Version(str(version)), str(version)
    except InvalidVersion as error:
        raise BadRequestError("the cursor names no version.", remedy="Take 'next' of the page before as it is.") from error


def _view(
    row: Row[tuple[object, ...]],
    users: dict[tuple[str, str], list[str]],
    default: str | None,
    denials: Sequence[Denial],
) -> PluginView:
    denial = denial_of(denials, row.name, row.version)
    manifest = msgspec.json.decode(row.manifest, type=_Manifest)
    return PluginView(
        name=row.name,
        version=row.version,
        title=row.title,
        digest=row.digest,
        description=manifest.description,
        requires_stoker=manifest.requires_stoker,
        requires_plugins=manifest.requires_plugins,
        releases=manifest.releases,
        operating_systems=manifest.operating_systems,
        installed_at=row.installed_at,
        contributions=[ContributionView(point=str(item.get("point")), label=label_of(item)) for item in manifest.contributions],
        environments=users.get((row.name, row.version), []),
        default=row.version == default,
        denied="" if denial is None else denial.reason,
        outbound_network=manifest.outbound_network,
        network_agreed=row.network_agreed,
        settings_schema=settings_schema(row.manifest),
        repository_packages=repositories.packages_of(row.manifest),
    )


def label_of(contribution: dict[str, object]) -> str:
    """As the SDK's labels, without building the contribution: lists of plugins stay cheap."""
    parts = [str(contribution.get("point"))]
    if section := contribution.get("section"):
        parts.append(f"[{section}]")
    parts += [str(contribution[key]) for key in ("id", "path", "service", "name", "key") if contribution.get(key)]
    if isinstance(packages := contribution.get("packages"), list):
        parts.append(", ".join(str(p.get("name") if isinstance(p, dict) else p) for p in packages[:3]))
    return " ".join(parts)
