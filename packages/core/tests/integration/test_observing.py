# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a server tells about itself: ids of requests, the access log, metrics, readiness."""

from __future__ import annotations

import json
import logging
import re

import msgspec
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families
from simulation import until
from stoker.app import build_app
from stoker.telemetry import logs
from stoker_sdk.extension_points import tasks


def samples(text):
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# Ids of requests


def test_an_id_of_the_client_comes_back(client) -> None:
    assert client.get("/api/nodes", headers={"X-Request-Id": "proxy-7.a:b"}).headers["x-request-id"] == "proxy-7.a:b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\u00e9".encode(), "<script>"])
def test_an_id_that_may_not_stand_in_a_log_is_replaced(client, given) -> None:
    assert re.fullmatch("[0-9a-f]{16}", client.get("/api/nodes", headers={"X-Request-Id": given}).headers["x-request-id"])


def test_who_is_refused_gets_an_id_too(client) -> None:
    answer = client.get("/api/nodes", headers={"Authorization": "Bearer wrong", "X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (401, "mine")


def test_a_fault_of_the_server_is_logged_under_the_id_of_its_request(client, server_context, monkeypatch, caplog) -> None:
    caplog.handler.setFormatter(logs.formatter("json", server_context.vault.redact))
    server_context.database.close()
    monkeypatch.setattr(server_context.database, "_reading", None)
    answer = client.get("/api/nodes", headers={"X-Request-Id": "broken-1"})
    assert answer.status_code == 500
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert any("Traceback" in line.get("exc_info", "") and line["request"] == "broken-1" for line in lines)


# The access log


def test_every_change_and_every_refusal_has_a_line_and_reads_only_on_debug(client, caplog) -> None:
    caplog.set_level(logging.INFO, "stoker.access")
    client.post("/api/environments", json={"name": "prod"})
    client.get("/api/nodes?limit=7")
    client.get("/api/environments/prod?token=hidden")
    shown = [record.getMessage() for record in caplog.records if record.name == "stoker.access"]
    assert [line.split(" in ")[0] for line in shown] == ["POST /api/environments 201", "GET /api/environments/prod 400"]
    caplog.set_level(logging.DEBUG, "stoker.access")
    client.get("/api/nodes?limit=7")
    assert "GET /api/nodes 200" in caplog.text
    assert not any(word in record.getMessage() for record in caplog.records for word in ("hidden", "limit"))


# Metrics


def test_requests_are_counted_by_template(client) -> None:
    client.post("/api/environments", json={"name": "prod"})
    before = samples(client.get("/metrics").text)
    for name in ("prod", "prod", "other", "no-such/route"):
        client.get(f"/api/environments/{name}")
    client.request("BREW", "/api/environments/prod")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    after = samples(answer.text)

    def grown(name, *labels):
        return after[name, *labels] - before.get((name, *labels), 0)

    route = "route=/api/environments/{env}"
    assert grown("stoker_http_requests_total", "method=GET", route, "status=200") == 2
    assert grown("stoker_http_requests_total", "method=GET", route, "status=404") == 1
    assert grown("stoker_http_request_duration_seconds_count", "method=GET", route) == 3
    assert not any("prod" in label or "no-such" in label or "BREW" in label for key in after for label in key)
    assert after["stoker_environments",] == 1
    assert after["stoker_nodes", "status=online"] == 0
    assert after["stoker_deployments", "state=running"] == 0


def test_metrics_are_for_who_may_look(client, server_context) -> None:
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    server_context.config = msgspec.structs.replace(server_context.config, metrics_without_token=True)
    stranger = TestClient(build_app(server_context), base_url="http://127.0.0.1:8550")  # of the server that client runs
    assert "stoker_build_info" in stranger.get("/metrics").text
    assert stranger.get("/api/nodes").status_code == 401


def metrics_of(simulation):
    with simulation.server.client() as opened:
        return opened.get("/metrics").raise_for_status().text


def test_a_deployment_shows_in_the_metrics_and_in_the_log(simulation) -> None:
    task = tasks.Shell(id="greet", roles=["observed"], run="true", idempotent=True)
    bad = tasks.Shell(id="fail", roles=["observed"], run="false", idempotent=True, after=["greet"])
    environment = simulation.environment("observed", task, bad, nodes=2)
    simulation.behave({"match": "false", "exit_status": 1})
    before = samples(metrics_of(simulation))
    deployment = simulation.deploy(environment, "failed")
    after = samples(metrics_of(simulation))

    def grown(name, *labels):
        return after[name, *labels] - before.get((name, *labels), 0)

    assert grown("stoker_task_results_total", "kind=shell", "outcome=ok") == 2
    assert grown("stoker_task_results_total", "kind=shell", "outcome=failed") >= 1
    assert grown("stoker_attempts_total") >= 3
    assert grown("stoker_plans_total") == 1
    assert grown("stoker_journal_batch_entries_count") >= 2
    assert grown("stoker_deployments", "state=failed") == 1
    assert 1 <= after["stoker_database_connections_in_use",] <= 5
    assert after["stoker_long_work", "state=running"] == 0
    assert after["stoker_long_work", "state=waiting"] == 0
    told = until(
        lambda: [line for line in simulation.server.log.read_text().splitlines() if "observed.fail failed with" in line],
        "a line about the failure",
    )
    assert re.search(rf"environment=observed deployment={deployment['id']} node=observed[12]\]$", told[0])


# Readiness


def test_a_server_that_can_work_is_ready_and_says_so_to_everybody(client) -> None:
    answer = client.get("/api/ready", headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


def test_what_fails_is_named_and_no_more(client, server_context, caplog) -> None:
    server_context.config = msgspec.structs.replace(server_context.config, least_free_bytes=2**62)
    with server_context.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    answer = client.get("/api/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["parts"] == ["database", "disk"]
    assert str(server_context.config.data_dir) not in answer.text
    assert str(server_context.config.data_dir) in caplog.text
    assert client.get("/api/health").status_code == 200


def test_without_an_orchestrator_at_work_it_is_not_ready(server_context) -> None:
    with TestClient(build_app(server_context), base_url="http://127.0.0.1:8550") as opened:
        assert opened.get("/api/ready").status_code == 200
        opened.blocking_portal.call(server_context.orchestrator.close)
        assert opened.get("/api/ready").json()["parts"] == ["orchestrator"]


def test_several_processes_answer_as_one(start_server) -> None:
    server = start_server(processes=2)
    count = 20
    for _ in range(count):
        with server.client() as opened:  # a connection each: both processes get some
            opened.get("/api/environments").raise_for_status()
    with server.client() as opened:
        opened.post("/api/environments", json={"name": "prod"}, headers={"X-Request-Id": "mine-1"}).raise_for_status()
        found = samples(opened.get("/metrics").text)
        assert opened.get("/api/ready").json()["status"] == "ready"
    assert found["stoker_http_requests_total", "method=GET", "route=/api/environments", "status=200"] == count
    assert found["stoker_http_requests_total", "method=POST", "route=/api/environments", "status=201"] == 1
    assert found["stoker_environments",] == 1
    assert "POST /api/environments 201" in server.log.read_text()
    assert "request=mine-1" in server.log.read_text()
