# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The power supply of a lab: a small process that keeps its nodes and its package proxy running.

A node whose systemd ends (``systemctl reboot`` in it) is started again, as a machine with power would. It reads what it has
to do from the lab's folder, again at each SIGHUP, and ends with SIGTERM or with its control group.
"""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from stoker_lab import control_groups, layout, package_proxy

LOG = logging.getLogger(__name__)
INIT = Path(__file__).with_name("node_init.sh")
SHORT_LIFE = 2.0
LONGEST_PAUSE = 5.0
PROXY = "(package proxy)"


class Run(msgspec.Struct, kw_only=True):
    """One start of a node, as ``run.json`` in its folder says it.

    Attributes:
        pid: the process whose only child is the node's PID 1.
        starts: how many times the node was started.
    """

    pid: int
    starts: int


class _Life(msgspec.Struct):
    process: subprocess.Popen[bytes]
    descriptor: int
    since: float


class PowerSupply:
    """Starts what should run and does not, until it is told to end."""

    def __init__(self, place: layout.Layout) -> None:
        self.place = place
        self.alive: dict[str, _Life] = {}
        self.not_before: dict[str, float] = {}
        self.pauses: dict[str, float] = {}
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Run until SIGTERM."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        signal.set_wakeup_fd(writing)
        self.selector.register(reading, selectors.EVENT_READ, None)
        while True:
            now = time.monotonic()
            self._start_missing(now)
            for key, _ in self.selector.select(timeout=self._pause(now)):
                if key.data is None:
                    os.read(reading, 100)
                else:
                    self._ended(key.data)

    def _start_missing(self, now: float) -> None:
        if PROXY not in self.alive and self.not_before.get(PROXY, 0) <= now:
            self._keep(PROXY, subprocess.Popen(package_proxy.command(self.place.proxy), stdin=subprocess.DEVNULL))
        for node in self.place.nodes():
            if node.name in self.alive or self.not_before.get(node.name, 0) > now or is_off(self.place, node.name):
                continue
            self._keep(node.name, self._start(node))

    def _start(self, node: layout.NodeRecord) -> subprocess.Popen[bytes]:
        folder = self.place.node(node.name)
        group = self.place.node_cgroup(node.name)
        group.mkdir(parents=True, exist_ok=True)
        script = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'
        enter = ["nsenter", f"--net=/run/netns/{self.place.namespace(node.name)}"]
        unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child"]
        init = ["sh", str(INIT), node.name, str(folder), ":".join(node.lower)]
        with (folder / "console").open("ab") as console:
            process = subprocess.Popen(
                ["sh", "-c", script, "sh", str(group), *enter, *unshare, *init],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                cwd="/",
            )
        before = read_run(self.place, node.name)
        run = Run(pid=process.pid, starts=before.starts + 1 if before else 1)
        layout.write(folder / "run.json", msgspec.json.encode(run).decode())
        return process

    def _keep(self, name: str, process: subprocess.Popen[bytes]) -> None:
        life = _Life(process, os.pidfd_open(process.pid), time.monotonic())
        self.selector.register(life.descriptor, selectors.EVENT_READ, name)
        self.alive[name] = life
        LOG.info("started %s, process %d", name, process.pid)

    def _ended(self, name: str) -> None:
        life = self.alive.pop(name)
        self.selector.unregister(life.descriptor)
        os.close(life.descriptor)
        status = life.process.wait()
        now = time.monotonic()
        # what ends at once is tried again at growing intervals, so that a broken node does not take the machine
        short = now - life.since < SHORT_LIFE
        self.pauses[name] = min(LONGEST_PAUSE, self.pauses.get(name, 0.1) * 2) if short else 0.1
        self.not_before[name] = now + self.pauses[name]
        LOG.info("%s ended with status %d", name, status)

    def _pause(self, now: float) -> float | None:
        """How long to sleep: until the first of those is due that were too early at ``now``."""
        due = [when for name, when in self.not_before.items() if name not in self.alive and when > now]
        return max(0.0, min(due) - time.monotonic()) if due else None


def is_off(place: layout.Layout, name: str) -> bool:
    """Whether a node was switched off."""
    return (place.node(name) / "off").exists()


def read_run(place: layout.Layout, name: str) -> Run | None:
    """The last start of a node, or None if it never was."""
    try:
        return msgspec.json.decode((place.node(name) / "run.json").read_bytes(), type=Run)
    except FileNotFoundError:
        return None


def main() -> None:
    """Run the power supply of the lab whose folder is the only argument."""
    place = layout.Layout(Path(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGHUP, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with place.power_lock.open("r+") as lock:
        # held as long as this process lives: that is how others know it runs
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        control_groups.join(place.power_cgroup)
        # what an earlier power supply left without one
        control_groups.end(place.cgroup / "nodes")
        PowerSupply(place).serve()


if __name__ == "__main__":
    main()
