# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Actions and jobs: who may start what, what a job says of itself, how it ends, and what becomes of it when something dies."""

from __future__ import annotations

import msgspec
import pydantic
import pytest
from litestar.testing import TestClient
from simulation import until
from sqlalchemy import insert, select, update
from stoker.app import build_app
from stoker.db import jobs as job_rows
from stoker.db import tables
from stoker.orchestration import job_runner, running_job
from stoker.plugin_host.sandbox.choice import KINDS, Sandbox
from stoker.plugin_host.workers import Limits, Workers
from stoker.services.job_calls import make_runner
from stoker_sdk import Plugin
from stoker_sdk.extension_points import actions, permissions, settings
from stoker_sdk.manifest import to_manifest
from worker_venvs import venv

SOURCE = """
    import os
    import time

    from stoker_sdk import Plugin

    plugin = Plugin(name="hello", version="1.0.0", title="Hello")


    def count(job, context):
        job.log(f"for {context.caller.name} ({', '.join(context.caller.permissions)}) in {context.environment.name}")
        for number in range(job.form["upto"]):
            job.progress((number + 1) / job.form["upto"], f"at {number + 1}")
        return {"counted": job.form["upto"], "greeting": context.settings["greeting"], "on": job.target.columns["name"]}


    def waits(job, context):
        seen = job.state or 0
        job.log(f"begins at {seen}")
        job.checkpoint(seen + 1)
        end = time.monotonic() + job.form.get("seconds", 60)
        while time.monotonic() < end and not (job.cancelled and not job.form.get("deaf")):
            time.sleep(0.02)
        return {"calls": seen + 1}


    def dies(job):
        job.checkpoint((job.state or 0) + 1)
        os._exit(1)


    def dies_once(job):
        if job.state is None:
            job.checkpoint("went")
            os._exit(1)
        return job.state


    def raises(job):
        job.log("one\\ntwo")
        raise ValueError("no such shelf")


    def wrong(job):
        return "text"


    def large(job):
        for _ in range(40):
            job.log("x" * 4000)
        return "y" * 300_000


    def other(job):
        job.id = "f" * 16
        job.log("of another one")
"""


class Greeting(pydantic.BaseModel):
    """Settings."""

    greeting: str = "hi"


