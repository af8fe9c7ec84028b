# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Labs and their nodes: put up, look at, reboot, take down."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from stoker_lab import apt_sources, control_groups, image, layout, machine, network, package_proxy, power, programs
from stoker_lab.errors import LabError, LabMissingError, LabNameError, NodeNotFoundError

PATIENCE = 90.0
MOST_NODES = 240
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,31})", re.ASCII)
REBOOT_SIGNAL = signal.SIGRTMIN + 5  # systemd's own: start reboot.target


class LabNode(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a lab, as a caller needs it.

    Attributes:
        name: its host name.
        address: its IPv4 address.
        key: the file with the private key that lets root in.
        host_key: its SSH host key, public part.
        state: ``running``, ``starting`` or ``off``.
        starts: how many times it was started.
        user: who the key lets in.
        port: where its SSH server listens.
    """

    name: str
    address: str
    key: Path
    host_key: str
    state: str
    starts: int
    user: str = "root"
    port: int = 22


def default_state_dir() -> Path:
    """Where labs keep what they need: $STOKER_LAB_STATE or /var/lib/stoker-lab."""
    return Path(os.environ.get("STOKER_LAB_STATE", "/var/lib/stoker-lab"))


def _check_name(what: str, name: str) -> None:
    """A name stands in file names, and host names begin with it."""
    if not _NAME.fullmatch(name):
        raise LabNameError(
            f"{name!r} is not {what}.", remedy="Use lower-case letters, digits and dashes, a letter or digit first, at most 32."
        )


class Lab:
    """A set of disposable Debian nodes on a network of their own.

    Example:
        >>> lab = Lab("/var/lib/stoker-lab")
        >>> for node in lab.up(3):  # doctest: +SKIP
        ...     print(node.name, node.address, node.key)
        >>> lab.down()  # doctest: +SKIP
    """

    def __init__(
        self,
        state_dir: str | Path,
        name: str = "lab",
        *,
        subnet: str | None = None,
        owner: int = 0,
        progress: image.Progress = lambda _: None,
    ) -> None:
        """Name a lab; nothing happens yet.

        Args:
            state_dir: the folder for its files; must not be on an overlay file system.
            name: tells it from other labs in the same folder.
            subnet: the first three numbers of its network, e.g. ``10.20.7``; a free one if None.
            owner: a process without which the lab counts as abandoned; 0 for a lab that stays.
            progress: told what takes long.

        Raises:
            LabNameError: the name does not fit.
        """
        _check_name("a lab's name", name)
        self.name = name
        self.place = layout.Layout(Path(state_dir).resolve() / name)
        self._subnet = subnet
        self._owner = owner
        self._progress = progress

    def check(self) -> list[str]:
        """What this machine lacks for a lab, each with its remedy; empty if `up` can work."""
        return machine.missing()

    def up(self, count: int, prefix: str = "n") -> list[LabNode]:
        """Make sure that the nodes PREFIX1 to PREFIXcount exist, run and answer.

        Returns:
            These nodes.

        Raises:
            LabMissingError: this machine cannot run a lab.
            LabNameError: the prefix does not fit.
            LabError: a node did not start; a lab that was not up before is removed again.
        """
        _check_name("a prefix of nodes' names", prefix)
        if missing := self.check():
            raise LabMissingError("\n".join(missing))
        if not 1 <= count <= MOST_NODES:
            raise LabError(f"A lab has 1 to {MOST_NODES} nodes, not {count}.")
        archives = apt_sources.read_archives()
        cache = image.cache_folder()
        base = image.base_image(cache, archives, self._progress)
        was_up = self.place.read() is not None
        names = [f"{prefix}{number}" for number in range(1, count + 1)]
        try:
            self._progress(f"starting {count} nodes")
            with layout.locked(layout.RUN):
                record = self._prepare(archives, cache)
                self._make_nodes(record, names, base)
            self._supply_power()
            package_proxy.wait(self.place.folder / "power.log", f"{record.subnet}.1", layout.PROXY_PORT)
            return self.wait(names)
        except BaseException:
            if not was_up:
                self.down()
            raise

    def _prepare(self, archives: layout.Archives, cache: Path) -> layout.LabRecord:
        """Record, key, bridge and proxy of a lab; what is there is left as it is."""
        record = self.place.read()
        if record is not None and Path("/sys/class/net", self.place.bridge).exists():
            return record
        # a machine that was restarted has the files and nothing else
        self._remove()
        made_folder = not self.place.folder.parent.exists()
        self.place.folder.mkdir(parents=True)
        self.place.folder.chmod(0o700)
        record = layout.LabRecord(
            name=self.name,
            subnet=network.choose_subnet(self._subnet),
            made_folder=made_folder,
            archives=archives,
            cache=str(cache),
        )
        machine.register(self.place, self._owner)
        programs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"stoker-lab {self.name}", "-f", str(self.place.key)])
        self.place.power_lock.touch()
        network.make_bridge(self.place, record.subnet)
        package_proxy.configure(self.place.proxy, f"{record.subnet}.1", layout.PROXY_PORT, archives, cache)
        layout.write(self.place.record, msgspec.json.encode(record).decode())
        return record

    def _make_nodes(self, record: layout.LabRecord, names: Sequence[str], base: Path) -> None:
        there = self.place.nodes()
        index = max((node.index for node in there), default=0)
        known = {node.name for node in there}
        for name in names:
            (self.place.node(name) / "off").unlink(missing_ok=True)
            if name not in known:
                index += 1
                self._make_node(record, name, index, base)
        nodes = self.place.nodes()
        hosts = "127.0.0.1 localhost\n" + f"{record.subnet}.1 {image.GATEWAY}\n"
        hosts += "".join(f"{node.address} {node.name}\n" for node in nodes)
        for node in nodes:
            for tree in self._trees(node.name):
                (tree / "etc/hosts").write_text(hosts)

    def _make_node(self, record: layout.LabRecord, name: str, index: int, base: Path) -> None:
        folder = self.place.node(name)
        if index > MOST_NODES:
            raise LabError(f"Lab {self.name} has no address left for node {name}.")
        upper = folder / "upper"
        for part in ("work", "root", "upper/etc/ssh"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        key = upper / "etc/ssh/ssh_host_ed25519_key"
        programs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)])
        layout.write(upper / "etc/hostname", f"{name}\n")
        layout.write(upper / "etc/machine-id", f"{os.urandom(16).hex()}\n")
        layout.write(upper / "root/.ssh/authorized_keys", self.place.key.with_suffix(".pub").read_text(), 0o600)
        for private in ("root", "root/.ssh"):
            (upper / private).chmod(0o700)
        node = layout.NodeRecord(
            name=name,
            index=index,
            address=f"{record.subnet}.{layout.FIRST_ADDRESS + index}",
            host_key=key.with_name(f"{key.name}.pub").read_text().strip(),
            lower=[str(base)],
        )
        network.connect(self.place, node)
        layout.write(folder / "node.json", msgspec.json.encode(node).decode())

    def _trees(self, name: str) -> list[Path]:
        """Where to write a file of a node: in its running tree, else in its layer."""
        pid = self.pid(name)
        return [Path(f"/proc/{pid}/root")] if pid else [self.place.node(name) / "upper"]

    def _power_pid(self) -> int:
        """The power supply's process, or 0."""
        try:
            with self.place.power_lock.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0)
                return 0
        except FileNotFoundError:
            return 0

    def _supply_power(self) -> None:
        """Start the power supply, or tell the running one to look again."""
        if pid := self._power_pid():
            os.kill(pid, signal.SIGHUP)
            return
        # by way of a shell that ends at once: the power supply is nobody's child and outlives its caller
        command = [sys.executable, "-m", "stoker_lab.power", str(self.place.folder)]
        log = self.place.folder / "power.log"
        programs.run(["sh", "-c", 'log=$1; shift; cd /; setsid "$@" </dev/null >>"$log" 2>&1 &', "sh", str(log), *command])

    def pid(self, name: str) -> int:
        """The id on this machine of a node's PID 1, or 0 if it does not run."""
        run = power.read_run(self.place, name)
        if run is None or not self._power_pid():
            return 0
        try:
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return int(children[0]) if children and run.pid in control_groups.processes(self.place.node_cgroup(name)) else 0

    def status(self) -> list[LabNode]:
        """All nodes of this lab; empty if it is not up."""
        return [self._node(record) for record in self.place.nodes()]

    def node(self, name: str) -> LabNode:
        """One node.

        Raises:
            NodeNotFoundError: there is none of that name.
        """
        for record in self.place.nodes():
            if record.name == name:
                return self._node(record)
        names = ", ".join(record.name for record in self.place.nodes())
        raise NodeNotFoundError(
            f"Lab {self.name} has no node {name}.", remedy=f"It has: {names or 'none; `stoker lab up` makes some'}."
        )

    def _node(self, record: layout.NodeRecord) -> LabNode:
        on = "running" if self._answers(record) else "starting"
        run = power.read_run(self.place, record.name)
        return LabNode(
            name=record.name,
            address=record.address,
            key=self.place.key,
            host_key=record.host_key,
            state="off" if power.is_off(self.place, record.name) else on,
            starts=run.starts if run else 0,
        )

    def _answers(self, record: layout.NodeRecord) -> bool:
        pid = self.pid(record.name)
        # systemd's note that it still boots: until it is gone, only root is let in
        if not pid or Path(f"/proc/{pid}/root/run/nologin").exists():
            return False
        try:
            with socket.create_connection((record.address, 22), timeout=1) as connection:
                return connection.recv(4).startswith(b"SSH")
        except OSError:
            return False

    def wait(self, names: Iterable[str], timeout: float = PATIENCE) -> list[LabNode]:
        """Wait until nodes answer.

        Raises:
            LabError: one does not within the time; says what its console shows.
        """
        end = time.monotonic() + timeout
        ready = []
        for name in names:
            while (node := self.node(name)).state != "running":
                if time.monotonic() > end:
                    raise LabError(
                        f"Node {name} of lab {self.name} does not answer within {timeout:.0f} s. {self._console(name)}"
                    )
                time.sleep(0.05)
            ready.append(node)
        return ready

    def _console(self, name: str) -> str:
        logs = [self.place.node(name) / "console", self.place.folder / "power.log"]
        return " ".join(f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in logs if log.exists())

    def reboot(self, name: str, *, hard: bool = False, wait: bool = True) -> LabNode:
        """Start a node anew.

        Args:
            name: the node.
            hard: as if the power went away for a moment, not in good order.
            wait: until it answers again.

        Raises:
            NodeNotFoundError: there is no such node.
            LabError: it does not answer again.
        """
        before = self.node(name)
        if before.state == "off":
            return self.switch_on(name)
        pid = self.pid(name)
        if pid:
            os.kill(pid, signal.SIGKILL if hard else REBOOT_SIGNAL)
        if not wait:
            return before
        end = time.monotonic() + PATIENCE
        while (run := power.read_run(self.place, name)) is None or run.starts <= before.starts:
            if time.monotonic() > end:
                raise LabError(f"Node {name} does not end within {PATIENCE:.0f} s.", remedy="Use a hard reboot.")
            time.sleep(0.05)
        return self.wait([name])[0]

    def switch_off(self, name: str) -> None:
        """Take the power from a node; its files stay.

        Raises:
            NodeNotFoundError: there is no such node.
        """
        self.node(name)
        layout.write(self.place.node(name) / "off", "")
        control_groups.end(self.place.node_cgroup(name))

    def switch_on(self, name: str) -> LabNode:
        """Give a node its power back and wait until it answers.

        Raises:
            NodeNotFoundError: there is no such node.
            LabError: it does not start.
        """
        self.node(name)
        (self.place.node(name) / "off").unlink(missing_ok=True)
        self._supply_power()
        return self.wait([name])[0]

    def ssh_command(self, name: str, command: Sequence[str] = ()) -> list[str]:
        """The command line that logs in on a node as root.

        Raises:
            NodeNotFoundError: there is no such node.
        """
        node = self.node(name)
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10"]
        flags = [part for option in options for part in ("-o", option)]
        return ["ssh", "-i", str(node.key), *flags, f"{node.user}@{node.address}", *command]

    def run(self, name: str, command: str, *, text: str = "", timeout: float = 120) -> str:
        """Run a shell command on a node as root.

        Returns:
            Its standard output.

        Raises:
            LabError: it failed; says what it printed.
        """
        return programs.run(self.ssh_command(name, [command]), text=text, timeout=timeout)

    def down(self) -> None:
        """Remove the lab and everything of its making, also what a crash left of it.

        Raises:
            LabMissingError: not root.
            LabError: something does not go away.
        """
        if os.geteuid() != 0:
            raise LabMissingError("Lab nodes need root: run this as root.")
        with layout.locked(layout.RUN):
            self._remove()

    def _remove(self) -> None:
        control_groups.end(self.place.cgroup)
        network.remove(self.place)
        record = self.place.read()
        if self.place.folder.exists():
            shutil.rmtree(self.place.folder)
        if record is not None and record.made_folder and not any(self.place.folder.parent.iterdir()):
            self.place.folder.parent.rmdir()
        machine.unregister(self.place)


def end_abandoned() -> list[str]:
    """Take down every lab whose owner is gone, e.g. after a killed test run.

    Returns:
        Their folders.
    """
    ended = []
    for note in machine.registered():
        if note.owner and machine.process_since(note.owner) != note.owner_since:
            folder = Path(note.folder)
            Lab(folder.parent, folder.name).down()
            ended.append(note.folder)
    return ended
