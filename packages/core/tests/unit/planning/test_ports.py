# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A port to wait for may come from a setting; what is no port is refused with its place."""

from __future__ import annotations

import pytest
from making import node, plugin, snapshot
from stoker.domain.action import WaitForAction
from stoker.errors import PlanningError
from stoker.planning.plans import make_plan
from stoker_sdk import Expression, ref
from stoker_sdk.extension_points import tasks


def waiting(port: Expression | int, value: object = 8080):
    task = tasks.WaitFor(id="answers", roles=["*"], port=port)
    return snapshot([plugin("web", task, settings={"port": value})], [node("a"), node("b")])


def ports(plan) -> set[int | None]:
    return {action.port for action in plan.actions if isinstance(action, WaitForAction)}


@pytest.mark.parametrize("value", [8080, 8080.0])
def test_a_port_comes_from_a_setting(value: object) -> None:
    assert ports(make_plan(waiting(ref.settings.port, value))) == {8080}


def test_a_port_may_differ_from_node_to_node() -> None:
    assert ports(make_plan(waiting(ref("node.name == 'a' ? 1 : 2")))) == {1, 2}


@pytest.mark.parametrize("value", [0, 65536, 1.5, "8080", True, None, [80]])
def test_what_is_no_port_is_refused(value: object) -> None:
    with pytest.raises(PlanningError) as caught:
        make_plan(waiting(ref.settings.port, value))
    (finding,) = caught.value.data["findings"]
    assert (finding.rule, finding.plugin, finding.contribution, finding.field) == (
        "E002",
        "web",
        "tasks.wait_for answers",
        "port",
    )
    assert "is not a port" in finding.message
