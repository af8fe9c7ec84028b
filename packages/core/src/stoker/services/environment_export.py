# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An environment read as a file: without secrets, ids and history."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Row, select

from stoker import __version__
from stoker.db import tables
from stoker.db.environments import enabled_plugins
from stoker.db.overrides import read_overrides
from stoker.domain import settings
from stoker.domain.environment_file import FORMAT, GENERATED, EnvironmentFile, FileNode, FileOverride, FilePlugin
from stoker.domain.settings import Document
from stoker.services.node_lists import views_of_environment
from stoker.services.nodes import NodeView
from stoker.services.releases import release_of


def read_file(connection: Connection, home: Row[Any], *, with_nodes: bool) -> EnvironmentFile:
    """An environment as a file, in the caller's transaction."""
    rows = [row for row in enabled_plugins(connection, home.id) if row.state == "enabled"]
    generated = generated_secrets(connection, home.id)
    return EnvironmentFile(
        format=FORMAT,
        stoker=__version__,
        name=str(home.name),
        release=release_of(str(row.manifest) for row in rows),
        plugins={
            str(row.plugin): FilePlugin(
                version=str(row.version), settings=_named_secrets(str(row.plugin), msgspec.json.decode(row.settings), generated)
            )
            for row in rows
        },
        nodes={
            view.name: _file_node(view, with_way=with_nodes)
            for view in views_of_environment(connection, str(home.id))
            if not view.removing
        },
        overrides=[
            FileOverride(
                file=item.override.path,
                section=item.override.section,
                key=item.override.key,
                value=item.override.value,
                roles=item.override.roles,
            )
            for item in read_overrides(connection, home.id)
        ],
    )


def _file_node(view: NodeView, *, with_way: bool) -> FileNode:
    if not with_way:
        return FileNode(roles=sorted(view.roles))
    return FileNode(
        roles=sorted(view.roles),
        address=view.address,
        port=view.port,
        user=view.user,
        sudo=view.sudo,
        credential=view.credential or None,
        jump=view.jump or None,
        transport=cast("Any", view.transport),
    )


def generated_secrets(connection: Connection, environment_id: str) -> set[tuple[str, str, int]]:
    """Plugin, name and version of each secret that the server made."""
    table = tables.secrets
    query = select(table.c.plugin, table.c.name, table.c.version).where(
        table.c.environment_id == environment_id, table.c.generated.is_(True)
    )
    return {(row.plugin, row.name, row.version) for row in connection.execute(query)}


def _named_secrets(plugin: str, document: Document, generated: Collection[tuple[str, str, int]]) -> dict[str, object]:
    for path, reference in list(settings.references(document)):
        place = (plugin, str(reference.get(settings.SECRET)), cast("int", reference.get("version", 0)))
        name = f"{plugin}.{settings.dotted(path)}"
        settings.put(document, path, {GENERATED: True} if place in generated else {settings.SECRET: name})
    return dict(document)


def secret_versions(connection: Connection, environment_id: str) -> dict[str, object]:
    """Every secret that is in use -> the version."""
    found: dict[str, object] = {}
    for row in enabled_plugins(connection, environment_id):
        for path, reference in settings.references(msgspec.json.decode(row.settings)):
            found[f"plugins.{row.plugin}.settings.{settings.dotted(path)}"] = reference.get("version")
    return found
