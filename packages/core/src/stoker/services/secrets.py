# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets of settings: taken out of the document, made where nobody gave one, kept encrypted and numbered."""

from __future__ import annotations

import copy
import secrets as random
import string
import time
import uuid

from sqlalchemy import Connection, Row, insert, select
from stoker_sdk.model.finding import Finding

from stoker.db.tables import secrets
from stoker.db.vault import Vault
from stoker.domain import settings
from stoker.domain.settings import SECRET, Document, Json, SecretField, Settings
from stoker.errors import InvalidInputError
from stoker.services.keys import generate_ssh_key

_ALPHABET = string.ascii_letters + string.digits


class SecretStore:
    """The secrets of one plugin in one environment, inside one transaction."""

    def __init__(self, connection: Connection, vault: Vault, environment_id: str, plugin: str) -> None:
        """Work on the caller's transaction."""
        self._connection = connection
        self._vault = vault
        self._environment_id = environment_id
        self._plugin = plugin

    def take_out(self, given: Document, looked: Settings) -> Document:
        """The document as it may be stored: each secret is replaced by a reference, missing ones are generated.

        Raises:
            InvalidInputError: a reference names a secret that is not there, or stands where no secret belongs.
        """
        document = copy.deepcopy(given)
        self._refuse_strays(document, looked)
        for field in looked.secrets:
            reference = self._reference_for(field, settings.get(looked.complete, field.path))
            if reference is not None:
                self._make_room(document, looked.complete, field)
                settings.put(document, field.path, reference)
        return document

    def _reference_for(self, field: SecretField, value: Json) -> Json:
        name = settings.dotted(field.path)
        if isinstance(value, dict):
            return self._existing(name, value)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != "":
            return self._keep(name, str(value), generated=False)
        if field.generator:
            return self._keep(name, generate(field), generated=True)
        return None

    def _keep(self, name: str, value: str, *, generated: bool) -> Json:
        latest = self._latest(name)
        if latest is not None and self._vault.decrypt(latest.value).decode() == value:
            return {SECRET: name, "version": latest.version}
        version = 1 if latest is None else latest.version + 1
        self._connection.execute(
            insert(secrets).values(
                environment_id=self._environment_id,
                plugin=self._plugin,
                name=name,
                version=version,
                value=self._vault.encrypt(value.encode()),
                generated=generated,
                created_at=time.time(),
            )
        )
        return {SECRET: name, "version": version}

    def _existing(self, place: str, reference: dict[str, Json]) -> Json:
        name = reference.get(SECRET)
        name = name if isinstance(name, str) else place
        version = reference.get("version")
        row = self._latest(name, version if isinstance(version, int) else None)
        if row is None:
            raise InvalidInputError(
                f"plugin {self._plugin}, setting {place}: there is no stored secret {name!r} to keep.",
                remedy="Give the secret as a plain text.",
                findings=[
                    self._finding(place, f"there is no stored secret {name!r} to keep.", "Give the secret as a plain text.")
                ],
            )
        return {SECRET: name, "version": row.version}

    def _latest(self, name: str, version: int | None = None) -> Row[tuple[object, ...]] | None:
        query = select(secrets).where(
            secrets.c.environment_id == self._environment_id, secrets.c.plugin == self._plugin, secrets.c.name == name
        )
        if version is not None:
            query = query.where(secrets.c.version == version)
        return self._connection.execute(query.order_by(secrets.c.version.desc()).limit(1)).first()

    def _refuse_strays(self, document: Document, looked: Settings) -> None:
        places = {field.path for field in looked.secrets}
        strays = [settings.dotted(path) for path, _ in settings.references(document) if path not in places]
        if strays:
            raise InvalidInputError(
                f"plugin {self._plugin}: no secret belongs at {', '.join(strays)}.",
                remedy="Give a plain value there.",
                findings=[self._finding(stray, "no secret belongs here.", "Give a plain value.") for stray in strays],
            )

    def _finding(self, place: str, message: str, remedy: str) -> Finding:
        return Finding(
            rule="N006",
            message=f"setting {place}: {message}",
            remedy=remedy,
            plugin=self._plugin,
            contribution="settings",
            field=place,
        )

    @staticmethod
    def _make_room(document: Document, complete: Document, field: SecretField) -> None:
        """Bring the parents that exist by default only into the stored document."""
        for depth in range(1, len(field.path)):
            if settings.get(document, field.path[:depth]) is None:
                filled = settings.get(complete, field.path[:depth])
                settings.put(document, field.path[:depth], {} if isinstance(filled, dict) else copy.deepcopy(filled))


def generate(field: SecretField) -> str:
    """Make a secret as the plugin's field says."""
    match field.generator:
        case "hex":
            return random.token_hex((field.length or 32) // 2 + 1)[: field.length or 32]
        case "uuid":
            return str(uuid.uuid4())
        case "ssh_key":
            return generate_ssh_key(settings.dotted(field.path)).private_key
        case "password":
            return "".join(random.choice(_ALPHABET) for _ in range(field.length or 32))
        case other:
            raise InvalidInputError(
                f"setting {settings.dotted(field.path)}: there is no generator {other!r}.",
                remedy="Use password, hex, uuid or ssh_key.",
            )
