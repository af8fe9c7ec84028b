# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks of plans and of settings in real workers: what they give is planned, shown, kept; what they do wrong stops or warns."""

from __future__ import annotations

import json
import time

import code_plugins
import pytest
from stoker.errors import ConflictError, InvalidInputError
from stoker.plugin_host.breaker import FAILURES

SOURCE = """
import os
import time
from pathlib import Path

from stoker_sdk.context import Problem

calls = []


def fault(mode):
    if mode == "raise":
        raise ValueError("the shares of db.example.org are gone")
    if mode == "sleep":
        time.sleep(60)
    if mode == "loop":
        while True:
            pass
    if mode == "quit":
        os._exit(3)
    if mode == "memory":
        held = [bytearray(32 << 20) for _ in range(64)]


def shares(plan, context):
    fault(plan.settings["mode"])
    calls.append(plan)
    mode, path = plan.settings["mode"], "/etc/shares"
    if mode == "shape":
        return {"not": "contributions"}
    if mode == "undeclared":
        return [node_packages.NodePackages(roles=["*"], packages=["sl"])]
    if mode == "name":
        return [config_files.WholeFile(path="/etc/shadow", content="x")]
    if mode == "wrong":
        return [tasks.Shell(id="bad id", roles=["*"], run="true")]
    hosts = [f"{node.name} {node.facts['os_family']} for {context.caller.name}" for node in plan.nodes]
    text = "\\n".join([*hosts, f"call {len(calls)} in {plan.environment.name}", ""])
    return [
        config_files.WholeFile(path=path, content=text),
        tasks.Shell(id="export", roles=["*"], run="exportfs", after=["files"]),
    ]


def check(settings, context):
    fault(settings["check"])
    if settings["check"] == "shape":
        return "fine"
    found = []
    if settings["check"] == "refuse":
        found.append(Problem(field="address", message="nobody answers there", remedy="Give another one."))
    if settings["check"] == "warn":
        found.append(Problem(field="address", message="it is slow", remedy="Think about it.", severity="warning"))
    assert settings["secret"] in (None, "") or "$secret" in settings["secret"], "it got a secret"
    return found


SCHEMA = {
    "type": "object",
    "properties": {
        "mode": {"type": "string", "default": ""},
        "check": {"type": "string", "default": ""},
        "address": {"type": "string", "default": "db.example.org"},
        "secret": {"type": ["string", "null"], "default": None, "x-secret": {}},
    },
}
"""
HOOK = """before_plan.BeforePlan(
    name="shares", call=code(shares), required={required}, deadline=1,
    points=["config_files.*", "tasks.shell"], names=["config_files.whole_file /etc/shares*", "tasks.shell *"],
)"""
CHECK = "validate_settings.ValidateSettings(call=code(check), required={required}, deadline=1)"
FAULTS = ["raise", "sleep", "loop", "quit", "shape", "undeclared", "name", "wrong"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory):
    """The same plugin, once with hooks that are required and once with others."""
    folder = tmp_path_factory.mktemp("fills")
    made = {}
    for name, required in (("fills", True), ("tries", False)):
        given = ["settings.Settings(json_schema=SCHEMA)", f'roles.Role(name="{name}")']
        given += [HOOK.format(required=required), CHECK.format(required=required)]
        made[name] = code_plugins.build(folder, name, source=SOURCE, contributions=given, fields="memory=96, ").read_bytes()
    return made


@pytest.fixture(scope="module")
def lab(simulation, bundles):
    """An environment of one node for each of the two."""
    client = simulation.client
    for name, bundle in bundles.items():
        client.install_plugin(bundle)
        client.create_environment(name)
        client.enable_plugin(name, name)
        (node,) = simulation.ask("add", data=(1, name), kind=list[str])
        client.add_node(node, node, transport="simulated")
        client.assign_node(name, node, [name])
    return simulation


def test_what_a_hook_gives_is_planned_shown_kept_and_not_asked_for_again(lab) -> None:
    client = lab.client
    client.enable_plugin("fills", "fills", settings={})
    plan = client.create_plan("fills")
    (computed,) = plan["computed"]
    labels = ["config_files.whole_file /etc/shares", "tasks.shell export"]
    assert (computed["plugin"], computed["hook"], computed["contributions"]) == ("fills", "shares", labels)
    assert len(computed["digest"]) == 64
    (file,) = [item for item in client.plan_files(plan["id"]) if item["path"] == "/etc/shares"]
    assert "fills1 debian for server" in file["diff"]
    assert "call 1 in fills" in file["diff"]
    explained = lab.cli("plan", "explain", "--plan", plan["id"], "fills1", "/etc/shares:1")
    assert "before_plan shares" in explained
    shown = lab.cli("plan", "show", plan["id"])
    assert "Computed by plugins' code" in shown
    assert "fills 1.0.0: before_plan shares, 2 contributions" in shown

    deployment = lab.finish(client.deploy("fills", plan=plan["id"]))
    assert deployment["state"] == "ready", deployment  # the plan was held against its inputs, and the hook not asked
    assert json.loads(lab.cli("env", "drift", "fills", "--json"))["items"][0]["state"] == "same"
    again = client.create_plan("fills")
    (file,) = [item for item in client.plan_files(again["id"]) if item["path"] == "/etc/shares"]
    assert "call 2 in fills" in file["diff"]  # it was asked once for the first plan, and once for this


