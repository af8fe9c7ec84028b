# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of a plugin come and go under load: requests that are lost or answered wrongly, and how long old and new are mixed."""

from __future__ import annotations

import asyncio
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from stoker_lab.database_server import DatabaseServer

from benchmarks.bench_server import running
from benchmarks.result import Result

NAMES = ("hot-lost-sqlite", "hot-lost-postgresql", "hot-upgrade")

_REQUESTS = 10_000
_STEPS = 12
_SWITCHES = 20
_TESTS = Path(__file__).parents[1] / "packages/core/tests"


def _helper(name: str) -> Any:  # noqa: ANN401  a module of the tests
    """What the tests of the same behaviour use, too."""
    for folder in (_TESTS, _TESTS / "integration"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return importlib.import_module(name)


def _client(url: str, data: Path) -> httpx.Client:
    token = (data / "admin-token").read_text().strip()
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120)


def _load(url: str, admin: httpx.Client, at_once: int) -> Any:  # noqa: ANN401
    return _helper("hot_load").HotLoad(url, admin.headers["authorization"].split()[1], at_once=at_once)


def _lost(name: str, data: Path, bundles: dict[str, bytes], *options: str) -> Result:
    """Install, upgrade, roll back, upgrade again and uninstall while requests come without a pause."""
    with running(data, "--processes", "2", *options) as (_, url, _), _client(url, data) as admin:
        admin.post("/api/environments", json={"name": "prod"}).raise_for_status()
        load = _load(url, admin, at_once=16)
        life = _helper("hot_load").whole_life
        asyncio.run(load.run(lambda made: life(made, admin, bundles, pause=_REQUESTS // _STEPS)))
    times = sorted(ended - begun for _, _, begun, ended in load.answers)
    told = ", ".join(f"{count} {answer}" for answer, count in sorted(load.counts.items())) if not load.wrong else load.wrong[0]
    note = f"{len(load.answers)} requests: {told}; slowest {times[-1]:.1f} s"
    complete = len(load.answers) >= _REQUESTS
    return Result(name=name, value=len(load.wrong), unit="requests", bound=0, aim=0, ok=complete and not load.wrong, note=note)


def _mixed(data: Path, bundles: dict[str, bytes]) -> Result:
    """Change the default version again and again; both workers run."""
    with running(data, "--processes", "2") as (_, url, _), _client(url, data) as admin:
        for bundle in bundles.values():
            admin.post("/api/plugins", content=bundle).raise_for_status()
        admin.post("/api/environments", json={"name": "prod"}).raise_for_status()
        times: list[float] = []

        async def switch(load: Any) -> None:  # noqa: ANN401
            server, old = _helper("hot_load").SERVER, "2.0.0"
            for number in range(_SWITCHES):
                new = ("1.0.0", "2.0.0")[number % 2]
                load.answers.clear()
                since = time.monotonic()
                await load.enough(100)
                await load.change(_choose(admin, new), (server, new))
                await load.enough(100)
                if number > 1:  # the first of each starts its worker
                    times.append(load.mixed(server, old, new, since) * 1000)
                old = new

        load = _load(url, admin, at_once=4)
        load.expected = {address: _Anything() for address in load.expected}
        asyncio.run(load.run(switch))
    note = f"worst of {len(times)} changes under load, median {statistics.median(times):.1f} ms"
    return Result(name="hot-upgrade", value=round(max(times), 1), unit="ms", bound=50, aim=10, note=note)


class _Anything:
    """Here nothing is held against what may be: that is measured apart."""

    def begin(self, _to: str) -> Callable[[], None]:
        return lambda: None

    def allows(self, _answer: str, _begun: float, _ended: float) -> bool:
        return True


def _choose(admin: httpx.Client, version: str) -> Callable[[], httpx.Response]:
    return lambda: admin.put("/api/plugin-defaults/probe", json={"version": version})


def run() -> list[Result]:
    """All three, each on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        probe = _helper("application_plugins").probe
        bundles = {version: probe(folder, version).read_bytes() for version in ("1.0.0", "2.0.0")}
        results = [_lost("hot-lost-sqlite", folder / "sqlite", bundles)]
        with DatabaseServer() as server:
            results.append(_lost("hot-lost-postgresql", folder / "postgresql", bundles, "--database", server.create()))
        results.append(_mixed(folder / "upgrade", bundles))
        return results
