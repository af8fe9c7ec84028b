# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The planning process: what a plugin's text does to it fails one plan, names plugin and file, and holds up nobody else."""

from __future__ import annotations

import asyncio
import os
import time

import msgspec
import pytest
from stoker.domain.node import Facts, Observation
from stoker.domain.plan import Plan
from stoker.domain.snapshot import NodeInput, PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.plugin_host.planning_process import Limits, run_in_process

LIMITS = Limits(memory_bytes=512 * 2**20, seconds=2)
MANY = "[" + ",".join(str(number) for number in range(100)) + "]"


def payload(template: str = "", expression: str = "") -> bytes:
    contributions: list[dict[str, object]] = []
    if template:
        contributions = [{"point": "config_files.whole_file", "path": "/etc/x", "template": "templates/x.j2"}]
    if expression:
        contributions = [
            {"point": "tasks.shell", "id": "t", "roles": ["*"], "run": "x", "environment": {"X": {"$cel": expression}}}
        ]
    plugin = PluginInput(
        name="hostile", version="1", digest="0", contributions=contributions, templates={"templates/x.j2": template}
    )
    node = NodeInput(id="1", name="a", address="a", roles=[], facts=Facts(), observed=Observation())
    return msgspec.json.encode(Snapshot(environment_id="e", environment_name="e", plugins=[plugin], nodes=[node], marker="\x02"))


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{{ 'a' * 1000 }}{% endfor %}{% endfor %}",
        "{{ 'a' * 10**10 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ '%1000000000000d' % 3 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ],
)
async def test_a_hostile_template_fails_its_own_plan(template: str) -> None:
    started = time.monotonic()
    with pytest.raises(PlanningError) as caught:
        await run_in_process("plan", payload(template), LIMITS)
    assert time.monotonic() - started < 12
    assert "hostile" in str(caught.value)
    assert "templates/x.j2" in str(caught.value)
    assert caught.value.data["findings"][0].plugin == "hostile"


@pytest.mark.parametrize(
    "expression",
    [
        f"size({MANY}.map(a, {MANY}.map(b, {MANY}.map(c, {MANY}.map(d, {MANY}.map(e, 1))))))",
        f"size({MANY}.map(a, {MANY}.map(b, {MANY}.map(c, {MANY}.map(d, 'aaaaaaaaaaaaaaaaaaaaaaaa')))))",
        "'a'.matches('((((a{1000}){1000}){1000}){1000})')",
        "(" * 1500 + "1" + ")" * 1500,
    ],
)
async def test_a_hostile_expression_fails_its_own_plan(expression: str) -> None:
    with pytest.raises(PlanningError) as caught:
        await run_in_process("plan", payload(expression=expression), LIMITS)
    assert caught.value.data["findings"][0].plugin == "hostile"
    assert "tasks.shell t" in str(caught.value.data["findings"][0])


async def test_a_pattern_that_hangs_others_takes_linear_time_here() -> None:
    answer = await run_in_process("plan", payload(expression=f"'{'a' * 3000}'.matches('(a*)*b')"), LIMITS)
    assert msgspec.json.decode(answer, type=Plan).tasks


async def test_another_plan_succeeds_meanwhile_and_the_loop_goes_on() -> None:
    endless = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
    hostile = asyncio.create_task(run_in_process("plan", payload(endless), LIMITS))
    good = asyncio.create_task(run_in_process("plan", payload("hello\n"), LIMITS))
    beats = 0
    while not good.done():
        await asyncio.sleep(0.01)
        beats += 1
    assert beats > 3
    assert not hostile.done()
    assert msgspec.json.decode(await good, type=Plan).contents[0].text == "hello\n"
    with pytest.raises(PlanningError, match="2 seconds"):
        await hostile


async def test_a_plan_that_nobody_waits_for_leaves_no_process() -> None:
    endless = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
    others = set(_children())
    work = asyncio.create_task(run_in_process("plan", payload(endless), Limits(seconds=60)))
    await asyncio.sleep(1.0)
    children = set(_children()) - others
    assert children
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not children & set(_children())


def _children() -> list[str]:
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:  # noqa: PTH123  one line of /proc
        return file.read().split()


async def test_checks_and_watch_lists_come_the_same_way() -> None:
    snapshot = msgspec.json.decode(payload("x\n"), type=Snapshot)
    findings = msgspec.json.decode(await run_in_process("check", msgspec.json.encode(snapshot.plugins), LIMITS))
    assert findings == []
    watches = msgspec.json.decode(await run_in_process("watch", payload("x\n"), LIMITS))
    assert watches[0]["files"] == ["/etc/x"]
