# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A real server in a process of its own, its client, and its command line."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from stoker.client import ConnectionSettings, StokerClient
from stoker.db.database import Database
from stoker.errors import StokerError
from stoker_sdk.bundle import write_bundle
from stoker_sdk.manifest import to_manifest

FINAL = {"ready", "degraded", "failed", "stopped"}
STARTING = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bundle(plugin, folder):
    """The bytes of the bundle of a plugin without files."""
    return Path(write_bundle(to_manifest(plugin), {}, folder)).read_bytes()


class Server:
    """Starts, kills and asks one server; everything it writes is in its folder, or in its database."""

    def __init__(self, folder, database="", processes=1):
        """``database``: an URL, of which any of SQLite means the file in the data folder."""
        self.folder = folder
        self.database = "" if database.startswith("sqlite") else database
        self.processes = processes
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def command(self, *words):
        return [sys.executable, "-m", "stoker.cli", "--server", self.url, "--data", str(self.data), *map(str, words)]

    def start(self):
        words = self.command("serve", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data))
        words += ["--processes", str(self.processes), *(["--database", self.database] if self.database else [])]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + STARTING
        while True:
            try:
                with StokerClient(ConnectionSettings(server=self.url, token="none")) as client:
                    client.health()
                return self
            except StokerError as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"the server does not start: {error}\n{self.log.read_text()[-3000:]}") from error
                time.sleep(0.05)

    def kill(self):
        """Kill -9; gives the moment."""
        self.process.kill()
        moment = time.time()
        self.process.wait()
        return moment

    def api_processes(self):
        """The processes that answer, where there are several."""
        children = [pid for path in Path(f"/proc/{self.process.pid}/task").glob("*/children") for pid in path.read_text().split()]
        return {int(pid) for pid in children if "--api-process" in Path(f"/proc/{pid}/cmdline").read_text()}

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def client(self):
        return StokerClient(ConnectionSettings(server=self.url, data=str(self.data)))

    def cli(self, *words, status=0):
        """Run ``stoker WORDS``; gives what it printed."""
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, f"stoker {' '.join(map(str, words))}: exit {done.returncode}\n{said}\n{self.tail()}"
        return said

    def tail(self):
        return f"server log: {self.log.read_text(errors='replace')[-3000:]}" if self.log.exists() else ""

    @contextlib.contextmanager
    def reading(self):
        """A connection to the database as it is on disk; only for looking."""
        database = Database(self.database or f"sqlite:///{self.data / 'stoker.db'}")
        try:
            with database.read() as connection:
                yield connection
        finally:
            database.close()


def add_nodes(client, nodes, prefix=""):
    """Make lab nodes known to the server, reached as root with the lab's key."""
    client.add_credential("lab", nodes[0].key.read_text())
    for node in nodes:
        client.add_node(prefix + node.name, node.address, user=node.user, credential="lab")
        client.refresh_node(prefix + node.name)


def finish(client, deployment, timeout=300):
    """Wait for the end of a deployment; gives it."""
    end = time.monotonic() + timeout
    while True:
        found = client.deployment(deployment["id"])
        if found["state"] in FINAL:
            return found
        assert time.monotonic() < end, f"not ended after {timeout} s: {found}"
        time.sleep(0.1)


def deploy(client, environment, state="ready", timeout=300):
    """Plan, deploy, wait; gives plan and deployment."""
    plan = client.create_plan(environment)
    ended = finish(client, client.deploy(environment, plan["id"]), timeout)
    assert ended["state"] == state, ended
    return plan, ended
