# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets of settings: taken out of the document, made where nobody gave one, kept encrypted and numbered."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Sequence
from typing import cast

import msgspec
from sqlalchemy import Connection, Row, insert, select
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.generator import DEFAULT_LENGTH, GENERATORS, PUBLIC_PARTS, random_text

from stoker.db.tables import secrets
from stoker.db.vault import Vault
from stoker.domain import settings
from stoker.domain.settings import SECRET, Document, Json, SecretField, Settings
from stoker.errors import InvalidInputError
from stoker.services import authority
from stoker.services.certificates import host_name
from stoker.services.keys import Pair, generate_ssh_key, read_ssh_key


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
        named = [reference for _, reference in settings.references(looked.complete)]
        taken = {(reference.get(SECRET), reference.get("version")) for reference in named}
        for field in looked.secrets:
            reference = self._reference_for(field, settings.get(looked.complete, field.path), taken)
            if reference is not None:
                self._make_room(document, looked.complete, field)
                settings.put(document, field.path, reference)
        return document

    def _reference_for(self, field: SecretField, value: Json, taken: Collection[tuple[Json, Json]]) -> Json:
        name = settings.dotted(field.path)
        if isinstance(value, dict):
            return self._renewed(field, self._existing(name, value))
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != "":
            return self._keep(name, self._read(field, str(value)), generated=False)
        if not field.generator:
            return None
        row = self._latest(name, generated=True) if value is None else None
        # In a list, the item whose secret this was may stand at another place now.
        if row is None or (row.name, row.version) in taken:
            return self._keep(name, self._generate(field), generated=True)
        return self._renewed(field, row)

    def _renewed(self, field: SecretField, row: Row[tuple[object, ...]]) -> Json:
        if self._is_for_others(field, row):
            return self._keep(settings.dotted(field.path), self._generate(field), generated=True)
        return {SECRET: row.name, "version": row.version}

    def _generate(self, field: SecretField) -> Pair:
        """Make a secret as the plugin's field says."""
        title = f"{self._plugin}.{settings.dotted(field.path)}"
        if field.generator == "ssh_key":
            return generate_ssh_key(title).pair()
        if field.generator == "x509":
            return authority.issue(self._connection, self._vault, self._environment_id, title, self._hosts(field))
        if field.generator not in GENERATORS:
            raise InvalidInputError(
                f"plugin {self._plugin}, setting {settings.dotted(field.path)}: there is no generator {field.generator!r}.",
                remedy=f"Use one of: {', '.join(sorted(GENERATORS))}.",
            )
        return Pair(private=random_text(field.generator, field.length or DEFAULT_LENGTH))

    def _hosts(self, field: SecretField) -> list[str]:
        """The hosts of a certificate as certificates name them."""
        found = []
        for name in field.names:
            try:
                found.append(host_name(name))
            except ValueError as error:
                place = settings.dotted(field.path)
                message = f"its certificate cannot be for {name[:100]!r}: {error}."
                remedy = "Mend the setting that names the hosts: host names or IP addresses."
                finding = self._finding(place, message, remedy)
                raise InvalidInputError(
                    f"plugin {self._plugin}, setting {place}: {message}", remedy=remedy, findings=[finding]
                ) from error
        return found

    def _read(self, field: SecretField, value: str) -> Pair:
        """A secret that the operator gave; of a pair, the public part is found."""
        name = settings.dotted(field.path)
        what = f"plugin {self._plugin}, setting {name}"
        if field.generator == "ssh_key":
            return read_ssh_key(value, f"{self._plugin}.{name}", what).pair()
        return authority.read_pair(value, what) if field.generator == "x509" else Pair(private=value)

    def _is_for_others(self, field: SecretField, row: Row[tuple[object, ...]]) -> bool:
        """Whether a certificate was made for other hosts than those that the settings name now."""
        if field.generator != "x509" or not row.generated:
            return False
        public = msgspec.json.decode(row.public, type=dict[str, str])
        return authority.names_of(public["certificate"]) != set(self._hosts(field))

    def _keep(self, name: str, pair: Pair, *, generated: bool) -> Json:
        latest = self._latest(name)
        if latest is not None and self._vault.decrypt(latest.value).decode() == pair.private:
            return {SECRET: name, "version": latest.version}
        version = 1 if latest is None else latest.version + 1
        self._connection.execute(
            insert(secrets).values(
                environment_id=self._environment_id,
                plugin=self._plugin,
                name=name,
                version=version,
                value=self._vault.encrypt(pair.private.encode()),
                public=msgspec.json.encode(pair.public).decode(),
                generated=generated,
                created_at=time.time(),
            )
        )
        return {SECRET: name, "version": version}

    def _existing(self, place: str, reference: dict[str, Json]) -> Row[tuple[object, ...]]:
        name = reference.get(SECRET)
        name = name if isinstance(name, str) else place
        version = reference.get("version")
        row = self._latest(name, version if isinstance(version, int) else None)
        if row is None:
            # What stands there is not repeated: it may be the secret itself, given in the wrong shape.
            message, remedy = "it refers to a stored secret that is not there.", "Give the secret as a plain text."
            finding = self._finding(place, message, remedy)
            raise InvalidInputError(f"plugin {self._plugin}, setting {place}: {message}", remedy=remedy, findings=[finding])
        return row

    def _latest(self, name: str, version: int | None = None, *, generated: bool | None = None) -> Row[tuple[object, ...]] | None:
        query = select(secrets).where(
            secrets.c.environment_id == self._environment_id, secrets.c.plugin == self._plugin, secrets.c.name == name
        )
        if version is not None:
            query = query.where(secrets.c.version == version)
        if generated is not None:
            query = query.where(secrets.c.generated == generated)
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


def public_parts(
    connection: Connection, environment_id: str, plugin: str, complete: Document, fields: Sequence[SecretField]
) -> dict[str, object]:
    """What anybody may know of a plugin's pairs, in the shape of its settings.

    A pair that is not made yet has placeholders, so that what refers to it can be checked.

    Args:
        connection: to the database.
        environment_id: where the plugin is enabled.
        plugin: its name.
        complete: its settings with defaults filled in and references in place of secrets.
        fields: where its secrets are.
    """
    public: Json = {}
    for field in fields:
        if field.generator not in PUBLIC_PARTS:
            continue
        parts: dict[str, Json] = dict.fromkeys(PUBLIC_PARTS[field.generator], "(not made yet)")
        reference = settings.get(complete, field.path)
        if isinstance(reference, dict) and isinstance(name := reference.get(SECRET), str):
            place = (
                secrets.c.environment_id == environment_id,
                secrets.c.plugin == plugin,
                secrets.c.name == name,
                secrets.c.version == reference.get("version"),
            )
            found = connection.execute(select(secrets.c.public).where(*place)).scalar()
            parts |= msgspec.json.decode(found, type=dict[str, str]) if found else {}
        _put(public, field.path, parts)
    return cast("dict[str, object]", public)


def _put(document: Json, path: settings.Path, value: Json) -> None:
    """Set the value at a path, with the parents that it needs."""
    for depth in range(1, len(path)):
        if settings.get(document, path[:depth]) is None:
            _set(document, path[:depth], [] if isinstance(path[depth], int) else {})
    _set(document, path, value)


def _set(document: Json, path: settings.Path, value: Json) -> None:
    parent, last = settings.get(document, path[:-1]), path[-1]
    if isinstance(parent, list) and isinstance(last, int):
        parent.extend({} for _ in range(last + 1 - len(parent)))
    settings.put(document, path, value)
