# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets in files and commands: each is written so that the file stays what it is, or is refused by name."""

from __future__ import annotations

import json

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from making import node, plugin, snapshot
from stoker.domain.plan import Plan
from stoker.domain.secret import SecretSlot
from stoker.errors import PlanningError, UnfitSecretError
from stoker.orchestration.materials import Materials, Redactor
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker.services.unfit_secrets import refuse_unfit
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, tasks
from stoker_sdk.model.contribution import Contribution

SETTINGS = {
    "key": {"$secret": "key", "version": 1},
    "plain": "x",
    "all": [{"$secret": "all.0", "version": 1}],
    "groups": [{"key": {"$secret": "groups.0.key", "version": 1}}],
}
PATH = "/etc/f"


def planned(*contributions: Contribution, **more: object) -> Plan:
    made = plugin("own", *contributions, settings=SETTINGS, **more)
    return make_plan(snapshot([made], [node("a")]))


def secrets(value: str) -> dict[tuple[str, str, int], str]:
    return {("own", "key", 1): value}


def written(plan: Plan, value: str) -> str:
    return Materials(plan.contents, secrets(value)).content("0").decode()


def entry(kind: str, value: object = ref.settings.key) -> list[Contribution]:
    return [config_files.ConfigFile(path=PATH, format=kind), config_files.Option(path=PATH, key="k", value=value)]  # type: ignore[arg-type]


YAML = planned(*entry("yaml", "a'\"" + ref.settings.key))
JSON = planned(config_files.WholeFile(path=PATH, template="t.j2"), templates={"t.j2": '{"k": {{ settings.key|tojson }}}'})
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(_TEXT)
def test_yaml_reads_back_every_secret(value: str) -> None:
    assert yaml.safe_load(written(YAML, value)) == {"k": f"a'\"{value}"}


@given(_TEXT)
def test_json_reads_back_every_secret(value: str) -> None:
    assert json.loads(written(JSON, value)) == {"k": value}


def test_output_shows_no_quoted_secret() -> None:
    value = 'pass"word\\with\nlines'
    assert Redactor(secrets(value))(written(YAML, value)).count("<secret own.key v1>") == 1


@pytest.mark.parametrize("kind", ["ini", "plain"])
def test_a_secret_of_several_lines_is_refused_where_one_is_needed(kind: str) -> None:
    plan = planned(*entry(kind))
    refuse_unfit(plan, secrets("one line"))
    with pytest.raises(PlanningError) as refused:
        refuse_unfit(plan, secrets("first\nadmin = true"))
    (finding,) = refused.value.data["findings"]
    assert (finding.plugin, finding.field, finding.file) == ("own", "settings.key", PATH)
    assert "admin" not in str(refused.value)
    with pytest.raises(UnfitSecretError, match="more than one line"):
        written(plan, "first\nadmin = true")


def test_a_variable_takes_lines_and_no_null_byte() -> None:
    plan = planned(tasks.Shell(id="t", roles=["*"], run="x", environment={"KEY": ref.settings.key}))
    refuse_unfit(plan, secrets("one\ntwo"))
    with pytest.raises(PlanningError, match=r"KEY: .*null byte"):
        refuse_unfit(plan, secrets("one\0two"))


def test_plans_stored_before_slots_had_an_encoding_are_read() -> None:
    old = msgspec.json.decode(b'{"plugin":"p","name":"key","version":1}', type=SecretSlot)
    assert old == SecretSlot("p", "key", 1)
    assert msgspec.json.encode(old) == b'{"plugin":"p","name":"key","version":1}'


@pytest.mark.parametrize(
    "source",
    [
        "settings.key.size()",
        "string(size(settings.key))",
        "settings.key.startsWith('a') ? 'x' : 'y'",
        "settings.key == 'admin' ? 'x' : 'y'",
        "'admin' != settings.key ? 'x' : 'y'",
        "settings.plain == settings.key ? 'x' : 'y'",
        "settings.key in ['a'] ? 'x' : 'y'",
        "settings.key > 'a' ? 'x' : 'y'",
        "'abc'.contains(settings.key) ? 'x' : 'y'",
    ],
)
def test_expressions_do_nothing_to_a_secret_but_join_it(source: str) -> None:
    made = plugin("own", *entry("ini", ref(source)), settings=SETTINGS)
    findings = check_plugins([made])
    assert [(item.rule, item.plugin) for item in findings] == [("E004", "own")]
    assert "settings.key is a secret" in findings[0].message
    assert findings[0].remedy


@pytest.mark.parametrize(
    "source",
    [
        "settings.groups.map(g, g.key.size())",
        "settings.all.map(s, size(s))",
        "settings.groups.filter(g, g.key == 'x').map(g, 'y')",
        "string(settings.groups[0].key.size())",
    ],
)
def test_secrets_in_lists_are_seen_too(source: str) -> None:
    findings = check_plugins([plugin("own", *entry("ini", ref(source)), settings=SETTINGS)])
    assert [item.rule for item in findings] == ["E004"]


@pytest.mark.parametrize(
    "source",
    [
        "'a' + settings.key + 'b'",
        "string(settings.key)",
        "has(settings.key) ? settings.key : 'none'",
        "settings.key == '' ? 'none' : settings.key",
        "settings.key != \"\" ? settings.key : 'none'",
        "settings.plain == 'x' ? settings.key : 'none'",
        "[settings.key, settings.plain].map(s, s + ':')",
        "settings.groups.map(g, g.key)",
        "settings.all.map(s, 'x' + s)",
        "settings.groups.map(g, string(g.key) + settings.groups[0].key)",
        "settings.plain.size() > 0 ? settings.key : ''",
    ],
)
def test_joining_is_no_fault(source: str) -> None:
    made = plugin("own", *entry("ini", ref(source)), settings=SETTINGS)
    assert check_plugins([made]) == []
    make_plan(snapshot([made], [node("a")]))


@pytest.mark.parametrize(
    "value", [ref("settings.groups.map(g, g.key.replace('_', ''))"), ref("settings.groups.map(g, g.key.substring(3, 30))")]
)
def test_a_piece_of_a_marker_reaches_no_node(value: object) -> None:
    made = plugin("own", *entry("ini", value), settings=SETTINGS)
    with pytest.raises(PlanningError) as refused:
        make_plan(snapshot([made], [node("a")]))
    assert all(item.plugin == "own" for item in refused.value.data["findings"])


@pytest.mark.parametrize(("name", "value"), [("A-B", "x"), ("1A", "x"), ("", "x"), ("A", "x\0y")])
def test_what_no_environment_can_hold_is_found_when_enabling(name: str, value: str) -> None:
    made = plugin("own", tasks.Shell(id="t", roles=["*"], run="x", environment={name: value}))
    (finding,) = (item for item in check_plugins([made]) if item.rule == "T020")
    assert (finding.plugin, finding.contribution) == ("own", "tasks.shell t")
