# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment of 1,000 simulated nodes to its end, and how long a reader waits for a list of nodes meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
from stoker.config import load_config
from stoker.db import deployments, tables
from stoker.db.database import Database
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Snapshot
from stoker.planning.plans import make_plan

from benchmarks import simulated
from benchmarks.bench_planning import make_snapshot
from benchmarks.result import Result

NAMES = ("sim-1000", "api-under-load")

_NODES = 1000
_LISTED = 100
_PAUSE = 0.01
_WARM = 20
"""Requests before the first that counts: a server that was just started is slow for another reason."""
"""Seconds between two requests of the one reader."""
_QUIET_SECONDS = 6.0
_PATIENCE = 300.0
_SERVERS: tuple[tuple[str, ...], ...] = ((), ("--processes", "2"))
"""What servers are started with."""


class _Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment with a reader beside it."""

    seconds: float
    """From the first event to the last."""
    loaded: list[float]
    """Seconds that each list took meanwhile."""
    quiet: list[float]
    """Seconds that each list took afterwards."""

    @property
    def ratio(self) -> float:
        """How much longer the slowest in a hundred took."""
        return _p99(self.loaded) / _p99(self.quiet)

    def __str__(self) -> str:
        """Both in words."""
        shown = (
            f"p99 {_p99(values) * 1000:.1f} ms, median {statistics.median(values) * 1000:.1f} ms of {len(values)} {word}"
            for values, word in ((self.loaded, "under load"), (self.quiet, "quiet"))
        )
        return "; ".join(shown)


def run() -> Iterator[Result]:
    """Carry out with a reader beside it, then let the reader alone."""
    snapshot = make_snapshot(_NODES, files=False)
    plan = make_plan(snapshot)
    found = {" ".join(options) or "one process": _measure(snapshot, plan, *options) for options in _SERVERS}
    seconds = next(iter(found.values())).seconds
    note = f"{len(plan.instances):,} instances on {len(plan.nodes):,} nodes, from the first event to the verdict"
    yield Result(name="sim-1000", value=round(seconds, 1), unit="s", bound=60, aim=20, note=note)
    name, best = min(found.items(), key=lambda item: item[1].ratio)
    others = "".join(f"; {other}: {measured.ratio:.1f} times" for other, measured in found.items() if other != name)
    yield Result(
        name="api-under-load", value=round(best.ratio, 2), unit="times", bound=3, aim=1.5, note=f"{name}: {best}{others}"
    )


def _measure(snapshot: Snapshot, plan: Plan, *options: str) -> _Measured:
    with simulated.folder() as folder:
        config = load_config(None, environment={}, flags={"data_dir": str(folder)})
        deployment = simulated.prepare(config, snapshot, plan)
        database = Database(config.database_url)
        port = simulated.free_port()
        server = simulated.server_command(folder, port, *options)
        with (
            simulated.modelled(config, len(plan.nodes), folder, behind=True),
            simulated.running(*server, log=folder / "server.log"),
            closing(_reader(folder, port)) as client,
        ):
            for _ in range(_WARM):
                client.get("/api/nodes", params={"limit": _LISTED}).raise_for_status()
            loaded = _latencies(client, lambda: _state(database, deployment) in deployments.UNFINISHED)
            if (state := _state(database, deployment)) != "ready":
                raise RuntimeError(f"the deployment ended as {state}")
            end = time.monotonic() + _QUIET_SECONDS
            quiet = _latencies(client, lambda: time.monotonic() < end)
        seconds = _seconds(database, deployment)
        database.close()
    return _Measured(seconds=seconds, loaded=loaded, quiet=quiet)


def _reader(folder: Path, port: int) -> httpx.Client:
    """A client that is let in, once the server answers."""
    token = folder / "admin-token"
    simulated.wait_for(token)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    deadline = time.monotonic() + 30
    while True:
        try:
            client.get("/api/health").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            break
    client.headers["Authorization"] = f"Bearer {token.read_text().strip()}"
    return client


def _latencies(client: httpx.Client, on: Callable[[], bool]) -> list[float]:
    """Seconds that each list of nodes took, one after the other with a pause, as long as ``on`` says."""
    found: list[float] = []
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        begun = time.perf_counter()
        answer = client.get("/api/nodes", params={"limit": _LISTED})
        found.append(time.perf_counter() - begun)
        if len(answer.raise_for_status().json()["items"]) != _LISTED:
            raise RuntimeError("the list has another length")
        time.sleep(_PAUSE)
        if len(found) % 10 == 0 and not on():
            return found
    raise RuntimeError("the deployment did not end")


def _state(database: Database, deployment: str) -> str:
    with database.read() as connection:
        return str(deployments.find_deployment(connection, deployment).state)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _seconds(database: Database, deployment: str) -> float:
    """From the first event of a deployment to its last."""
    events = tables.deployment_events
    with database.read() as connection:
        rows = connection.execute(
            events.select().with_only_columns(events.c.at).where(events.c.deployment_id == deployment).order_by(events.c.id)
        )
        moments = [float(row.at) for row in rows]
    return moments[-1] - moments[0]
