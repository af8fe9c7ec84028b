# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of plugins' own kinds through the server: carried out, shown, and asked beforehand what they would change."""

from __future__ import annotations

import json

import pydantic
import pytest
from stoker.errors import ConflictError
from stoker_sdk import ref
from stoker_sdk.extension_points import settings, task_kinds, tasks

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}, "key": {"type": "string"}}, "required": ["text"]}
PROGRAM = {"files/shape": b"#!/bin/sh\nexit 0\n"}


def kind(**more):
    return task_kinds.TaskKind(
        name="shape", title="Shape", executable="files/shape", parameters=SCHEMA, **{"dry_run": True, "idempotent": True, **more}
    )


class Fields(pydantic.BaseModel):
    key: str = settings.field("", title="Key", secret=True)


def test_a_task_of_a_kind_is_carried_out_and_says_what_it_did(simulation):
    name = "shaped"
    parameters = {"text": ref.node.name, "key": ref.settings.key}
    simulation.environment(
        name,
        settings.Settings.from_model(Fields),
        kind(),
        tasks.Custom(id="do", roles=[name], kind="shape", parameters=parameters),
        tasks.Custom(id="again", roles=[name], kind="shaped.shape", parameters={"text": "x"}, after=["do"]),
        files=PROGRAM,
    )
    simulation.client.enable_plugin(name, name, settings={"key": "hunter22"})
    said = ['{"progress": 0.5, "message": "half"}', "no JSON", '{"log": "hunter22"}', '{"changed": false}']
    simulation.behave(
        {
            "match": r"^kind shaped\.shape .*--dry-run$",
            "output": '{"changed": true, "diff": "-hunter22\\n+new"}\n',
            "node": "shaped1",
        },
        {"match": r"^kind shaped\.shape .*text", "output": "\n".join(said) + "\n"},
    )
    plan = simulation.client.create_plan(name)
    shown = {item["task"]: item for item in simulation.client.plan_tasks(plan["id"])}
    assert shown["shaped.do"]["kind"] == "custom"
    assert shown["shaped.do"]["text"] == 'shaped.shape {"key": "<secret shaped.key v1>", "text": "shaped1"}'

    found = simulation.client.dry_run_plan(plan["id"])
    assert [(item["task"], item["result"], item["diff"]) for item in found] == [
        ("shaped.again", "changes", "-<secret shaped.key v1>\n+new"),
        ("shaped.do", "changes", "-<secret shaped.key v1>\n+new"),
    ]
    told = simulation.cli("plan", "dry-run", plan["id"], "--node", "shaped1")
    assert "~ shaped.do  on shaped1  (shaped.shape; would change)" in told
    assert "      +new" in told
    assert json.loads(simulation.cli("plan", "dry-run", plan["id"], "--json"))["items"] == found
    assert "is not in this plan" in simulation.cli("plan", "dry-run", plan["id"], "--node", "nobody", status=2)

    deployment = simulation.finish(simulation.client.deploy(name, plan["id"]), "ready")
    (attempt,) = [item for item in simulation.client.attempts(deployment["id"]) if item["task"] == "shaped.do"]
    assert attempt["output"] == "50% half\nno JSON\n<secret shaped.key v1>\n"
    assert attempt["changed"] is False
    assert simulation.tasks(simulation.client.create_plan(name)) == {}


def test_failures_and_what_cannot_be_told(simulation):
    name = "misshaped"
    simulation.environment(
        name,
        kind(),
        task_kinds.TaskKind(name="plain", title="Plain", executable="files/shape"),
        tasks.Custom(id="do", roles=[name], kind="shape", parameters={"text": "x"}),
        tasks.Custom(id="plain", roles=[name], kind="plain", after=["do"]),
        files=PROGRAM,
        nodes=2,
    )
    simulation.behave(
        {
            "match": r"^kind misshaped\.shape ",
            "output": '{"error": "no", "remedy": "yes"}\n',
            "exit_status": 3,
            "node": "misshaped1",
        }
    )
    plan = simulation.client.create_plan(name)
    found = {(item["node"], item["task"].partition(".")[2]): item for item in simulation.client.dry_run_plan(plan["id"])}
    assert {place: item["result"] for place, item in found.items()} == {
        ("misshaped1", "do"): "failed",
        ("misshaped1", "plain"): "untold",
        ("misshaped2", "do"): "not_simulated",
        ("misshaped2", "plain"): "untold",
    }
    assert found["misshaped1", "do"]["output"] == "error: no\nremedy: yes\n"
    simulation.cli("plan", "dry-run", plan["id"], status=1)
    deployment = simulation.finish(simulation.client.deploy(name, plan["id"]), "failed")
    (failure,) = deployment["failures"]
    assert (failure["exit_status"], failure["output"]) == (3, "error: no\nremedy: yes\n")


def test_a_kind_that_is_used_does_not_go(simulation):
    simulation.install("toolbox", kind(), files=PROGRAM)
    simulation.install("worker", tasks.Custom(id="do", roles=["*"], kind="toolbox.shape", parameters={"text": "x"}))
    simulation.client.create_environment("kinds")
    with pytest.raises(ConflictError, match=r"no enabled plugin brings the kind of task toolbox\.shape"):
        simulation.client.enable_plugin("kinds", "worker")
    simulation.client.enable_plugin("kinds", "toolbox")
    simulation.client.enable_plugin("kinds", "worker")
    with pytest.raises(ConflictError, match=r"toolbox\.shape"):
        simulation.client.disable_plugin("kinds", "toolbox")
