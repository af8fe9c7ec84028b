# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of plugins' own kinds: found by name, held against their schema, with secrets in their places."""

from __future__ import annotations

import json

import msgspec
import pytest
from making import carried_out, node, plugin, running, snapshot
from stoker.domain.action import KindAction
from stoker.domain.secret import SecretSlot
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk import ref
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.extension_points.task_patches import Extend, Replace, TaskPatch

SCHEMA = {
    "type": "object",
    "required": ["size"],
    "additionalProperties": False,
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "names": {"type": "array", "items": {"type": "string"}},
        "key": {"type": "string", "maxLength": 10},
    },
}
KIND = TaskKind(name="shape", title="Shape", executable="files/shape", parameters=SCHEMA, dry_run=True, timeout=77)


def owner(kind=KIND, digest="1" * 64, **more):
    return plugin("owner", kind, blobs={"files/shape": digest}, **more)


def user(name="owner.shape", parameters=None, **more):
    settings = more.pop("settings", {})
    return plugin(
        "user", tasks.Custom(id="do", roles=["*"], kind=name, parameters=parameters or {"size": 3}, **more), settings=settings
    )


def the_action(plan):
    return next(action for action in plan.actions if isinstance(action, KindAction))


def test_a_kind_of_another_plugin_gives_program_time_and_dry_run():
    plan = make_plan(snapshot([owner(), user()], [node("n1")]))
    task = next(task for task in plan.tasks if task.name == "user.do")
    assert (task.kind, task.timeout, task.idempotent, task.dry_run) == ("custom", 77, False, True)
    assert the_action(plan) == KindAction(kind="owner.shape", program="blob:owner:files/shape", parameters='{"size": 3}')


def test_an_own_kind_is_called_by_its_bare_name_and_a_task_may_say_otherwise():
    own = plugin(
        "own",
        KIND,
        tasks.Custom(id="do", roles=["*"], kind="shape", parameters={"size": 3}, timeout=5, idempotent=True),
        blobs={"files/shape": "1"},
    )
    assert check_plugins([own]) == []
    (task,) = make_plan(snapshot([own], [node("n1")])).tasks
    assert (task.timeout, task.idempotent) == (5, True)


def test_secrets_stand_in_their_places_inside_json():
    parameters = {"size": ref("size(nodes)"), "names": ref("nodes.map(n, n.name)"), "key": ref.settings.key}
    using = user(parameters=parameters, settings={"key": {"$secret": "key", "version": 4}})
    assert check_plugins([owner(), using]) == []
    text = the_action(make_plan(snapshot([owner(), using], [node("n1")]))).parameters
    assert text[1] == SecretSlot("user", "key", 4, "quoted")
    assert json.loads("".join(piece if isinstance(piece, str) else "x" for piece in text)) == {
        "size": 1,
        "names": ["n1"],
        "key": "x",
    }


CASES = {
    "unknown": ("Q010", user("owner.shap")),
    "unknown of the plugin itself": ("Q010", user("shape")),
    "wrong type": ("Q011", user(parameters={"size": "x"})),
    "missing": ("Q011", user(parameters={"names": ["a"]})),
    "stranger": ("Q011", user(parameters={"size": 1, "colour": "red"})),
    "wrong setting": ("Q011", user(parameters={"size": ref.settings.size}, settings={"size": 0})),
    "no such setting": ("E003", user(parameters={"size": ref.settings.none})),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_found_when_it_is_enabled(case):
    rule, using = CASES[case]
    (finding,) = check_plugins([owner(), using])
    assert (finding.rule, finding.plugin, finding.contribution) == (rule, "user", "tasks.custom do")
    assert finding.remedy
    with pytest.raises(PlanningError):
        make_plan(snapshot([owner(), using], [node("n1")]))


def test_a_message_does_not_repeat_the_value():
    (finding,) = check_plugins([owner(), user(parameters={"size": ref.settings.size}, settings={"size": "very private"})])
    assert "private" not in finding.message


def test_what_a_node_decides_is_found_in_the_plan():
    using = user(parameters={"size": ref("node.name == 'n1' ? 1 : 0")})
    assert check_plugins([owner(), using]) == []
    make_plan(snapshot([owner(), using], [node("n1")]))
    with pytest.raises(PlanningError, match=r"on node n2: it must be at least 1, says the kind owner\.shape"):
        make_plan(snapshot([owner(), using], [node("n1"), node("n2")]))


def test_a_kind_goes_only_when_nobody_uses_it():
    assert [finding.rule for finding in check_plugins([user()])] == ["Q010"]
    assert [finding.rule for finding in check_plugins([owner(removing=True), user()])] == ["Q010"]


def test_a_bundle_without_the_program_is_found():
    assert [finding.rule for finding in check_plugins([plugin("owner", KIND)])] == ["E003"]


def test_it_runs_again_when_parameters_or_program_change_and_not_otherwise():
    state = snapshot([owner(), user()], [node("n1")])
    deployed = carried_out(state, make_plan(state))
    assert running(make_plan(deployed)) == {}
    for plugins in ([owner(), user(parameters={"size": 4})], [owner(digest="2" * 64), user()]):
        assert running(make_plan(msgspec.structs.replace(deployed, plugins=plugins))) == {("n1", "user.do"): "inputs"}


def test_a_removal_may_use_the_plugins_own_kind():
    leaving = plugin(
        "owner",
        KIND,
        tasks.Custom(id="undo", roles=["*"], kind="shape", parameters={"size": 1}, on="remove"),
        tasks.Shell(id="do", roles=["*"], run="x"),
        blobs={"files/shape": "1"},
    )
    state = snapshot([leaving], [node("n1")])
    deployed = carried_out(state, make_plan(state))
    going = msgspec.structs.replace(deployed, plugins=[msgspec.structs.replace(leaving, removing=True)])
    assert running(make_plan(going)) == {("n1", "owner.undo"): "remove"}


def test_parameters_can_be_patched():
    patch = TaskPatch(
        task="user.do",
        replace=Replace(parameters={"size": ref.settings.size}, timeout=5),
        extend=Extend(parameters={"names": ["a"]}),
    )
    patching = plugin("patching", patch, settings={"size": 9})
    assert check_plugins([owner(), user(), patching]) == []
    plan = make_plan(snapshot([owner(), user(), patching], [node("n1")]))
    assert json.loads(the_action(plan).parameters) == {"size": 9, "names": ["a"]}
    assert plan.tasks[0].timeout == 5
    wrong = plugin("patching", msgspec.structs.replace(patch, replace=Replace(parameters={"size": "x"})))
    assert [finding.rule for finding in check_plugins([owner(), user(), wrong])] == ["Q011"]
