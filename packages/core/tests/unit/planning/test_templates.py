# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Templates give the same text each time, faults name plugin and file, and secrets are written and nothing else."""

from __future__ import annotations

import pytest
from making import node, plugin, snapshot
from stoker.domain.secret import SecretSlot, Text
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker.planning.template_language import template_environment
from stoker_sdk.extension_points import config_files

PATH = "/etc/t"
SECRET = {"$secret": "key", "version": 1}


def planned(template: str, **settings: object) -> Text:
    made = plugin("tp", config_files.WholeFile(path=PATH, template="t.j2"), settings=settings, templates={"t.j2": template})
    plan = make_plan(snapshot([made], [node("a")]))
    return plan.contents[plan.files[0].content].text


def test_the_language_holds_nothing_that_differs_from_time_to_time() -> None:
    language = template_environment()
    # fmt: off
    assert sorted(language.filters) == [
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
        "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join", "last",
        "length", "list", "lower", "map", "max", "min", "pprint", "reject", "rejectattr", "replace", "reverse", "round",
        "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "tojson", "trim",
        "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
    ]
    # fmt: on
    assert sorted(language.globals) == ["cycler", "dict", "joiner", "namespace", "range"]


@pytest.mark.parametrize("template", ["{{ [1, 2]|random }}", "{{ lipsum() }}"])
def test_chance_is_refused_when_a_plugin_is_enabled(template: str) -> None:
    made = plugin("tp", config_files.WholeFile(path=PATH, template="t.j2"), templates={"t.j2": template})
    (finding,) = check_plugins([made])
    assert (finding.rule, finding.plugin, finding.file) == ("E003", "tp", "t.j2")


@pytest.mark.parametrize("template", ["{{ ['a']|map('upper') }}", "{{ settings.items }}", "{{ cycler(1) }}"])
def test_a_place_in_memory_is_not_written(template: str) -> None:
    with pytest.raises(PlanningError, match=r"plugin tp.*t\.j2.*not a text|t\.j2: it writes"):
        planned(template, a=1)


@pytest.mark.parametrize("template", ["{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% if 1 %}" * 3000, "{{ " + "(" * 4000])
def test_endless_templates_are_faults_of_the_template(template: str) -> None:
    with pytest.raises(PlanningError) as refused:
        planned(template)
    assert {(item.plugin, item.file) for item in refused.value.data["findings"]} == {("tp", "t.j2")}


@pytest.mark.parametrize(
    "use",
    [
        "settings.key|upper",
        "settings.key[:20]",
        "settings.key[30:48]",
        "settings.key|length",
        "settings.key|urlencode",
        "settings.key|e",
        "settings.key.upper()",
        "('x' + settings.key)|upper",
        "('x' + settings.key).upper()",
        "('x' ~ settings.key)[:30]",
        "('x' ~ settings.key)[-20:]",
        "'%.20s'|format(settings.key)",
        "settings.key == 'x'",
        "'a' in settings.key",
        "settings.key is upper",
        "settings.key|list",
        "{'a': settings.key}|xmlattr",
        "['a', settings.key]|map('upper')|join",
        "settings.key|replace('a', 'b')",
        "settings.key|indent",
    ],
)
def test_what_is_done_to_a_secret_is_refused(use: str) -> None:
    with pytest.raises(PlanningError) as refused:
        planned("x {{ " + use + " }}\n", key=SECRET)
    (finding,) = refused.value.data["findings"]
    assert (finding.plugin, finding.file) == ("tp", "t.j2")
    assert "__secret" not in finding.message.lower()


@pytest.mark.parametrize(
    ("use", "encoding"),
    [
        ("settings.key", "raw"),
        ("'a' ~ settings.key + 'b'", "raw"),
        ("['a', settings.key]|join(':')", "raw"),
        ("settings.key|default('x')", "raw"),
        ("'set' if settings.key else ''", ""),
        ("'set' if settings.key != '' else ''", ""),
        ("settings.key|tojson", "quoted"),
        ("settings.list|map(attribute='key')|join", "raw"),
        ("settings.list|length", ""),
    ],
)
def test_a_secret_can_be_written_joined_and_quoted(use: str, encoding: str) -> None:
    text = planned("x {{ " + use + " }}\n", key=SECRET, list=[{"key": SECRET}])
    slots = [piece for piece in text if isinstance(piece, SecretSlot)]
    assert [slot.encoding for slot in slots] == ([encoding] if encoding else [])


def test_a_text_that_looks_like_a_marker_is_left_alone() -> None:
    made = planned("__secret_key__ {{ settings.key }} deadbeefdeadbeefdeadbeef\n", key=SECRET)
    assert made[0] == "__secret_key__ "
