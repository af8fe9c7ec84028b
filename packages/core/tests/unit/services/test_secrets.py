# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets of settings: taken out, generated, versioned, kept."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Connection
from stoker.db.environments import add_environment
from stoker.domain.settings import Document, SecretField, look_through
from stoker.errors import InvalidInputError
from stoker.services.context import ServerContext
from stoker.services.keys import read_ssh_key
from stoker.services.secrets import SecretStore, generate

SCHEMA = {
    "type": "object",
    "properties": {
        "password": {"type": "string", "x-secret": {"generator": "password", "length": 20}},
        "key": {"type": "string", "x-secret": {}},
        "arrays": {
            "type": "array",
            "default": [],
            "items": {
                "type": "object",
                "properties": {"token": {"type": "string", "x-secret": {"generator": "hex", "length": 9}}},
            },
        },
        "group": {"type": "object", "default": {}, "properties": {"id": {"type": "string", "x-secret": {"generator": "uuid"}}}},
    },
}


def keep(context: ServerContext, given: Document, *, connection: Connection, environment: str) -> Document:
    store = SecretStore(connection, context.vault, environment, "p")
    return store.take_out(given, look_through("p", SCHEMA, given))


def test_missing_ones_are_made_once_given_ones_get_versions(server_context: ServerContext) -> None:
    context = server_context
    with context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        first = keep(context, {"key": "one", "arrays": [{}]}, connection=connection, environment=environment)
        assert first["key"] == {"$secret": "key", "version": 1}
        assert first["group"] == {"id": {"$secret": "group.id", "version": 1}}
        again = keep(context, first, connection=connection, environment=environment)
        assert again == first
        changed = keep(context, {**first, "key": "two"}, connection=connection, environment=environment)
        assert changed == {**first, "key": {"$secret": "key", "version": 2}}
        assert keep(context, {**first, "key": "two"}, connection=connection, environment=environment) == changed
        known = context.vault.all_secrets(connection, environment)
    assert known["p", "key", 1] == "one"
    assert known["p", "key", 2] == "two"
    assert len(known["p", "password", 1]) == 20
    assert len(known["p", "arrays.0.token", 1]) == 9
    uuid.UUID(known["p", "group.id", 1])


def test_an_item_that_moves_keeps_its_secret_and_a_new_one_gets_its_own(server_context: ServerContext) -> None:
    with server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        first = keep(server_context, {"arrays": [{"token": "a"}, {"token": "b"}]}, connection=connection, environment=environment)
        moved = keep(
            server_context, {"arrays": [first["arrays"][1], {"token": "c"}]}, connection=connection, environment=environment
        )
        values = server_context.vault.all_secrets(connection, environment)
    tokens = [item["token"] for item in moved["arrays"]]
    assert [values["p", token["$secret"], token["version"]] for token in tokens] == ["b", "c"]


@pytest.mark.parametrize(
    "given", [{"key": {"$secret": "other.password", "version": 1}}, {"group": {"$secret": "key", "version": 1}}]
)
def test_a_reference_to_nothing_or_in_a_wrong_place_is_refused(server_context: ServerContext, given: Document) -> None:
    with pytest.raises(InvalidInputError), server_context.database.transaction() as connection:
        keep(server_context, given, connection=connection, environment=add_environment(connection, "e"))


def test_a_generated_ssh_key_is_one() -> None:
    text = generate(SecretField(path=("k",), generator="ssh_key"))
    assert read_ssh_key(text, "x").public_key.startswith("ssh-ed25519 ")
