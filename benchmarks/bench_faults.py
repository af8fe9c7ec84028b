# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin that misbehaves, and how long others wait for the core's API meanwhile."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from stoker_sdk.source import build_bundle

from benchmarks import bench_server
from benchmarks.result import Result

NAMES = ("fault-p99",)

_PAIRS = 7
_SECONDS = 1.2
_PAUSE = 0.004
_WARM = 40
_FAULTS = ("loop", "memory", "flood", "fork", "exit", "raise")
_PROJECT = """\
[project]
name = "stoker-plugin-faulty"
version = "1.0.0"
description = "Misbehaves"
requires-python = ">=3.11"
dependencies = ["stoker-sdk"]

[project.entry-points."stoker.plugins"]
faulty = "stoker_plugin_faulty:plugin"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
_MODULE = '''\
"""Misbehaves in the way that its path names."""

import os
import sys
import time

from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.extension_points.rest_api import RestApi


def loop():
    while True:
        pass


def memory():
    kept = []
    while True:
        kept.append(bytearray(4 << 20))


def flood():
    while True:
        sys.stdout.write("x" * 1000 + "\\n")


def fork():
    while True:
        try:
            if not os.fork():
                loop()
        except OSError:
            time.sleep(0.01)


FAULTS = {"loop": loop, "memory": memory, "flood": flood, "fork": fork, "exit": lambda: os._exit(3), "raise": lambda: 1 / 0}


class Api(RESTAPIPlugin):
    @staticmethod
    def application(environ, start_response):
        FAULTS[environ["PATH_INFO"].strip("/")]()


plugin = Plugin(name="faulty", version="1.0.0", title="Faulty", contributions=[RestApi(call=code(Api), timeout=600)])
'''


def _bundle(folder: Path) -> bytes:
    project = folder / "faulty"
    package = project / "src" / "stoker_plugin_faulty"
    package.mkdir(parents=True)
    (project / "pyproject.toml").write_text(_PROJECT)
    (package / "__init__.py").write_text(_MODULE)
    return build_bundle(project, folder).read_bytes()


def _p99(client: httpx.Client, seconds: float) -> float:
    spent = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        client.get("/api/nodes", params={"limit": 100}).raise_for_status()
        spent.append(time.perf_counter() - start)
        time.sleep(_PAUSE)
    return sorted(spent)[int(len(spent) * 0.99)]


_ASKER = """
import http.client, signal, sys, time
host, port, token, fault = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}

def ask(what, patience):
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=patience)
        connection.request("GET", f"/api/plugins/faulty/{what}", headers=headers)
        connection.getresponse().read()
        connection.close()
    except OSError:
        pass

over = False

def end(*_):
    global over
    over = True

signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
while not over:
    ask(fault, 0.5)
    time.sleep(0.05)
ask("exit", 10)
"""
"""Asks in a process of its own: what it costs to ask is not what the core's answers wait for."""


@contextmanager
def _misbehaving(url: httpx.URL, token: str, fault: str) -> Iterator[None]:
    """As long as the block lasts, the plugin is asked to misbehave, again as soon as it answered or was ended."""
    words = [sys.executable, "-c", _ASKER, url.host, str(url.port), token, fault]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        asking.stdout.readline()
        time.sleep(0.6)  # until the plugin began
        try:
            yield
        finally:
            asking.terminate()
            asking.wait()
            time.sleep(0.2)


def run() -> Iterator[Result]:
    """Pairs of calm and fault, in turns; of each fault the median of its ratios, of all faults the worst."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        bench_server.fill(folder / "data", installed=0)
        bundle = _bundle(folder)
        with bench_server.running(folder / "data") as (_, url, _):
            token = (folder / "data" / "admin-token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                client.post("/api/plugins", content=bundle).raise_for_status()
                for _ in range(_WARM):
                    client.get("/api/nodes", params={"limit": 100}).raise_for_status()
                ratios: dict[str, list[float]] = {fault: [] for fault in _FAULTS}
                for _ in range(_PAIRS):
                    for fault in _FAULTS:
                        calm = _p99(client, _SECONDS)
                        with _misbehaving(httpx.URL(url), token, fault):
                            ratios[fault].append(_p99(client, _SECONDS) / calm)
                sandbox = client.get("/api/health").json().get("sandbox", "")
    medians = {fault: statistics.median(found) for fault, found in ratios.items()}
    worst = max(medians, key=lambda fault: medians[fault])
    told = ", ".join(f"{fault} {ratio:.2f}" for fault, ratio in medians.items())
    yield Result(
        name="fault-p99",
        value=medians[worst],
        unit="x",
        bound=1.5,
        aim=1.2,
        note=f"p99 of a list of 100 nodes while a plugin misbehaves over without it, worst is {worst}: {told}; "
        f"median of {_PAIRS} pairs each, {sandbox}, {os.cpu_count()} processors",
    )
