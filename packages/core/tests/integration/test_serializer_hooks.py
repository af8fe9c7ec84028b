# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Serializer hooks from the outside: a real plugin in a real worker adds data to what the API and the command line show."""

from __future__ import annotations

import code_plugins
import pytest
from simulation import until

SOURCE = """
def labels(objects, context):
    if context.settings.get("break"):
        raise ValueError("no labels today")
    rack = context.settings["rack"]
    return {item.id: {"label": f"{rack}/{item.columns['name']}"} for item in objects}


def people(objects):
    return {item.id: {"owner": "somebody"} for item in objects}


def count(objects, context):
    return {item.id: {"name": item.columns["name"], "caller": context.caller.name} for item in objects}
"""
SCHEMA = '{"type": "object", "properties": {"rack": {"type": "string", "default": "r1"}, "break": {"type": "boolean"}}}'
CONTRIBUTIONS = [
    f"settings.Settings(json_schema={SCHEMA.replace('true', 'True')})",
    "permissions.Permission(name='see_people', title='See people', access='operator')",
    (
        "serializer_hooks.SerializerHook(name='labels', target='node', call=code(labels), reads=['name'], settings=True,"
        " json_schema={'type': 'object', 'required': ['label']})"
    ),
    (
        "serializer_hooks.SerializerHook(name='people', target='node', call=code(people), permission='see_people',"
        " json_schema={'type': 'object'})"
    ),
    (
        "serializer_hooks.SerializerHook(name='count', target='environment', call=code(count), reads=['name'],"
        " json_schema={'type': 'object'})"
    ),
]


@pytest.fixture(scope="module")
def house(simulation, tmp_path_factory):
    """A server with the plugin, and an environment that uses it, with one node."""
    folder = tmp_path_factory.mktemp("labels")
    bundle = code_plugins.build(folder, "labels", source=SOURCE, contributions=CONTRIBUTIONS)
    simulation.cli("plugins", "install", bundle)
    simulation.cli("env", "create", "labelled")
    simulation.cli("env", "enable", "labelled", "labels")
    with simulation.server.client() as client:
        client.post("/api/nodes", json={"name": "lab-1", "address": "192.0.2.7"}).raise_for_status()
        client.put("/api/environments/labelled/nodes/lab-1", json={"roles": []}).raise_for_status()
        yield simulation, client


def test_what_a_plugin_adds_is_shown_selected_and_named_by_tags(house) -> None:
    simulation, client = house
    want = {"labels": {"labels": {"label": "r1/lab-1"}, "people": {"owner": "somebody"}}}

    def fresh(path="/api/nodes/lab-1", **params):
        found = client.get(path, params=params)
        return found if "ext" in found.json() and "ext_state" not in found.json() else None

    first = until(fresh, "fresh data")
    assert first.json()["ext"] == want
    listed = client.get("/api/environments/labelled/nodes")
    assert [item["ext"] for item in listed.json()["items"]] == [want]
    assert client.get("/api/environments/labelled/nodes", headers={"If-None-Match": listed.headers["etag"]}).status_code == 304
    none = client.get(
        "/api/environments/labelled/nodes", params={"ext": "none"}, headers={"If-None-Match": listed.headers["etag"]}
    )
    assert none.status_code == 200
    assert "ext" not in none.json()["items"][0]
    assert client.get("/api/nodes/lab-1", params={"ext": "labels,other"}).json()["ext"] == want
    assert "ext" not in client.get("/api/nodes/lab-1", params={"ext": "other"}).json()
    home = until(lambda: fresh("/api/environments/labelled"), "the environment's data")
    assert home.json()["ext"] == {"labels": {"count": {"name": "labelled", "caller": "stoker"}}}
    token = client.post("/api/tokens", json={"name": "looks", "access": "viewer"}).json()["token"]
    seen = client.get("/api/nodes/lab-1", headers={"Authorization": f"Bearer {token}"})
    assert seen.json()["ext"] == {"labels": {"labels": {"label": "r1/lab-1"}}}
    assert seen.headers["etag"] != first.headers["etag"]
    shown = simulation.cli("nodes", "show", "lab-1")
    assert 'labels.labels  {"label":"r1/lab-1"}' in shown
    hooks = client.get("/api/environments/labelled/serializer-hooks").json()["items"]
    assert [(hook["name"], hook["state"], hook["reason"]) for hook in hooks] == [
        ("count", "fresh", ""),
        ("labels", "fresh", ""),
        ("people", "fresh", ""),
    ]
    # An edit for the state that was seen is not outdated by what plugins add meanwhile.
    client.put("/api/environments/labelled/plugins/labels", json={"settings": {"rack": "r2"}}).raise_for_status()
    until(lambda: (found := fresh()) and found.json()["ext"]["labels"]["labels"] == {"label": "r2/lab-1"}, "the new settings")
    assert client.get("/api/nodes/lab-1", headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    assert client.patch("/api/nodes/lab-1", json={"port": 23}, headers={"If-Match": first.headers["etag"]}).status_code == 200


def test_a_hook_that_raises_leaves_stale_data_and_a_reason_and_disabling_takes_all_away(house) -> None:
    simulation, client = house
    path = "/api/environments/labelled/plugins/labels"
    client.put(path, json={"settings": {"break": True}}).raise_for_status()

    def failed():
        hooks = client.get("/api/environments/labelled/serializer-hooks").json()["items"]
        return next((hook for hook in hooks if hook["name"] == "labels" and hook["failures"]), None)

    hook = until(failed, "the failure")
    assert "no labels today" in hook["reason"]
    assert hook["state"] == "stale"
    assert client.get("/api/nodes/lab-1").json()["ext_state"]["labels.labels"] == "stale"
    assert "labels.labels" in simulation.cli("env", "serializer-hooks", "labelled")
    assert "(stale)" in simulation.cli("nodes", "show", "lab-1")
    client.delete(path).raise_for_status()
    assert not {"ext", "ext_state"} & client.get("/api/nodes/lab-1").json().keys()
    assert client.get("/api/environments/labelled/serializer-hooks").json()["items"] == []