FORM = {"type": "object", "properties": {"upto": {"type": "integer", "minimum": 1, "default": 3}}, "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"seconds": {"type": "number"}, "deaf": {"type": "boolean"}}}
PLUGIN = Plugin(
    name="hello",
    version="1.0.0",
    title="Hello",
    contributions=[
        settings.Settings.from_model(Greeting),
        permissions.Permission(name="count", title="Count", access="viewer"),
        permissions.Permission(name="rule", title="Rule", access="admin"),
        actions.Action(name="count", title="Count", call="hello_jobs:count", form=FORM, permission="count", confirm="Count?"),
        actions.Action(name="look", title="Look", call="hello_jobs:count", form=FORM, target="node"),
        actions.Action(name="waits", title="Wait", call="hello_jobs:waits", form=LOOSE, target="server", restartable=True),
        actions.Action(name="short", title="Wait", call="hello_jobs:waits", form=LOOSE, target="server", deadline=1),
        actions.Action(name="ruled", title="Rule", call="hello_jobs:waits", target="server", permission="rule"),
        *(
            actions.Action(name=name, title=name, call=f"hello_jobs:{name}", target="server", **more)
            for name, more in {
                "dies": {"restartable": True},
                "dies_once": {"restartable": True},
                "raises": {},
                "wrong": {"json_result": {"type": "object"}},
                "large": {},
                "other": {},
            }.items()
        ),
    ],
)


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return venv(tmp_path_factory.mktemp("hello"), "hello_jobs", SOURCE)


@pytest.fixture
def context(server_context, tmp_path, code, monkeypatch):
    """A server's parts, whose workers run the code above."""
    monkeypatch.setattr(job_runner, "GRACE_SECONDS", 0.5)
    equip(server_context, tmp_path, code)
    with server_context.database.transaction() as connection:
        manifest = msgspec.json.encode(to_manifest(PLUGIN)).decode()
        row = {"name": "hello", "version": "1.0.0", "digest": "d", "title": "Hello", "manifest": manifest, "path": "hello/1.0.0"}
        connection.execute(insert(tables.plugins).values(**row, installed_at=1.0))
        connection.execute(insert(tables.environments).values(id="e1", name="lab", created_at=1.0, revision=1))
        connection.execute(insert(tables.environment_plugins).values(environment_id="e1", plugin="hello", version="1.0.0"))
        node = {"id": "n1", "name": "web1", "address": "192.0.2.1", "environment_id": "e1", "created_at": 1.0}
        connection.execute(insert(tables.nodes).values(**node))
    return server_context


def equip(context, tmp_path, code):
    """Workers that run our venv, and a runner that is patient for half a second."""
    sandbox = Sandbox(tmp_path / "w", share=0.5, allow_unconfined=True, kinds=KINDS)
    context.workers = Workers(Limits(), lambda _name, _version: code, sandbox, context.back)
    context.dispatcher._workers = context.workers
    context.jobs = make_runner(context)
    context.jobs._grace = 0.5


def opened(context):
    made = TestClient(build_app(context), base_url="http://127.0.0.1:8550", raise_server_exceptions=False)
    made.headers["Authorization"] = f"Bearer {context.config.token_file.read_text().strip()}"
    return made


@pytest.fixture
def api(context):
    with opened(context) as made:
        yield made


def start(api, name, **body):
    answer = api.post(f"/api/actions/hello/{name}", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def ended(api, job):
    def look():
        found = api.get(f"/api/jobs/{job}").json()
        return found if found["state"] not in ("queued", "running") else None

    return until(look, f"job {job}")


def log_of(api, job):
    return [line["line"] for line in api.get(f"/api/jobs/{job}/log").json()["items"]]


@pytest.mark.databases("sqlite", "postgresql")
def test_an_action_runs_for_who_started_it_and_tells_how_far_it_is(api, context):
    answer = api.post("/api/environments/lab/actions/hello/count", json={"form": {"upto": 5}})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["state"], answer.json()["target"]) == ("queued", {"kind": "environment", "id": "e1", "name": "lab"})
    job = ended(api, answer.json()["id"])
    assert (job["state"], job["error"], job["progress"], job["message"]) == ("succeeded", "", 1.0, "at 5")
    assert job["result"] == {"counted": 5, "greeting": "hi", "on": "lab"}
    assert job["actor"] == "server"
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert log_of(api, job["id"]) == ["for server (count, rule) in lab"]
    log = api.get(f"/api/jobs/{job['id']}/log").json()
    assert api.get(f"/api/jobs/{job['id']}/log?after={log['last']}").json() == {"items": [], "last": log["last"], "ended": True}
    on_node = api.post("/api/environments/lab/actions/hello/look", json={"node": "web1"}).json()
    assert ended(api, on_node["id"])["result"]["on"] == "web1"

    both = [found["id"] for found in api.get("/api/jobs?environment=lab&state=succeeded").json()["items"]]
    assert both == [on_node["id"], job["id"]]
    first = api.get("/api/jobs?limit=1").json()
    assert [found["id"] for found in first["items"]] == both[:1]
    assert [found["id"] for found in api.get(f"/api/jobs?limit=1&cursor={first['next']}").json()["items"]] == both[1:]
    with context.database.read() as connection:
        told = connection.execute(select(tables.changes).where(tables.changes.c.kind == "job")).all()
        audited = connection.execute(select(tables.audit_log).where(tables.audit_log.c.action == "job.start")).all()
    assert next(row.action for row in told if row.object_id == job["id"]) == "added"
    assert '"state":"succeeded"' in told[-1].data.replace(" ", "")
    assert (audited[0].object, audited[0].environment) == ("hello.count", "lab")


def test_a_start_that_does_not_fit_is_refused(api, context):
    def refused(path, status, words, **body):
        answer = api.post(path, json=body)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text

    lab = "/api/environments/lab/actions/hello"
    refused(f"{lab}/count", 422, "upto", form={"upto": 0})
    refused(f"{lab}/count", 422, "more", form={"more": 1})
    refused(f"{lab}/count", 422, "not on a node", node="web1")
    refused(f"{lab}/look", 422, "is started on a node")
    refused(f"{lab}/look", 404, "no node", node="web9")
    refused(f"{lab}/waits", 404, "It is started on the server")
    refused(f"{lab}/nothing", 404, "no action")
    refused("/api/actions/hello/count", 404, "It is started on the environment")
    refused("/api/actions/hello/raises", 422, "has no form", form={"a": 1})
    refused("/api/actions/none/raises", 404, "not installed")
    refused("/api/environments/nowhere/actions/hello/count", 404, "nowhere")
    with context.database.read() as connection:
        assert connection.execute(select(tables.jobs.c.id)).all() == []


def test_permissions_decide_who_starts_and_sees_actions(api):
    def names(headers, query=""):
        answer = api.get(f"/api/actions{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        return {item["name"] for item in answer.json()["items"]}

    def token(access, **more):
        made = api.post("/api/tokens", json={"name": f"t-{access}-{len(more)}", "access": access, **more}).json()
        return {"Authorization": f"Bearer {made['token']}"}

    viewer, operator, limited = token("viewer"), token("operator"), token("operator", environments=["lab"])
    assert names(viewer) == {"count"}
    assert names(operator) == {action.name for action in PLUGIN.contributions if isinstance(action, actions.Action)} - {"ruled"}
    assert names(limited) == {"count", "look"}
    assert "ruled" in names({})
    assert names({}, "?environment=lab&plugin=hello") == {"count", "look"}
    permitted = api.get("/api/permissions?plugin=hello", headers=limited).json()["items"]
    assert [(item["name"], item["granted"], item["environments"]) for item in permitted] == [
        ("hello.count", True, None),
        ("hello.rule", False, ["lab"]),
    ]
    assert api.post("/api/environments/lab/actions/hello/count", headers=viewer).status_code == 201
    for headers in (viewer, operator, limited):
        answer = api.post("/api/actions/hello/ruled", headers=headers)
        assert answer.status_code == 403
    assert "hello.rule" in api.post("/api/actions/hello/ruled", headers=operator).text
    waiting = start(api, "waits")
    assert api.post(f"/api/jobs/{waiting}/cancel", headers=viewer).status_code == 403
    assert api.post(f"/api/jobs/{waiting}/cancel", headers=limited).status_code == 403
    assert api.post(f"/api/jobs/{waiting}/cancel", headers=operator).status_code == 200
    assert ended(api, waiting)["state"] == "cancelled"


def test_a_job_is_cancelled_by_asking_and_else_by_force(api):
    polite, deaf = start(api, "waits"), start(api, "waits", form={"deaf": True})
    waiting = [start(api, "waits") for _ in range(job_runner.AT_ONCE)]
    until(lambda: log_of(api, polite) and log_of(api, deaf), "both run")
    queued = api.get("/api/jobs?state=queued").json()["items"]
    assert {job["id"] for job in queued} == set(waiting[2:])
    assert api.post(f"/api/jobs/{waiting[-1]}/cancel").json()["state"] == "cancelled"
    assert api.post(f"/api/jobs/{polite}/cancel").json()["cancelled"] is True
    assert ended(api, polite)["error"] == ""
    assert api.post(f"/api/jobs/{polite}/cancel").status_code == 409
    for job in waiting[:-1]:
        api.post(f"/api/jobs/{job}/cancel")
    api.post(f"/api/jobs/{deaf}/cancel")
    assert [ended(api, job)["state"] for job in (*waiting, polite, deaf)] == ["cancelled"] * 6
    assert "stopped" in ended(api, deaf)["error"]


@pytest.mark.parametrize(
    ("action", "words", "lines"),
    [
        ("raises", "ValueError: no such shelf", ["one", "two"]),
        ("wrong", "of type object", []),
        ("large", "300002 bytes", None),
        ("other", "another job", []),
        ("dies", "", None),
        ("short", "", None),
    ],
)
def test_a_job_fails_with_the_reason(api, monkeypatch, action, words, lines):
    monkeypatch.setattr(running_job, "MOST_LOG", 20_000)
    job = ended(api, start(api, action))
    assert job["state"] == "failed"
    assert words in job["error"]
    found = log_of(api, job["id"])
    if lines is not None:
        assert found == lines
    if action == "raises":
        assert 'raise ValueError("no such shelf")' in job["traceback"]
    if action == "large":
        assert len(found) == 5
        assert "The log is full" in found[-1]
    if action == "dies":
        assert found == [line for line in found if "It is called again from its last checkpoint." in line]
        assert len(found) == 1


def test_a_job_goes_on_after_its_worker_died_once(api):
    assert ended(api, start(api, "dies_once"))["result"] == "went"


@pytest.mark.databases("sqlite", "postgresql")
def test_jobs_after_a_restart(context, tmp_path, code):
    with opened(context) as api:
        again, broken = start(api, "waits", form={"seconds": 0.2}), start(api, "short")
        until(lambda: log_of(api, again), "it runs")
    with context.database.transaction() as connection:  # as if the server had been killed while both ran
        connection.execute(update(tables.jobs).values(state="running", finished_at=None, result=None))
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == again).values(checkpoint="1"))
    context.changes._closed = False
    equip(context, tmp_path, code)
    with opened(context) as api:
        assert ended(api, again)["result"] == {"calls": 2}
        assert log_of(api, again)[-1] == "begins at 1"
        job = ended(api, broken)
        assert (job["state"], "ended while it ran" in job["error"]) == ("broken-off", True)


