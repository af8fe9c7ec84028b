# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Any order in which plugins were enabled, and nodes added, gives the same plan, byte for byte; or the same findings."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import file_of, node, plugin, snapshot, text_of
from stoker.domain.snapshot import OverrideInput, PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk import Dependency, ref
from stoker_sdk.extension_points import config_files, health_checks, node_packages, releases, roles, services, task_patches, tasks
from stoker_sdk.model.contribution import Contribution

WORDS = st.sampled_from(["alpha", "beta", "gamma"])
SELECTORS = st.lists(
    st.sampled_from(["*", "front", "back", "primary(front)", "primary(back)", "once", "service(front)"]), min_size=1, max_size=2
)
VALUES = st.one_of(st.integers(0, 2), WORDS, st.just(ref.node.name), st.just(ref("size(by_service.front)")), st.none())

BASE = plugin(
    "m-base",
    releases.Release(name="shop-1", product="shop", version="1.2"),
    roles.Role(name="front"),
    roles.Role(name="back", tolerance="50%"),
    services.Service(
        name="front",
        roles=["front"],
        packages=["frontd"],
        units=["frontd"],
        files=[services.ServiceFile(path="/etc/front.cfg", format="blocks", sections=["alpha"])],
        on_change="reload",
    ),
    config_files.Option(service="front", section="alpha", key="alpha", value=1, level="default"),
)


def _option(key: str, section: str, value: object, level: str) -> Contribution:
    return config_files.Option(service="front", key=key, section=section, value=value, level=level)  # type: ignore[arg-type]


def _item(key: str, section: str, items: list[str], weight: int) -> Contribution:
    return config_files.ListItem(service="front", key=f"list-{key}", section=section, items=items, weight=weight)


ENTRIES: st.SearchStrategy[Contribution] = st.one_of(
    st.builds(_option, WORDS, WORDS, VALUES, st.sampled_from(["default", "set"])),
    st.builds(_item, WORDS, WORDS, st.lists(WORDS, max_size=2), st.integers(-1, 1)),
    st.builds(
        node_packages.NodePackages,
        roles=SELECTORS,
        packages=st.lists(st.builds(node_packages.Package, name=WORDS, version=st.sampled_from(["", ">=1", "<2"])), max_size=2),
    ),
    st.builds(
        config_files.WholeFile,
        service=st.just("front"),
        path=WORDS.map("/etc/front.d/{}".format),
        content=st.sampled_from(["x\n", "y\n"]),
    ),
)


@st.composite
def plugins(draw: st.DrawFn) -> list[PluginInput]:
    """The base, and up to three plugins that extend it."""
    made = [BASE]
    for name in draw(st.lists(st.sampled_from(["a-first", "m-bate", "z-last"]), min_size=1, max_size=3, unique=True)):
        contributions = draw(st.lists(ENTRIES, max_size=4))
        after = draw(st.sampled_from(["install", "files", "m-base.service.frontd"]))
        shell = tasks.Shell(
            id="step",
            roles=draw(SELECTORS),
            run="step",
            after=[Dependency(after, role=draw(st.sampled_from([None, "*", "front", "primary(front)"])), optional=True)],
            run_on=draw(st.sampled_from([[], ["file:/etc/front.cfg"]])),
        )
        patch = task_patches.TaskPatch(
            task="m-base.service.frontd",
            replace=task_patches.Replace(timeout=draw(st.sampled_from([30, 60]))),
            extend=task_patches.Extend(restart_on=["task:step"]) if after == "install" else None,
        )
        more: list[Contribution] = [shell, health_checks.HealthCheck(id="ok", roles=draw(SELECTORS), run="true")]
        made.append(plugin(name, *contributions, *more, *([patch] if draw(st.booleans()) else []), releases=["shop>=1"]))
    return made


NODES = [node("n3", "front"), node("n1", "front", "back"), node("n2", "back"), node("n4")]


def said(work: Callable[[], object]) -> bytes:
    """What came out: a plan, or its findings."""
    try:
        return msgspec.json.encode(work())
    except PlanningError as error:
        return msgspec.json.encode(error.data["findings"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(plugins(), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_plan(given_plugins: list[PluginInput], shuffling: random.Random) -> None:
    state = snapshot(given_plugins, NODES)
    shuffled_plugins, shuffled_nodes = list(given_plugins), list(NODES)
    shuffling.shuffle(shuffled_plugins)
    shuffling.shuffle(shuffled_nodes)
    other = Snapshot(**{**_fields(state), "plugins": shuffled_plugins, "nodes": shuffled_nodes})
    assert said(lambda: make_plan(state)) == said(lambda: make_plan(other))
    assert said(lambda: check_plugins(given_plugins)) == said(lambda: check_plugins(shuffled_plugins))


def _fields(state: Snapshot) -> dict[str, object]:
    return {name: getattr(state, name) for name in state.__struct_fields__ if name != "format"}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(plugins())
def test_a_plan_refuses_later_only_what_nodes_decide(given_plugins: list[PluginInput]) -> None:
    found = {finding.rule for finding in check_plugins(given_plugins)}
    try:
        make_plan(snapshot(given_plugins, NODES))
    except PlanningError as error:
        in_plan = {finding.rule for finding in error.data["findings"]}  # type: ignore[attr-defined]
        assert in_plan <= found | {"M001", "M005", "K001", "H010"}


LEVELED = st.lists(st.tuples(st.sampled_from(["default", "set"]), st.integers(0, 2)), min_size=1, max_size=4)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(LEVELED, st.none() | st.integers(3, 4), st.randoms(use_true_random=False))
def test_equal_values_merge_different_ones_conflict_and_overrides_win(
    values: list[tuple[str, int]], override: int | None, shuffling: random.Random
) -> None:
    """Each value is a plugin's; the operator's comes on top."""
    givers = [
        plugin(f"p{number}", config_files.Option(service="front", section="s", key="k", value=value, level=level))  # type: ignore[arg-type]
        for number, (level, value) in enumerate(values)
    ]
    together = [BASE, *givers]
    shuffling.shuffle(together)
    given_by_operator = [OverrideInput(path="/etc/front.cfg", section="s", key="k", value=override, roles=["*"], by="ada")]
    state = snapshot(together, NODES, overrides=given_by_operator if override is not None else [])
    highest = "set" if any(level == "set" for level, _ in values) else "default"
    owners = {f"p{number}" for number, (level, _) in enumerate(values) if level == highest}
    winning = {value for level, value in values if level == highest}
    if override is None and len(winning) > 1:
        with pytest.raises(PlanningError) as refused:
            make_plan(state)
        (finding,) = refused.value.data["findings"]  # type: ignore[misc]
        assert finding.rule == "M001"
        assert len({name for name in owners if name in finding.message}) == len(winning)
        return
    plan = make_plan(state)
    expected = override if override is not None else winning.pop()
    text = text_of(plan, "n3", "/etc/front.cfg").splitlines()
    assert f"    k {expected}" in text
    content = plan.contents[file_of(plan, "n3", "/etc/front.cfg").content]
    named = [plan.origins[origin] for origin in content.lines[text.index(f"    k {expected}")]]
    if override is not None:
        assert [origin.level for origin in named] == ["override"]
    else:
        assert {origin.plugin for origin in named} == owners
