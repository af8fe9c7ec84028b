# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin's settings as its code gets them: complete, and with references in the place of secrets."""

from __future__ import annotations

import copy

import msgspec
from sqlalchemy import Connection, select

from stoker.db import tables
from stoker.domain import settings
from stoker.domain.settings import Settings


class Used(msgspec.Struct, frozen=True):
    """A plugin in an environment, as far as calls of its code need to know."""

    version: str
    settings: dict[str, object]
    """Effective ones."""


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


def settings_schema(manifest: str) -> dict[str, object]:
    """The settings schema in a manifest (JSON text); empty if the plugin has no settings."""
    for contribution in msgspec.json.decode(manifest, type=_Manifest).contributions:
        if contribution.get("point") == "settings" and isinstance(schema := contribution.get("schema"), dict):
            return schema
    return {}


def masked(looked: Settings) -> dict[str, object]:
    """Complete settings without a secret in the clear: one that is not stored yet stands as its first version."""
    document = copy.deepcopy(looked.complete)  # the secrets themselves are still needed there, to be kept
    for field in looked.secrets:
        value = settings.get(document, field.path)
        if not settings.is_reference(value) and (value not in (None, "") or field.generator):
            settings.put(document, field.path, {settings.SECRET: settings.dotted(field.path), "version": 1})
    return dict(document)


def used(connection: Connection, environment_id: str, plugin: str) -> Used | None:
    """A plugin's version and effective settings in an environment; ``None`` if it is not enabled there."""
    table, installed = tables.environment_plugins, tables.plugins
    row = connection.execute(
        select(table.c.version, table.c.settings, installed.c.manifest)
        .join(installed, (installed.c.name == table.c.plugin) & (installed.c.version == table.c.version))
        .where(table.c.environment_id == environment_id, table.c.plugin == plugin)
    ).first()
    if row is None:
        return None
    document = msgspec.json.decode(row.settings)
    return Used(str(row.version), masked(settings.look_through(plugin, settings_schema(row.manifest), document)))
