# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server and its command line: how soon they answer, and what a list of 1,000 nodes costs."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
from sqlalchemy import insert
from stoker.app import build_context
from stoker.config import load_config
from stoker.db import tables
from stoker.db.vault import Vault
from stoker.domain.node import Disk, Facts, Nic
from stoker.services import plugins
from stoker_sdk import Plugin
from stoker_sdk.bundle import write_bundle
from stoker_sdk.extension_points import node_packages
from stoker_sdk.manifest import to_manifest

from benchmarks.result import Result

NAMES = ("cli-help", "server-ready", "list-1000")

_NODES = 1000
_PLUGINS = 100
_REQUESTS = 100
_STARTS = 3
_TICK = os.sysconf("SC_CLK_TCK")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Compiled modules are kept, as in every installation; the source tree may not have them yet."""


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _facts(number: int) -> Facts:
    return Facts(
        hostname=f"compute-{number}",
        os_id="debian",
        os_family="debian",
        os_version="12",
        os_name="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-29-amd64",
        architecture="x86_64",
        cpus=64,
        memory_bytes=512 * 1024**3,
        disks=[Disk(f"nvme{index}n1", 3_840_755_982_336, model="A model of a disk with a name") for index in range(8)],
        nics=[
            Nic(f"ens{index}f0np0", "52:54:00:00:00:01", [f"10.{index}.{number >> 8}.{number & 255}/16"]) for index in range(6)
        ],
        boot_id="00000000-0000-0000-0000-000000000000",
    )


def fill(folder: Path, installed: int = _PLUGINS) -> None:
    """1,000 nodes with facts of about 1.5 KB, and 100 installed plugins."""
    config = load_config(None, flags={"data_dir": str(folder)})
    config.data_dir.mkdir(parents=True, exist_ok=True)
    context = build_context(config, Vault.open(config.data_dir / "master.key"))
    now = time.time()
    with context.database.transaction() as connection:
        rows = [
            {
                "id": f"{number:032x}",
                "name": f"compute-{number}",
                "address": f"10.0.{number >> 8}.{number & 255}",
                "status": "online",
                "facts": msgspec.json.encode(_facts(number)).decode(),
                "facts_at": now,
                "created_at": now,
            }
            for number in range(_NODES)
        ]
        connection.execute(insert(tables.nodes), rows)
    for number in range(installed):
        contributions = [node_packages.NodePackages(roles=["*"], packages=[f"package-{index}" for index in range(20)])]
        plugin = Plugin(name=f"plugin-{number}", version="1.0.0", title="A plugin", contributions=contributions)
        plugins.install(context, write_bundle(to_manifest(plugin), {}, folder / "bundles").read_bytes())
    context.database.close()


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
    """A server on these data: its process, its address, and the seconds until it answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stoker = Path(sys.executable).parent / "stoker"
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(stoker), "serve", "--data", str(folder), "--listen", f"127.0.0.1:{port}", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(f"{url}/api/health", timeout=1).raise_for_status()
            except httpx.HTTPError:
                if process.poll() is not None or time.perf_counter() - start > 30:
                    raise
                time.sleep(0.01)
            else:
                break
        yield process, url, time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def _help() -> Result:
    command = [str(Path(sys.executable).parent / "stoker"), "--help"]
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
        times.append(time.perf_counter() - start)
    return Result(name="cli-help", value=round(statistics.median(times), 3), unit="s", bound=0.3, aim=0.15, note="median of 7")


def run() -> list[Result]:
    """All three."""
    results = [_help()]
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        fill(folder)
        starts = []
        for _ in range(_STARTS - 1):
            with running(folder) as (_, _, ready):
                starts.append(ready)
        with running(folder) as (process, url, ready):
            note = f"{_PLUGINS} plugins installed, median of {_STARTS}"
            value = round(statistics.median([*starts, ready]), 2)
            results.append(Result(name="server-ready", value=value, unit="s", bound=2.0, aim=1.0, note=note))
            headers = {"Authorization": f"Bearer {(folder / 'admin-token').read_text().strip()}"}
            with httpx.Client(base_url=url, headers=headers) as client:
                items = client.get("/api/nodes").raise_for_status().json()["items"]
                if len(items) != _NODES or not items[0]["facts"]["disks"]:
                    raise RuntimeError("the list is not complete")
                before = _cpu_seconds(process.pid)
                size = 0
                for _ in range(_REQUESTS):
                    size = len(client.get("/api/nodes").content)
                spent = (_cpu_seconds(process.pid) - before) / _REQUESTS * 1000
            note = f"{size / 1e6:.1f} MB, server CPU a request"
            results.append(Result(name="list-1000", value=round(spent, 2), unit="ms", bound=8.0, aim=5.0, note=note))
    return results