@pytest.mark.parametrize("mode", FAULTS)
def test_a_plan_is_refused_or_says_what_is_missing(lab, mode: str) -> None:
    client = lab.client
    client.enable_plugin("fills", "fills", settings={"mode": mode})
    client.enable_plugin("tries", "tries", settings={"mode": mode})
    began = time.monotonic()
    with pytest.raises(Exception, match="fills") as caught:
        client.create_plan("fills")
    (finding,) = caught.value.data["findings"]
    assert (finding["rule"], finding["plugin"], finding["contribution"]) == ("J030", "fills", "before_plan shares")
    if mode == "raise":
        assert "in shares" in finding["message"]
    plan = client.create_plan("tries")
    assert any("before_plan shares gave nothing" in warning for warning in plan["warnings"])
    assert plan["computed"][0]["missing"]
    assert time.monotonic() - began < 20
    assert client.nodes()
    for name in ("fills", "tries"):  # a fault of one case is none of the next
        for item in client.quarantine(name):
            client.rearm(item["plugin"])


def test_a_hook_that_always_fails_is_in_quarantine_and_mended_settings_and_a_person_end_it(lab) -> None:
    client = lab.client
    client.enable_plugin("fills", "fills", settings={"mode": "raise"})
    for _ in range(2 * FAILURES):
        with pytest.raises(Exception, match="fills") as caught:
            client.create_plan("fills")
        if "in quarantine" in str(caught.value):
            break
    (item,) = client.quarantine("fills")
    assert (item["hook"], item["environment"]) == ("before_plan shares", "fills")
    assert "db.example.org" not in item["reason"] + item["traceback"]
    client.enable_plugin("fills", "fills", settings={})
    with pytest.raises(Exception, match="in quarantine"):
        client.create_plan("fills")
    assert "before_plan shares" in lab.cli("plugins", "quarantine", "list")
    assert "Traceback" in lab.cli("plugins", "quarantine", "show", "fills")
    for command in ("list", "show"):
        (told,) = json.loads(lab.cli("plugins", "quarantine", command, "fills", "--json"))["items"]
        assert told["hook"] == "before_plan shares"
    lab.cli("plugins", "quarantine", "rearm", "fills", "--env", "fills", "--hook", "before_plan shares")
    assert client.create_plan("fills")["computed"][0]["contributions"]


def test_settings_are_checked_by_the_plugin_before_they_are_stored(lab) -> None:
    client = lab.client
    client.enable_plugin("fills", "fills", settings={"secret": "hunter22"})
    stored = client.environment_plugin("fills", "fills")["settings"]
    with pytest.raises(InvalidInputError) as caught:
        client.enable_plugin("fills", "fills", settings={"check": "refuse"})
    (finding,) = caught.value.data["findings"]
    assert (finding["rule"], finding["field"]) == ("J033", "address")
    assert client.environment_plugin("fills", "fills")["settings"] == stored
    found = client.enable_plugin("fills", "fills", settings={"check": "warn"})
    assert [item["message"] for item in found["warnings"]] == ["setting address: it is slow"]
    assert client.environment_plugin("fills", "fills")["warnings"] == found["warnings"]
    assert "it is slow" in lab.cli("env", "settings", "fills", "fills")
    document = client.export_environment("fills")
    document["plugins"]["fills"]["settings"]["check"] = "refuse"
    with pytest.raises(InvalidInputError, match="nobody answers"):
        client.apply_environment("fills", document)
    assert client.enable_plugin("fills", "fills", settings={})["warnings"] == []


@pytest.mark.parametrize("mode", ["raise", "sleep", "quit", "memory", "shape"])
def test_a_check_that_fails_itself_stops_or_warns(lab, mode: str) -> None:
    client = lab.client
    with pytest.raises(ConflictError, match="could not be checked") as caught:
        client.enable_plugin("fills", "fills", settings={"check": mode})
    assert caught.value.data["findings"][0]["rule"] == "J032"
    found = client.enable_plugin("tries", "tries", settings={"check": mode})
    assert "could not be checked" in found["warnings"][0]["message"]
    for name in ("fills", "tries"):
        for item in client.quarantine(name):
            client.rearm(item["plugin"])


def test_a_plugin_that_fails_in_all_ways_is_removed_like_any_other(lab) -> None:
    client = lab.client
    client.enable_plugin("tries", "tries", settings={})
    lab.deploy("tries")
    client.enable_plugin("tries", "tries", settings={"mode": "loop"})
    client.disable_plugin("tries", "tries")
    plan = client.create_plan("tries")
    assert plan["computed"] == []
    assert plan["counts"]["files_remove"] == 1
