# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Package repositories of plugins: made when a plugin is installed, shown, and told to nodes with the key that signs them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import msgspec
from packaging.version import Version
from sqlalchemy import Connection, select
from stoker_sdk.bundle import Bundle
from stoker_sdk.extension_points.node_packages import RepositoryPackage
from stoker_sdk.manifest import read_manifest

from stoker.db import tables
from stoker.db.deployments import unfinished_deployments
from stoker.db.repository_keys import find_key, keep_key
from stoker.domain.repository import RepositoryAccess
from stoker.domain.snapshot import PluginInput
from stoker.errors import ConflictError, InvalidInputError, NotFoundError, RepositoryError
from stoker.plugin_host.openpgp import SigningKey
from stoker.plugin_host.repositories import repositories_of
from stoker.plugin_host.store import FILES
from stoker.services import audit
from stoker.services.context import ServerContext

_LOG = logging.getLogger(__name__)
_POINT = "node_packages.repository"
_MAKING = threading.Lock()
_NO_KEY = "It is made when the first plugin with a repository is installed."


class RepositoryView(msgspec.Struct, frozen=True, kw_only=True):
    """One repository of an installed plugin version."""

    plugin: str
    version: str
    os_family: str
    address: str
    """Where nodes fetch it; an address of ``stoker.invalid`` leads through the held SSH connection."""
    packages: list[RepositoryPackage]


class RepositoryKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """The key that signs every repository of this server; its private half is never part of an answer."""

    fingerprint: str
    public_key: str
    """In ASCII armour."""
    created_at: float


class _Contribution(msgspec.Struct):
    """A contribution, as far as it may be a repository."""

    point: str
    os_family: str = "debian"
    packages: list[object] = []


class _Manifest(msgspec.Struct):
    """What is needed of a manifest."""

    contributions: list[_Contribution] = []


def make(context: ServerContext, bundle: Bundle) -> None:
    """Check and sign the repositories of a plugin whose files were unpacked; nothing happens if it carries none.

    Raises:
        InvalidInputError: a package is not what the manifest says, or the manifest does not name it.
        MissingProgramError: a program that makes repositories is not installed.
        RepositoryError: it fails.
    """
    plugin = bundle.plugin
    if not repositories_of(plugin):
        return
    files = context.store.folder(plugin.name, plugin.version) / FILES
    findings = context.repositories.check(plugin, files, bundle.sums)
    if findings:
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version} is refused: its packages are not those of its manifest.",
            remedy=findings[0].remedy,
            findings=findings,
        )
    context.repositories.make(plugin, files, _key(context))


def remake(context: ServerContext) -> None:
    """At the server's start: sweep leftovers, and make anew what is missing or was signed with a key that is no longer ours."""
    with context.database.read() as connection:
        rows = list(connection.execute(select(tables.plugins.c.name, tables.plugins.c.version, tables.plugins.c.manifest)))
        known = find_key(connection)
    carriers = [row for row in rows if _POINT in row.manifest and _repositories(row.manifest)]
    context.repositories.sweep({(row.name, row.version) for row in carriers})
    for row in carriers:
        if known is None or context.repositories.signed_with(row.name, row.version) != known.fingerprint:
            plugin = read_manifest(msgspec.json.decode(row.manifest, type=dict[str, object]))
            try:
                context.repositories.make(plugin, context.store.folder(row.name, row.version) / FILES, _key(context))
            except RepositoryError as error:  # the server is needed for other things, too
                _LOG.error("the package repositories of plugin %s %s are missing: %s", row.name, row.version, error)
            else:
                _LOG.warning("the package repositories of plugin %s %s are made anew", row.name, row.version)


def renew_key(context: ServerContext) -> RepositoryKeyView:
    """Sign every repository with a new key from now on; nodes get it with their environments' next deployment.

    Raises:
        NotFoundError: there is no key yet.
        ConflictError: a deployment is under way, whose nodes trust the old one.
        MissingProgramError: gpg is not installed.
    """
    with _MAKING:
        made = context.repositories.new_key()
        with context.database.transaction() as connection:
            found = find_key(connection)
            if found is None:
                raise NotFoundError("there is no key yet.", remedy=_NO_KEY)
            if running := unfinished_deployments(connection):
                raise ConflictError(
                    f"{len(running)} deployments are under way, and their nodes trust the key that there is.",
                    remedy="Wait for their end: 'stoker deployments list ENVIRONMENT'.",
                )
            keep_key(connection, made.fingerprint, made.public, made.private, context.vault.encrypt)
            before, after = {"fingerprint": found.fingerprint}, {"fingerprint": made.fingerprint}
            audit.record(connection, "repository_key.renew", made.fingerprint, made.fingerprint, before=before, after=after)
    remake(context)
    return show_key(context)


def _key(context: ServerContext) -> SigningKey:
    """The key that signs; the first time, it is made."""
    with _MAKING:
        with context.database.read() as connection:
            found = find_key(connection)
        if found is None:
            made = context.repositories.new_key()
            with context.database.transaction() as connection:
                keep_key(connection, made.fingerprint, made.public, made.private, context.vault.encrypt)
                audit.record(connection, "repository_key.create", made.fingerprint, made.fingerprint)
            return made
    private = context.vault.decrypt(found.private_key).decode()
    return SigningKey(fingerprint=found.fingerprint, public=found.public_key, private=private)


def access(context: ServerContext, connection: Connection, plugins: Sequence[PluginInput]) -> RepositoryAccess | None:
    """What nodes need to use the repositories of plugins; ``None`` if none of them carries one."""
    if not any(item.get("point") == _POINT for plugin in plugins for item in plugin.contributions):
        return None
    found = find_key(connection)
    if found is None:
        return None  # the start of the server makes one; without any, no index is signed
    return RepositoryAccess(fingerprint=found.fingerprint, key=found.public_key, url=context.config.repository_url)


def list_all(context: ServerContext) -> list[RepositoryView]:
    """The repositories of all installed plugin versions."""
    table = tables.plugins
    with context.database.read() as connection:
        rows = [
            row for row in connection.execute(select(table.c.name, table.c.version, table.c.manifest)) if _POINT in row.manifest
        ]
    where = RepositoryAccess(fingerprint="", key="", url=context.config.repository_url)
    return [
        RepositoryView(
            plugin=row.name,
            version=row.version,
            os_family=item.os_family,
            address=where.address(row.name, row.version, item.os_family),
            packages=msgspec.convert(item.packages, list[RepositoryPackage]),
        )
        for row in sorted(rows, key=lambda row: (row.name, Version(row.version)))
        for item in _repositories(row.manifest)
    ]


def show_key(context: ServerContext) -> RepositoryKeyView:
    """The public key. Raises NotFoundError as long as no plugin with a repository was installed."""
    with context.database.read() as connection:
        found = find_key(connection)
    if found is None:
        raise NotFoundError("there is no key yet.", remedy=_NO_KEY)
    return RepositoryKeyView(fingerprint=found.fingerprint, public_key=found.public_key, created_at=found.created_at)


def packages_of(manifest: str) -> list[RepositoryPackage]:
    """The packages of all repositories that a manifest (JSON text) names."""
    if _POINT not in manifest:
        return []
    return [msgspec.convert(package, RepositoryPackage) for item in _repositories(manifest) for package in item.packages]


def _repositories(manifest: str) -> list[_Contribution]:
    return [item for item in msgspec.json.decode(manifest, type=_Manifest).contributions if item.point == _POINT]
