# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings documents: defaults, faults by field, conditions, groups, secrets."""

from __future__ import annotations

import pydantic
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_with
from hypothesis import strategies as st
from stoker.domain.settings import check_schema, dotted, look_through
from stoker.errors import InvalidInputError
from stoker_sdk.extension_points.settings import Settings, field


class Array(pydantic.BaseModel):
    """One array of a repeatable group."""

    address: str = field(title="Address")
    token: str = field(title="Token", secret=True)
    pool: int = field(5, title="Pool", ge=1)


class Model(pydantic.BaseModel):
    """Settings with everything that there is."""

    servers: list[str] = field(["a.example"], title="Servers")
    limit: int = field(10, title="Limit", ge=1, le=100)
    region: str = field(title="Region")
    tls: bool = field(False, title="TLS")
    certificate: str = field(title="Certificate", when="settings.tls")
    password: str = field(title="Password", generator="password")
    key: str | None = field(None, title="Key", secret=True)
    arrays: list[Array] = field([], title="Arrays")


SCHEMA = Settings.from_model(Model).json_schema


def test_defaults_are_filled_in_groups_too() -> None:
    looked = look_through("p", SCHEMA, {"region": "x", "arrays": [{"address": "one", "token": "t"}]})
    assert looked.faults == []
    assert looked.complete["servers"] == ["a.example"]
    assert looked.complete["arrays"] == [{"address": "one", "token": "t", "pool": 5}]


def test_each_missing_field_is_named_and_a_generated_one_is_not_missing() -> None:
    looked = look_through("p", SCHEMA, {"tls": True, "arrays": [{}]})
    assert sorted(finding.field for finding in looked.missing) == ["arrays.0.address", "arrays.0.token", "certificate", "region"]
    assert looked.faults == []
    assert all(finding.remedy and finding.plugin == "p" for finding in looked.missing)


def test_each_field_that_does_not_fit_is_named() -> None:
    given = {"region": 5, "limit": 0, "nonsense": 1, "arrays": [{"address": "a", "token": "t", "pool": "many"}]}
    looked = look_through("p", SCHEMA, given)
    assert sorted(finding.field for finding in looked.faults) == ["arrays.0.pool", "limit", "nonsense", "region"]


def test_a_field_whose_condition_is_false_does_not_count() -> None:
    looked = look_through("p", SCHEMA, {"region": "x", "certificate": 5})
    assert (looked.missing, looked.faults) == ([], [])


def test_a_fault_of_a_secret_does_not_show_it() -> None:
    schema = {"type": "object", "properties": {"key": {"type": "string", "minLength": 40, "x-secret": {}}}}
    looked = look_through("p", schema, {"key": "hunter2hunter2"})
    assert [finding.field for finding in looked.faults] == ["key"]
    assert "hunter2" not in str(looked.faults)


def test_a_reference_stands_for_a_secret() -> None:
    looked = look_through("p", SCHEMA, {"region": "x", "key": {"$secret": "key", "version": 3}})
    assert looked.faults == []


def test_secrets_are_found_wherever_they_stand() -> None:
    looked = look_through("p", SCHEMA, {"region": "x", "arrays": [{"address": "a"}, {"address": "b"}]})
    assert sorted(dotted(secret.path) for secret in looked.secrets) == ["arrays.0.token", "arrays.1.token", "key", "password"]


def test_a_given_secret_is_found_even_where_its_condition_is_false() -> None:
    schema = {
        "type": "object",
        "properties": {"key": {"type": "string", "x-secret": {}, "x-when": "settings.on"}, "on": {"default": False}},
    }
    looked = look_through("p", schema, {"key": "planted"})
    assert [dotted(secret.path) for secret in looked.secrets] == ["key"]


@pytest.mark.parametrize(
    "place",
    [
        {"oneOf": [{"type": "string", "x-secret": {}}, {"type": "integer"}]},
        {"anyOf": [{"$ref": "#/$defs/K"}, {"type": "integer"}]},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/K"}},
        {"type": "array", "prefixItems": [{"type": "string", "x-secret": {}}]},
    ],
)
def test_a_secret_that_could_be_missed_is_refused_with_its_schema(place: dict[str, object]) -> None:
    schema = {"type": "object", "properties": {"key": place}, "$defs": {"K": {"type": "string", "x-secret": {}}}}
    assert [finding.field for finding in check_schema("p", schema)] == ["key"]
    assert check_schema("p", SCHEMA) == []


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"pattern": "(a+)+\\1"}, {"$ref": "https://elsewhere.example/s.json"}, {"pattern": "(?=a)"}]
)
def test_a_schema_that_is_broken_slow_or_elsewhere_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        check_schema("p", schema)


