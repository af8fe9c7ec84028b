# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: the main job from an empty data folder to a second, smaller plan, told with the commands that it runs."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from rich.console import Console

from stoker_lab import machine
from stoker_lab.nodes import Lab

_LAB = "demo"
_PATIENCE = 30.0
_ROOT = Path(__file__).parents[4]


class DemoError(Exception):
    """Something that the demo shows is not as it should be."""


class Demo:
    """One run of the demo, with everything that it has to clean up."""

    def __init__(self, *, nodes: int, why_simulated: str) -> None:
        """Take a folder of our own; ``why_simulated`` is empty for lab nodes."""
        self.console = Console(highlight=False)
        self.count = nodes
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-demo-"))
        self.port = _free_port()
        self.environment = {
            **os.environ,
            "STOKER_DATA": str(self.folder),
            "STOKER_SERVER": f"http://127.0.0.1:{self.port}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        if self.console.is_terminal:
            self.environment["FORCE_COLOR"] = "1"
        self.server: subprocess.Popen[bytes] | None = None
        self.lab = Lab(
            self.folder / "lab", _LAB, owner=os.getpid(), progress=lambda text: self.console.print(f"  {text}", style="dim")
        )
        self.why = why_simulated
        self.simulated = bool(why_simulated)
        self._fleet = False

    def step(self, title: str) -> None:
        """Begin a step."""
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")

    def run(self, *words: str, check: bool = True) -> int:
        """Run a command as a person would type it, and show it."""
        self.console.print(f"[bold cyan]$ {' '.join(words)}")
        status = subprocess.run(
            [str(Path(sys.executable).parent / words[0]), *words[1:]], env=self.environment, check=False
        ).returncode
        if check and status != 0:
            raise DemoError(f"`{' '.join(words)}` ended with exit status {status}")
        return status

    def read(self, *words: str) -> list[dict[str, object]]:
        """The items of a listing, without showing it."""
        command = [str(Path(sys.executable).parent / words[0]), *words[1:], "--json"]
        answer = json.loads(subprocess.run(command, env=self.environment, check=True, capture_output=True).stdout)
        items: list[dict[str, object]] = answer["items"]
        return items

    def start_server(self) -> None:
        """Start the server on loopback and wait until it answers."""
        self.step("A server, on loopback, with SQLite, in a folder of its own")
        self.console.print(f"[bold cyan]$ stoker serve --listen 127.0.0.1:{self.port}")
        command = [str(Path(sys.executable).parent / "stoker"), "serve", "--listen", f"127.0.0.1:{self.port}"]
        with (self.folder / "server.log").open("wb") as log:
            self.server = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/api/health", timeout=2).raise_for_status()
            except httpx.HTTPError as error:
                if self.server.poll() is not None or time.monotonic() > deadline:
                    raise DemoError(f"the server does not answer: {(self.folder / 'server.log').read_text()[-600:]}") from error
                time.sleep(0.1)
            else:
                break
        self.console.print(f"  it answers; data folder {self.folder}")

    def start_nodes(self) -> list[tuple[str, str]]:
        """Start nodes; answers name and address of each."""
        if self.simulated:
            self.step(f"{self.count} simulated nodes")
            self.console.print(f"  No lab nodes here: {self.why}", style="yellow")
            self._fleet = True
            self.run("stoker", "fleet", "up", "--nodes", str(self.count))
            return [(f"n{number}", f"node{number}") for number in range(1, self.count + 1)]
        self.step(f"{self.count} real Debian nodes (systemd, sshd, a network of their own)")
        nodes = self.lab.up(self.count)
        for node in nodes:
            self.console.print(f"  {node.name}  {node.address}")
        self.run("stoker", "credentials", "add", "lab", "--private-key", str(nodes[0].key))
        return [(node.name, node.address) for node in nodes]

    def play(self) -> None:
        """The whole job."""
        self.start_server()
        nodes = self.start_nodes()
        self.step("A plugin becomes one file, and is installed into the running server")
        self.run("stoker-plugin", "build", str(_ROOT / "plugins" / "ntp"), "--output", str(self.folder))
        self.run("stoker", "plugins", "install", str(next(self.folder.glob("ntp-*.stoker"))))
        self.step("An environment: nodes, roles, the plugin")
        self.run("stoker", "env", "create", "demo")
        for name, address in nodes:
            how = ("--transport", "simulated") if self.simulated else ("--credential", "lab")
            self.run("stoker", "nodes", "add", name, address, *how)
        self.run("stoker", "env", "enable", "demo", "ntp")
        self.run("stoker", "env", "assign", "demo", nodes[0][0], "ntp-server")
        for name, _ in nodes[1:]:
            self.run("stoker", "env", "assign", "demo", name, "ntp-client")
        self.step("The plan: what would change, on which node, and why; then the deployment")
        self.run("stoker", "deploy", "demo", "--yes")
        self.step("Proof: every client has a source that answers")
        self.check(len(nodes))
        self.step("A setting changes; the second plan is small")
        self.run("stoker", "env", "settings", "demo", "ntp", "--set", "minpoll=5")
        self.run("stoker", "deploy", "demo", "--yes")
        self.run("stoker", "plan", "explain", nodes[1][0], "/etc/chrony/chrony.conf:2", "--env", "demo")
        self.step("A third deployment finds nothing to do")
        self.run("stoker", "deploy", "demo", "--yes")
        states = [item["state"] for item in self.read("stoker", "deployments", "list", "demo")]
        if states != ["ready", "ready", "ready"]:
            raise DemoError(f"the deployments ended as {states}")

    def check(self, count: int) -> None:
        """Run the health checks and hold them to what they must show."""
        self.run("stoker", "env", "check", "demo")
        results = self.read("stoker", "env", "check", "demo")
        if len(results) != count or not all(item["ok"] for item in results):
            raise DemoError(f"the checks say {results}")

    def stay(self) -> None:
        """Tell what to try next, and wait for Ctrl-C."""
        self.step("Your turn (another terminal; Ctrl-C here ends it all)")
        self.console.print(f"  export STOKER_DATA={self.folder} STOKER_SERVER=http://127.0.0.1:{self.port}")
        for line in (
            "./dev run stoker nodes list",
            "./dev run stoker deployments list demo",
            "./dev run stoker env settings demo ntp --set stratum=8 && ./dev run stoker deploy demo",
            "./dev run stoker env disable demo ntp && ./dev run stoker deploy demo",
            "./dev run stoker-plugin new greeting",
        ):
            self.console.print(f"  {line}")
        try:
            signal.pause()
        except KeyboardInterrupt:
            self.console.print("\nending")

    def clean_up(self) -> None:
        """End everything that the demo started, and delete its folder."""
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(10)
            except subprocess.TimeoutExpired:
                self.server.kill()
        if self._fleet:
            subprocess.run(
                [str(Path(sys.executable).parent / "stoker"), "fleet", "down"],
                env=self.environment,
                check=False,
                capture_output=True,
            )
        if not self.simulated:
            self.lab.down()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m stoker_lab.demo [--check] [--nodes N] [--simulated]``."""
    parser = argparse.ArgumentParser(prog="./dev demo", description="Stoker's main job, on real nodes where possible.")
    parser.add_argument("--check", action="store_true", help="do not stay; exit 0 if all was as it should be, else 1")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--simulated", action="store_true", help="simulated nodes even where lab nodes are possible")
    options = parser.parse_args(arguments)
    missing = [] if options.simulated else machine.missing()
    if missing and os.environ.get("STOKER_REQUIRE_LAB") == "1":
        sys.stderr.write(f"demo failed: STOKER_REQUIRE_LAB=1, but lab nodes cannot run here: {'; '.join(missing)}\n")
        return 1
    demo = Demo(nodes=options.nodes, why_simulated="as you asked" if options.simulated else "; ".join(missing))
    try:
        demo.play()
        if not options.check:
            demo.stay()
    except DemoError as error:
        demo.console.print(f"[bold red]demo failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        demo.clean_up()
    demo.console.print("\n[bold green]The demo did what it promised.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
