# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The program against a real server, and the plugin's own word."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from stoker_plugin_probe import PROGRAM, plugin
from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.validation import check_plugin
from stoker_sdk.validation.parameters import misfits

FOLDER = Path(__file__).parent.parent


class Site(BaseHTTPRequestHandler):
    """A page, one that is hidden, and one that is not there."""

    seen: list = []

    def do_GET(self):
        self.seen.append(self.headers.get("Authorization"))
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        self.wfile.write("Grüße\n".encode())

    def log_message(self, *_arguments):
        """Quiet."""


@pytest.fixture
def site():
    server = HTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def probe(*options, **parameters):
    done = subprocess.run(
        [sys.executable, FOLDER / PROGRAM, *options], input=json.dumps(parameters), capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_pages_that_answer(site):
    status, said = probe(pages=[{"url": f"{site}/", "text": "Grüße"}, {"url": f"{site}/none", "status": 404}], token="abc")
    assert status == 0
    assert [line.get("progress") for line in said] == [0.5, 1.0, None]
    assert said[-1] == {"changed": False}
    assert Site.seen[-1] == "Bearer abc"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ({"url": "/none"}, "status 404 instead of 200"),
        ({"url": "/", "text": "Bye"}, "the text 'Bye' is not there"),
    ],
)
def test_a_wrong_answer_is_told(site, page, why):
    status, said = probe(pages=[{**page, "url": site + page["url"]}], within=0.2, interval=0.1)
    assert status == 1
    assert why in said[-1]["error"]
    assert said[-1]["remedy"]


def test_it_waits_until_somebody_serves():
    server = HTTPServer(("127.0.0.1", 0), Site, bind_and_activate=False)
    server.server_bind()
    url = f"http://127.0.0.1:{server.server_port}/"

    def later():
        time.sleep(0.4)
        server.server_activate()
        server.handle_request()

    thread = threading.Thread(target=later)
    thread.start()
    status, said = probe(pages=[{"url": url}], within=20, interval=0.1)
    thread.join()
    server.server_close()
    assert (status, said[-1]) == (0, {"changed": False})


def test_a_dry_run_asks_nobody():
    assert probe("--dry-run", pages=[{"url": "http://127.0.0.1:9/"}]) == (0, [{"changed": False}])


def test_manifest_round_trip_and_no_faults():
    manifest = json.loads(json.dumps(to_manifest(plugin)))
    assert json.loads(json.dumps(to_manifest(read_manifest(manifest)))) == manifest
    assert check_plugin(plugin, FOLDER) == []


@pytest.mark.parametrize("bad", [{"pages": [{"url": "ftp://x"}]}, {"pages": [], "within": 0}, {"pages": [], "other": 1}, {}])
def test_parameters_refuse(bad):
    (kind,) = [item for item in plugin.contributions if isinstance(item, TaskKind)]
    assert list(misfits(kind.parameters, bad))
