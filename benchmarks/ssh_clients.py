# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Clients of the SSH benchmark, each in a process of its own; ``python -m benchmarks.ssh_clients KIND FOLDER`` prints CPU seconds.

The folder holds ``ports.json`` and ``key``; imports are done before the clock starts.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import asyncssh
import msgspec
from sqlalchemy import insert
from stoker.db import tables
from stoker.db.database import Database
from stoker.domain.action import CommandAction
from stoker.domain.node import NodeTarget
from stoker.domain.plan import Plan, PlannedInstance, PlannedNode, PlannedTask
from stoker.domain.secret import Text
from stoker.domain.snapshot import Snapshot
from stoker.orchestration.journal import Journal
from stoker.orchestration.runner import DeploymentRun, Inputs
from stoker.plugin_host.store import PluginStore
from stoker.transport.ssh import SshTransport

COMMANDS = 10
AT_ONCE = 20
KEX = ("curve25519-sha256",)


def command(number: int) -> str:
    """The small command number N."""
    return f"echo {number}; test -d /tmp"


async def bare(ports: list[int], key: str) -> None:
    """A plain asyncssh loop: one connection and one shell a node, a line in, lines up to a mark out."""
    gate = asyncio.Semaphore(AT_ONCE)
    private = asyncssh.import_private_key(key)

    async def node(port: int) -> None:
        async with gate:
            connection = await asyncssh.connect(
                "127.0.0.1",
                port,
                username="root",
                config=None,
                known_hosts=None,
                client_keys=[private],
                agent_path=None,
                kex_algs=KEX,
            )
            process = await connection.create_process("sh", encoding=None)
        for number in range(COMMANDS):
            process.stdin.write(f"{command(number)}; echo @@@$?\n".encode())
            output = await process.stdout.readuntil(b"@@@0\n")
            assert output.startswith(str(number).encode()), output
        connection.close()
        await connection.wait_closed()

    await asyncio.gather(*(node(port) for port in ports))


def _targets(ports: list[int], key: str) -> list[NodeTarget]:
    return [
        NodeTarget(id=f"n{number}", name=f"n{number}", address="127.0.0.1", port=port, private_key=key)
        for number, port in enumerate(ports)
    ]


class _Nothing:
    def content(self, content_id: str) -> bytes:
        raise KeyError(content_id)

    def text(self, text: Text) -> str:
        assert isinstance(text, str)
        return text


async def transport(ports: list[int], key: str) -> None:
    """Our transport alone: attempts in the spool, nothing kept by the controller."""
    gate = asyncio.Semaphore(AT_ONCE)
    ours = SshTransport(tempfile.mkdtemp())

    async def node(target: NodeTarget) -> None:
        async with gate:
            link = await ours.connect(target, 60)
        for number in range(COMMANDS):
            outcome = await link.execute(f"d.{number}.{target.name}.1", CommandAction(run=command(number)), _Nothing(), 60)
            assert outcome.output == f"{number}\n", outcome
        await link.close()

    await asyncio.gather(*(node(target) for target in _targets(ports, key)))


async def stoker(ports: list[int], key: str) -> None:
    """A whole deployment: scheduler, journal on disk (WAL, synchronous=FULL), spool."""
    targets = _targets(ports, key)
    folder = _made_database(targets)
    plan = Plan(
        environment_id="e",
        environment_name="e",
        nodes=[PlannedNode(target.id, target.name, ["all"]) for target in targets],
        tasks=[
            PlannedTask(name=f"p.t{number}", plugin="p", kind="shell", after=[number - 1] if number else [])
            for number in range(COMMANDS)
        ],
        instances=[
            PlannedInstance(task, node, task, f"{task}", "new") for task in range(COMMANDS) for node in range(len(targets))
        ],
        actions=[CommandAction(run=command(number)) for number in range(COMMANDS)],
        contents=[],
        befores=[],
        files=[],
        packages=[],
        origins=[],
    )
    database = Database(f"sqlite:///{folder}/stoker.db")
    journal = Journal(database)
    run = DeploymentRun(
        "d",
        1,
        Inputs(
            plan=plan,
            snapshot=Snapshot(environment_id="e", environment_name="e", plugins=[], nodes=[], marker="m"),
            secrets={},
            targets={target.id: target for target in targets},
            history={},
            begun=False,
            stop_requested=False,
        ),
        database=database,
        journal=journal,
        store=PluginStore(folder / "plugins"),
        transports={"ssh": SshTransport(f"{folder}/node")},
        gate=asyncio.Semaphore(AT_ONCE),
    )
    await run.run()
    await journal.close()
    assert run.verdict() == ("ready", ""), run.verdict()
    database.engine.dispose()


def _made_database(targets: list[NodeTarget]) -> Path:
    """A folder with a database ready for the deployment; made by a child, because making it is not what is measured."""
    folder = Path(tempfile.mkdtemp())
    child = os.fork()
    if child == 0:
        database = Database(f"sqlite:///{folder}/stoker.db")
        database.migrate()
        _prepare(database, targets)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return folder


def _prepare(database: Database, targets: list[NodeTarget]) -> None:
    now = time.time()
    with database.transaction() as connection:
        connection.execute(insert(tables.environments).values(id="e", name="e", created_at=now))
        rows = [{"id": target.id, "name": target.name, "address": target.address, "created_at": now} for target in targets]
        connection.execute(insert(tables.nodes), rows)
        connection.execute(
            insert(tables.plans).values(
                id="p", environment_id="e", digest="d", revision=1, summary="{}", snapshot=b"", body=b"", created_at=now
            )
        )
        connection.execute(
            insert(tables.deployments).values(id="d", environment_id="e", plan_id="p", state="pending", created_at=now, epoch=1)
        )


CLIENTS = {"bare": bare, "transport": transport, "stoker": stoker}


def main(kind: str, folder: Path) -> None:
    """Run one client and print what it took."""
    ports = json.loads((folder / "ports.json").read_text())
    key = (folder / "key").read_text()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    asyncio.run(CLIENTS[kind](ports, key))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(msgspec.json.encode({"cpu": cpu, "wall": time.monotonic() - began}).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
