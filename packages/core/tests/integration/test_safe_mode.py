# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A server in safe mode runs no plugin's code, says so everywhere, and does everything else: what does harm can be taken away."""

from __future__ import annotations

from pathlib import Path

import code_plugins

SOURCE = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"here"]


    class App(rest_api.RESTAPIPlugin):
        application = app


    def heard(event, context):
        pass
"""
CONTRIBUTIONS = [
    "rest_api.RestApi(call=code(App))",
    'events.EventHandler(name="heard", events=["plugin.enabled", "plugin.disabled", "plugin.uninstalled"], call=code(heard))',
    'tasks.Shell(id="greet", roles=["*"], run="true")',
]


def test_no_code_runs_and_all_else_works(start_server, tmp_path: Path) -> None:
    bundle = code_plugins.build(tmp_path, source=SOURCE, contributions=CONTRIBUTIONS).read_bytes()
    server = start_server(safe_mode=True)
    with server.client() as client:
        assert client.get("/api/health").json()["safe_mode"] is True
        assert client.get("/api/ready").json()["safe_mode"] is True
        assert client.post("/api/plugins", content=bundle).status_code == 201
        refused = client.get("/api/plugins/hello/")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:stoker:problem:safe-mode")
        assert "--safe-mode" in refused.json()["remedy"]
        client.post("/api/environments", json={"name": "e"})
        assert client.put("/api/environments/e/plugins/hello", json={}).status_code == 200
        assert client.post("/api/environments/e/plans").status_code == 201
        found = client.get("/api/plugin-diagnosis").json()["items"]
        assert [(item["problem"], item["severity"]) for item in found] == [("safe-mode", "warning")]
        assert client.delete("/api/environments/e/plugins/hello").json() == {"state": "gone"}
        assert client.delete("/api/plugin-versions/hello/1.0.0").status_code == 204
