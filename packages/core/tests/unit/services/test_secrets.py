# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets of settings: taken out, generated, versioned, kept."""

from __future__ import annotations

import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection
from stoker.db.environments import add_environment
from stoker.domain.settings import Document, look_through
from stoker.errors import InvalidInputError
from stoker.services import authority
from stoker.services.context import ServerContext
from stoker.services.keys import read_ssh_key
from stoker.services.secrets import SecretStore, public_parts

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


def test_an_absent_secret_stays_the_generated_one_and_an_empty_text_makes_a_new_one(server_context: ServerContext) -> None:
    context = server_context
    with context.database.transaction() as connection:
        environment = add_environment(connection, "e")

        def versions(given: Document) -> dict[str, object]:
            kept = keep(context, {**given, "arrays": [{}]}, connection=connection, environment=environment)
            return {"password": kept["password"], "token": kept["arrays"][0]["token"], "id": kept["group"]["id"]}

        first = versions({})
        assert versions({}) == first
        assert versions({"password": ""}) == {**first, "password": {"$secret": "password", "version": 2}}
        assert versions({})["password"] == {"$secret": "password", "version": 2}
        assert versions({"password": "own"})["password"] == {"$secret": "password", "version": 3}
        assert versions({})["password"] == {"$secret": "password", "version": 2}


def test_an_item_without_a_secret_does_not_take_that_of_one_that_moved(server_context: ServerContext) -> None:
    with server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        first = keep(server_context, {"arrays": [{}, {}]}, connection=connection, environment=environment)
        moved = keep(server_context, {"arrays": [first["arrays"][1], {}]}, connection=connection, environment=environment)
    assert [item["token"] for item in moved["arrays"]] == [
        {"$secret": "arrays.1.token", "version": 1},
        {"$secret": "arrays.1.token", "version": 2},
    ]


def test_a_secret_given_in_the_place_of_a_reference_is_not_repeated(server_context: ServerContext) -> None:
    with pytest.raises(InvalidInputError, match="setting key") as caught, server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        keep(server_context, {"key": {"$secret": "PLANTED"}}, connection=connection, environment=environment)
    assert "PLANTED" not in f"{caught.value} {caught.value.data}"


PAIRS = {
    "type": "object",
    "properties": {
        "hosts": {"type": "array", "items": {"type": "string"}, "default": ["db.example", "10.0.0.1"]},
        "key": {"type": "string", "x-secret": {"generator": "ssh_key"}},
        "tls": {
            "type": "array",
            "default": [{}],
            "items": {
                "type": "object",
                "properties": {"pem": {"type": "string", "x-secret": {"generator": "x509", "names": "settings.hosts"}}},
            },
        },
    },
}


def keep_pairs(context: ServerContext, given: Document, connection: Connection, environment: str) -> Document:
    store = SecretStore(connection, context.vault, environment, "p")
    return store.take_out(given, look_through("p", PAIRS, given))


def public_of(connection: Connection, environment: str, document: Document) -> dict[str, object]:
    looked = look_through("p", PAIRS, document)
    return public_parts(connection, environment, "p", looked.complete, looked.secrets)


def test_pairs_have_a_public_part_in_the_shape_of_the_settings(server_context: ServerContext) -> None:
    with server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        before = public_of(connection, environment, {})
        assert before["key"] == {"public_key": "(not made yet)"}
        document = keep_pairs(server_context, {}, connection, environment)
        public = public_of(connection, environment, document)
        values = server_context.vault.all_secrets(connection, environment)
    assert read_ssh_key(values["p", "key", 1], "p.key", "it").public_key == public["key"]["public_key"]
    pem = public["tls"][0]["pem"]
    certificate, ca = (x509.load_pem_x509_certificate(pem[part].encode()) for part in ("certificate", "ca"))
    certificate.verify_directly_issued_by(ca)
    key = serialization.load_pem_private_key(values["p", "tls.0.pem", 1].encode(), None)
    assert key.public_key() == certificate.public_key()
    assert authority.names_of(pem["certificate"]) == {"db.example", "10.0.0.1"}


def test_a_certificate_is_made_anew_for_other_hosts_and_only_then(server_context: ServerContext) -> None:
    with server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        first = keep_pairs(server_context, {}, connection, environment)
        assert keep_pairs(server_context, first, connection, environment) == first
        other = keep_pairs(server_context, {**first, "hosts": ["new.example"]}, connection, environment)
        public = public_of(connection, environment, other)
    assert other["tls"] == [{"pem": {"$secret": "tls.0.pem", "version": 2}}]
    assert other["key"] == first["key"]
    assert authority.names_of(public["tls"][0]["pem"]["certificate"]) == {"new.example"}


def test_another_spelling_of_the_same_hosts_makes_no_new_certificate(server_context: ServerContext) -> None:
    with server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        hosts = {"hosts": ["0:0:0:0:0:0:0:1", "B\u00fccher.Example", "*.a.example", "fe80::1%eth0"]}
        first = keep_pairs(server_context, hosts, connection, environment)
        assert (
            keep_pairs(
                server_context,
                {**first, "hosts": ["::1", "xn--bcher-kva.example", "*.A.example", "fe80::1"]},
                connection,
                environment,
            )["tls"]
            == first["tls"]
        )
        public = public_of(connection, environment, first)
    assert authority.names_of(public["tls"][0]["pem"]["certificate"]) == {
        "::1",
        "xn--bcher-kva.example",
        "*.a.example",
        "fe80::1",
    }


@pytest.mark.parametrize(
    "host", ["a b", "a\0b", "a" * 64, ".".join(["abcdefgh"] * 33), "a..b", "a/b", "*", "a.*.b", "-a", "\u00df" * 64]
)
def test_what_is_not_a_host_gets_no_certificate_and_its_setting_is_named(server_context: ServerContext, host: str) -> None:
    with pytest.raises(InvalidInputError, match=r"tls\.0\.pem") as caught, server_context.database.transaction() as connection:
        keep_pairs(server_context, {"hosts": [host]}, connection, add_environment(connection, "e"))
    assert caught.value.remedy


def test_a_pair_that_an_operator_gives_is_taken_apart_or_refused(server_context: ServerContext) -> None:
    with server_context.database.transaction() as connection:
        environment = add_environment(connection, "e")
        made = authority.issue(connection, server_context.vault, environment, "t", ["a.example"])
        text = made.private + made.public["certificate"] + made.public["ca"]
        given = keep_pairs(server_context, {"tls": [{"pem": text}]}, connection, environment)
        assert public_of(connection, environment, given)["tls"][0]["pem"] == made.public
        assert keep_pairs(server_context, given, connection, environment) == given
        other = authority.issue(connection, server_context.vault, environment, "t", ["a.example"])
        for wrong in ("nonsense", made.private, made.private + other.public["certificate"]):
            with pytest.raises(InvalidInputError, match=r"tls\.0\.pem"):
                keep_pairs(server_context, {"tls": [{"pem": wrong}]}, connection, environment)
        with pytest.raises(InvalidInputError, match="setting key"):
            keep_pairs(server_context, {"key": "nonsense"}, connection, environment)
