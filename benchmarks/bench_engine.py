# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The engine: a server carries out a plan on 1,000 simulated nodes and is killed in the middle; what it has kept counts."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import func, insert, select
from stoker.app import build_context, open_vault
from stoker.config import ServerConfig, load_config
from stoker.db import deployments, tables
from stoker.db.database import Database
from stoker.db.plans import save_plan
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Snapshot
from stoker.planning.plans import make_plan
from stoker.transport.simulated import FleetClient

from benchmarks.bench_planning import make_snapshot
from benchmarks.result import Result

NAMES = ("engine-sqlite",)

_NODES = 1000
_ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 120.0


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the database holds after the kill."""

    results: int
    """Instances of which a finished attempt is on disk."""
    since: float
    """When the first attempt was dispatched, seconds since the epoch."""
    dispatched: set[tuple[str, str, int]]
    """(node, task, attempt) of which the dispatch is on disk."""


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder beside the source, on a disk: the folder for temporary files may be kept in memory."""
    parent = _ROOT / ".stoker" / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _prepare(config: ServerConfig, snapshot: Snapshot, plan: Plan) -> str:
    """A database in which a deployment of the plan waits for a server; answers its id."""
    context = build_context(config, open_vault(config))
    now = time.time()
    with context.database.transaction() as connection:
        connection.execute(insert(tables.environments).values(id=plan.environment_id, name=plan.environment_name, created_at=now))
        rows = [
            {
                "id": node.id,
                "name": node.name,
                "transport": "simulated",
                "address": f"node{number}",
                "environment_id": plan.environment_id,
                "status": "online",
                "created_at": now,
            }
            for number, node in enumerate(plan.nodes, 1)
        ]
        connection.execute(insert(tables.nodes), rows)
        plan_id, _, _ = save_plan(connection, plan, snapshot, 1, {})
        deployment = deployments.add_deployment(connection, plan.environment_id, plan.environment_name, plan_id)
    context.database.close()
    return deployment


@contextmanager
def _running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} did not appear")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
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


def run() -> list[Result]:
    """Carry out, kill, count."""
    snapshot = make_snapshot(_NODES, files=False)
    plan = make_plan(snapshot)
    with _folder() as folder:
        config = load_config(None, environment={}, flags={"data_dir": str(folder)})
        deployment = _prepare(config, snapshot, plan)
        python, fleet = sys.executable, config.fleet
        nodes = ("--nodes", str(len(plan.nodes)))
        modelled = (python, "-m", "stoker.transport.simulated.fleet", "--socket", str(fleet), *nodes)
        with _running(*modelled, log=folder / "fleet.log"):
            _wait_for(fleet)
            server = (
                str(Path(python).parent / "stoker"),
                "serve",
                "--data",
                str(folder),
                "--listen",
                f"127.0.0.1:{_free_port()}",
            )
            database = Database(config.database_url)
            with _running(*server, log=folder / "server.log") as process:
                # Two events an instance: at this many, half of the plan is carried out.
                killed = _kill_in_the_middle(process, database, deployment, len(plan.instances))
            kept = _kept(database, deployment)
            database.close()
            started = _started(fleet, plan)
    if len(set(started)) != len(started) or not kept.dispatched.issuperset(started):
        raise RuntimeError("an attempt was started twice, or before its dispatch was on disk")
    seconds = killed - kept.since
    note = f"{kept.results:,} results of {len(plan.instances):,} instances on {len(plan.nodes):,} nodes kept, killed after {seconds:.1f} s"
    value = kept.results / seconds
    return [Result(name="engine-sqlite", value=round(value), unit="/s", bound=2000, aim=5000, higher_is_better=True, note=note)]