def test_a_plugin_with_many_jobs_does_not_keep_others_from_running(context):
    runner = context.jobs
    with context.database.transaction() as connection:
        base = {"version": "1", "action": "a", "title": "A", "target": "server", "object_id": "", "object": "", "form": "{}"}
        more = {"environment_id": "", "environment": "", "actor": "x", "caller": "{}", "restartable": False}
        for plugin in ("many", "many", "many", "few"):
            job_rows.add_job(connection, {**base, **more, "plugin": plugin})
        order = []
        for _ in range(4):
            job = runner._next(connection)
            runner._running[job.row.id] = job
            order.append(job.row.plugin)
    assert order == ["many", "few", "many", "many"]


def test_old_jobs_are_forgotten_with_their_log(context, monkeypatch):
    monkeypatch.setattr(job_rows, "KEPT", 2)
    base = {"plugin": "p", "version": "1", "action": "a", "title": "A", "target": "server", "object_id": "", "object": ""}
    more = {"form": "{}", "environment_id": "", "environment": "", "actor": "x", "caller": "{}", "restartable": False}
    with context.database.transaction() as connection:
        made = [job_rows.add_job(connection, {**base, **more}) for _ in range(4)]
        for number, job in enumerate(made[:3]):
            job_rows.add_lines(connection, job, [(1.0, "line")])
            job_rows.end(connection, job, {"state": "succeeded"})
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == job).values(finished_at=2e9 + number))
        assert job_rows.prune(connection) == 1
        kept = set(connection.execute(select(tables.jobs.c.id)).scalars())
        assert kept == {*made[1:]}
        assert len(connection.execute(select(tables.job_log)).all()) == 2
