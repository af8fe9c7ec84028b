# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Calls about a whole fleet: roles for 1,000 nodes at once."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import httpx
from stoker_sdk import Plugin
from stoker_sdk.bundle import write_bundle
from stoker_sdk.extension_points import roles
from stoker_sdk.manifest import to_manifest

from benchmarks import bench_server
from benchmarks.result import Result

NAMES = ("bulk-assign",)

_ROLES = 8
_CALLS = 7


def _prepare(client: httpx.Client, folder: Path) -> list[str]:
    """An environment with a plugin that brings roles; gives the names of the nodes."""
    contributions = [roles.Role(name=f"role-{number}") for number in range(_ROLES)]
    plugin = Plugin(name="brings-roles", version="1.0.0", title="Roles", contributions=contributions)
    bundle = write_bundle(to_manifest(plugin), {}, folder).read_bytes()
    client.post("/api/plugins", content=bundle, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
    client.post("/api/environments", json={"name": "fleet"}).raise_for_status()
    client.put("/api/environments/fleet/plugins/brings-roles", json={}).raise_for_status()
    return [node["name"] for node in client.get("/api/nodes").raise_for_status().json()["items"]]


def run() -> list[Result]:
    """The time that the caller waits."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        bench_server.fill(folder, installed=1)
        with bench_server.running(folder) as (_, url, _):
            headers = {"Authorization": f"Bearer {(folder / 'admin-token').read_text().strip()}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                nodes = _prepare(client, folder)
                times = []
                for call in range(_CALLS):
                    given = {"assignments": [{"node": node, "roles": [f"role-{call}", f"role-{call + 1}"]} for node in nodes]}
                    start = time.perf_counter()
                    answer = client.post("/api/environments/fleet/nodes:assign", json=given)
                    times.append(time.perf_counter() - start)
                    if len(answer.raise_for_status().json()["changed"]) != len(nodes):
                        raise RuntimeError("not every node has got its roles")
    note = f"{len(nodes):,} nodes get two roles each, every change in the audit; median of {_CALLS}"
    return [Result(name="bulk-assign", value=round(statistics.median(times), 3), unit="s", bound=1.0, aim=0.3, note=note)]
