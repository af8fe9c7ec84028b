# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The engine: a server carries out a plan on 1,000 simulated nodes and is killed in the middle; what it has kept counts."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import func, select
from stoker.config import load_config
from stoker.db import deployments, tables
from stoker.db.database import Database
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Snapshot
from stoker.planning.plans import make_plan
from stoker.transport.simulated import FleetClient
from stoker_lab.database_server import DatabaseServer

from benchmarks import simulated
from benchmarks.bench_planning import make_snapshot
from benchmarks.result import Result

NAMES = ("engine-sqlite", "engine-postgresql")

_NODES = 1000
_PATIENCE = 120.0


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the database holds after the kill."""

    results: int
    """Instances of which a finished attempt is on disk."""
    since: float
    """When the first attempt was dispatched, seconds since the epoch."""
    dispatched: set[tuple[str, str, int]]
    """(node, task, attempt) of which the dispatch is on disk."""


def _kill_in_the_middle(process: subprocess.Popen[bytes], database: Database, deployment: str, middle: int) -> float:
    """Follow the deployment's rows as the API does; kill at so many; answers when."""
    events = tables.deployment_events
    newest = select(func.max(events.c.id)).where(events.c.deployment_id == deployment)
    deadline = time.monotonic() + _PATIENCE
    while True:
        with database.read() as connection:
            if (connection.execute(newest).scalar() or 0) >= middle:
                break
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not come to the middle of the deployment")
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    killed = time.time()
    process.wait()
    return killed


def _kept(database: Database, deployment: str) -> _Kept:
    events = tables.deployment_events
    with database.read() as connection:
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
            raise RuntimeError("the database is damaged")
        row = deployments.find_deployment(connection, deployment)
        if row.state != "running":
            raise RuntimeError(f"the deployment was not killed in the middle: it is {row.state}")
        history = deployments.read_history(connection, deployment)
        dispatched = connection.execute(
            select(events.c.node, events.c.task, events.c.attempt, events.c.at).where(
                events.c.deployment_id == deployment, events.c.kind == "dispatched"
            )
        ).all()
    return _Kept(
        results=sum(1 for item in history.values() if item.done),
        since=min(float(row.at) for row in dispatched),
        dispatched={(row.node, row.task, row.attempt) for row in dispatched},
    )


async def _starts(fleet: Path) -> dict[str, list[tuple[str, float]]]:
    client = await FleetClient.open(fleet)
    try:
        answer = await client.ask("starts")
    finally:
        client.close()
    return msgspec.msgpack.decode(answer.data, type=dict[str, list[tuple[str, float]]])


def _started(fleet: Path, plan: Plan) -> list[tuple[str, str, int]]:
    """(node, task, attempt) of everything that the nodes themselves say they have started."""
    found = []
    for starts in asyncio.run(_starts(fleet)).values():
        for attempt, _ in starts:
            _, task, node, number = attempt.rsplit(".", 3)
            found.append((plan.nodes[int(node)].name, plan.tasks[int(task)].name, int(number)))
    return found


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """What the server's command line says of the database: nothing for SQLite."""
    if kind == "sqlite":
        yield ()
        return
    with DatabaseServer(_on_disk(folder), durable=True) as server:
        yield ("--database", server.create())


def _on_disk(folder: Path) -> Path:
    """A folder on a disk where PostgreSQL's user can come: that of the data, or where the system keeps what stays."""
    open_to_all = all(way.stat().st_mode & stat.S_IXOTH for way in (folder, *folder.parents))
    return folder if open_to_all else Path("/var/tmp")


def _measure(kind: str, snapshot: Snapshot, plan: Plan) -> Result:
    """Carry out, kill, count."""
    with simulated.folder() as folder, _database(kind, folder) as options:
        config = load_config(None, environment={}, flags={"data_dir": str(folder), "database": "".join(options[1:])})
        deployment = simulated.prepare(config, snapshot, plan)
        with simulated.modelled(config, len(plan.nodes), folder):
            server = simulated.server_command(folder, simulated.free_port(), *options)
            database = Database(config.database_url)
            with simulated.running(*server, log=folder / "server.log") as process:
                # Two events an instance: at this many, half of the plan is carried out.
                killed = _kill_in_the_middle(process, database, deployment, len(plan.instances))
            kept = _kept(database, deployment)
            database.close()
            started = _started(config.fleet, plan)
    if len(set(started)) != len(started) or not kept.dispatched.issuperset(started):
        raise RuntimeError("an attempt was started twice, or before its dispatch was on disk")
    seconds = killed - kept.since
    note = f"{kept.results:,} results of {len(plan.instances):,} instances on {len(plan.nodes):,} nodes kept, killed after {seconds:.1f} s"
    value = kept.results / seconds
    return Result(name=f"engine-{kind}", value=round(value), unit="/s", bound=2000, aim=5000, higher_is_better=True, note=note)


def run() -> Iterator[Result]:
    """Each database with its own server."""
    snapshot = make_snapshot(_NODES, files=False)
    plan = make_plan(snapshot)
    for name in NAMES:
        yield _measure(name.removeprefix("engine-"), snapshot, plan)
