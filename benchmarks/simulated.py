# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Servers and simulated nodes of benchmarks: a database with a deployment that waits, and the processes that carry it out."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import insert
from stoker.app import build_context, open_vault
from stoker.config import ServerConfig
from stoker.db import deployments, tables
from stoker.db.plans import save_plan
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Snapshot

_ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder beside the source, on a disk: the folder for temporary files may be kept in memory."""
    parent = _ROOT / ".stoker" / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="fleet-", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def prepare(config: ServerConfig, snapshot: Snapshot, plan: Plan) -> str:
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
def running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} did not appear")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def modelled(config: ServerConfig, count: int, folder: Path, *, behind: bool = False) -> Iterator[None]:
    """So many simulated nodes, in a process of their own; ``behind`` all others, as real nodes take none of their processor."""
    command = (
        *(("nice", "-n", "10") if behind else ()),
        sys.executable,
        "-m",
        "stoker.transport.simulated.fleet",
        "--socket",
        str(config.fleet),
        "--nodes",
        str(count),
    )
    with running(*command, log=folder / "fleet.log"):
        wait_for(config.fleet)
        yield


def server_command(folder: Path, port: int, *options: str) -> tuple[str, ...]:
    """How to start a server on a data folder."""
    stoker = str(Path(sys.executable).parent / "stoker")
    return (stoker, "serve", "--data", str(folder), "--listen", f"127.0.0.1:{port}", *options)