def test_a_condition_with_a_loop_is_refused_not_run() -> None:
    bomb = "[1,2,3].map(a, [1,2,3].map(b, a))"
    looked = look_through("p", {"type": "object", "properties": {"x": {"x-when": bomb}}}, {})
    assert "loop" in looked.faults[0].message


@pytest.mark.parametrize(
    ("place", "given"),
    [
        ({"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/G"}}, [{"key": "PLANTED"}, {"key": "PLANTED"}]),
        ({"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/G"}}, [{"key": "PLANTED"}, {"key": "PLANTED"}]),
        ({"$ref": "#/$defs/G", "maxProperties": 1}, {"key": "PLANTED", "id": "1"}),
        ({"$ref": "#/$defs/G"}, "PLANTED"),
        ({"$ref": "#/$defs/G"}, ["PLANTED"]),
        ({"type": "array", "items": {"$ref": "#/$defs/G"}}, {"key": "PLANTED"}),
        ({"type": "string", "x-secret": {}}, ["PLANTED"]),
        ({"type": "string", "x-secret": {}}, {"x": "PLANTED"}),
        ({"$ref": "#/$defs/G", "x-when": "settings[item.place.key] == 1"}, {"key": "PLANTED"}),
        ({"type": "object", "properties": {"key": {"x-secret": {"names": "[settings.place.other]"}}}}, {"other": ["PLANTED"]}),
    ],
)
def test_no_finding_shows_a_secret(place: dict[str, object], given: object) -> None:
    groups = {"G": {"type": "object", "properties": {"key": {"type": "string", "x-secret": {}}, "id": {"type": "string"}}}}
    looked = look_through("p", {"type": "object", "properties": {"place": place}, "$defs": groups}, {"place": given})
    assert looked.faults
    assert "PLANTED" not in str(looked.faults)
    assert all(finding.field.startswith("place") for finding in looked.faults)


@pytest.mark.parametrize(
    "field", [True, False, {"anyOf": [True, False]}, {"type": "array", "items": False}, {"anyOf": [True, {"type": "null"}]}]
)
def test_schemas_that_are_only_true_or_false_are_answered(field: object) -> None:
    schema = {"type": "object", "properties": {"a": field}, "required": ["a"]}
    assert check_schema("p", schema) == []
    for document in ({}, {"a": 1}, {"a": [1]}, {"a": None}):
        look_through("p", schema, document)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"key": {"$ref": "#K"}}, "$defs": {"K": {"$anchor": "K", "type": "string", "x-secret": {}}}},
        {"properties": {"key": {"$dynamicRef": "#K"}}, "$defs": {"K": {"$dynamicAnchor": "K", "type": "string", "x-secret": {}}}},
    ],
)
def test_a_secret_behind_an_anchor_is_refused_because_it_would_not_be_found(schema: dict[str, object]) -> None:
    assert check_schema("p", {"type": "object", **schema})


def test_what_an_alternative_requires_is_not_forgotten() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "allOf": [{"required": ["b"]}], "additionalProperties": False}
    assert [str(finding.field) for finding in look_through("p", schema, {"a": 1, "c": 2}).faults] == ["c", ""]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["address", "token", "pool", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@run_with(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(st.dictionaries(st.sampled_from([*Model.model_fields, "other"]), JSON))
def test_any_document_is_answered_with_findings(document: dict[str, object]) -> None:
    looked = look_through("p", SCHEMA, document)
    if not looked.faults and not looked.missing and document.get("tls") is True:
        filled = {**looked.complete, "password": looked.complete.get("password") or "generated"}
        Model.model_validate(filled)


PLANTED = "PLANTED-7f3a9c"
DOCUMENTS = st.recursive(
    st.just(PLANTED) | st.just(PLANTED) | st.integers(-5, 200) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Model.model_fields, "address", "token", "pool", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "maxItems": st.integers(0, 1),
        "minItems": st.integers(2, 4),
        "uniqueItems": st.just(True),
        "maxProperties": st.integers(0, 2),
        "maxLength": st.integers(0, 3),
        "enum": st.just(["other"]),
        "not": st.just({}),
        "oneOf": st.just([{"type": "boolean"}, {"type": "null"}]),
        "pattern": st.just("^x"),
        "type": st.sampled_from(["object", "array", "string", "integer"]),
    },
)


@run_with(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(
    st.dictionaries(st.sampled_from([*Model.model_fields, "other"]), DOCUMENTS),
    st.dictionaries(st.sampled_from([*Model.model_fields]), LIMITS, max_size=4),
)
def test_whatever_document_with_secrets_comes_no_finding_shows_one(document, limits) -> None:
    properties = {name: {**field, **limits.get(name, {})} for name, field in SCHEMA["properties"].items()}
    looked = look_through("p", {**SCHEMA, "properties": properties}, document)
    assert PLANTED not in str(looked.faults)
    assert PLANTED not in str(looked.missing)
