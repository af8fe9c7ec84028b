# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A real server and a real fleet of modelled nodes, each in a process of its own, and what tests ask of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import msgspec
from stoker.client import FINAL_STATES, ConnectionSettings, StokerClient
from stoker.db.database import Database
from stoker.db.plans import load_plan
from stoker.transport.simulated.behaviour import Behaviour, NodeFaults, Rule
from stoker.transport.simulated.fleet import Change
from stoker.transport.simulated.link import FleetClient
from stoker_sdk import Plugin
from stoker_sdk.bundle import write_bundle
from stoker_sdk.extension_points import roles
from stoker_sdk.manifest import to_manifest

PATIENCE = 30.0


def until(true, what, patience=PATIENCE):
    """Wait for something; gives what ``true`` gave."""
    end = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < end, f"it did not come: {what}"
        time.sleep(0.02)
    return found


class Simulation:
    """One server with its fleet and a client; ``end`` ends what was started."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.data = server.data_dir
        self.socket = self.data / "fleet.sock"
        self.url = f"http://127.0.0.1:{server.port}"
        self.client = None

    def start(self):
        self.server.start()
        self.client = StokerClient(ConnectionSettings(server=self.url, data=str(self.data)))
        self.cli("fleet", "up", "--nodes", "1", "--prefix", "spare")
        return self

    def end(self):
        if self.client is not None:
            self.client.close()
        self.server.kill()
        if (pid := self.socket.with_suffix(".pid")).exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)

    # The command line

    def command(self, *words):
        return [sys.executable, "-m", "stoker.cli", *map(str, words)]

    def surroundings(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("STOKER_")}
        return {**kept, "STOKER_SERVER": self.url, "STOKER_DATA": str(self.data), **more}

    def cli(self, *words, status=0, **more):
        """Run ``stoker WORDS``; gives its standard output, and its standard error too if it must fail."""
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.surroundings(**more),
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, (
            f"stoker {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout if status == 0 else done.stdout + done.stderr

    # The fleet

    def ask(self, operation, node="", data=None, kind=object):
        async def talk():
            fleet = await FleetClient.open(self.socket)
            try:
                return await fleet.ask(operation, node, data)
            finally:
                fleet.close()

        answer = asyncio.run(talk())
        assert not answer.error, answer.detail
        return msgspec.msgpack.decode(answer.data, type=kind)

    def behave(self, *rules, faults=()):
        """From now on the fleet behaves so: ``behave({"match": ..., "exit_status": 1}, ...)``."""
        made = Behaviour(rules=[Rule(**rule) for rule in rules], faults=[NodeFaults(**fault) for fault in faults])
        self.ask("behave", data=made)

    def change(self, node, **fields):
        """What a hand does to a node."""
        self.ask("change", node, Change(**fields))

    def starts(self):
        """The fleet's own record of every attempt that it ever claimed: (node, attempt's id, moment), by moment."""
        found = self.ask("starts", kind=dict[str, list[tuple[str, float]]])
        return sorted(((node, *start) for node, starts in found.items() for start in starts), key=lambda item: item[2])

    def ran(self, deployment):
        """(node, task) -> how often the fleet started it in a deployment, by its own record."""
        database = Database(self.server.database_url)
        with database.read() as connection:
            names = [task.name.partition(".")[2] for task in load_plan(connection, deployment["plan"]).plan.tasks]
        database.close()
        ours = [(node, attempt.split(".")) for node, attempt, _ in self.starts() if attempt.startswith(f"{deployment['id']}.")]
        return Counter((node, names[int(task)]) for node, (_, task, _, _) in ours)

    # The server

    def install(self, name, *contributions, tolerance=0, version="1.0.0", files=None):
        """Install a plugin with one role that is named like it."""
        plugin = Plugin(
            name=name,
            version=version,
            title=f"Plugin {name}",
            contributions=[roles.Role(name=name, tolerance=tolerance), *contributions],
        )
        packed = {path: (data, False) for path, data in (files or {}).items()}
        self.client.install_plugin(write_bundle(to_manifest(plugin), packed, self.folder).read_bytes())

    def environment(self, name, *contributions, nodes=1, **fields):
        """An environment of NAME1 ... on which one plugin is enabled; everything is named NAME."""
        self.install(name, *contributions, **fields)
        self.client.create_environment(name)
        self.client.enable_plugin(name, name)
        for node in self.ask("add", data=(nodes, name), kind=list[str]):
            self.client.add_node(node, node, transport="simulated")
            self.client.assign_node(name, node, [name])
        return name

    def finish(self, deployment, state=None):
        """Wait for a deployment's end; gives it."""

        def ended():
            found = self.client.deployment(deployment["id"])
            return found if found["state"] in FINAL_STATES else None

        found = until(ended, f"the end of {deployment}")
        assert state is None or found["state"] == state, found
        return found

    def deploy(self, environment, state="ready"):
        """Plan, deploy, wait; gives the deployment."""
        return self.finish(self.client.deploy(environment), state)

    def retry(self, deployment, state="ready"):
        """Go on from a deployment; gives the new one."""
        return self.finish(self.client.retry_deployment(deployment["id"]), state)

    def tasks(self, plan):
        """(node, task) -> why it runs, of a plan."""
        return {(task["node"], task["task"].partition(".")[2]): task["reason"] for task in self.client.plan_tasks(plan["id"])}
