# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Places where the shared suite meets a node: an SSH server of its own, a lab node, a modelled node."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncssh
import msgspec
import pytest
from stoker.domain.action import CommandAction
from stoker.domain.node import NodeTarget
from stoker.domain.secret import SecretSlot, Text
from stoker.errors import NodeUnreachableError
from stoker.transport import NodeLink, Transport
from stoker.transport.simulated import SimulatedTransport
from stoker.transport.simulated.behaviour import Behaviour, NodeFaults, Rule
from stoker.transport.simulated.fleet import Change
from stoker.transport.simulated.link import FleetClient
from stoker.transport.ssh import SshTransport

SECRET = "s3cr3t-of-the-suite"


class Given:
    """Materials of a test."""

    def __init__(self, contents: dict[str, bytes] | None = None) -> None:
        self.contents = contents or {}

    def content(self, content_id: str) -> bytes:
        return self.contents[content_id]

    def text(self, text: Text) -> str:
        if isinstance(text, str):
            return text
        return "".join(SECRET if isinstance(part, SecretSlot) else part for part in text)


# Commands of the suite; a modelled node answers them from this table as a real one does by running them.
HELLO = "echo hello"
FAIL = "echo broken; exit 3"
FOREVER = "echo waiting; sleep 60"
LATE = "sleep 1; echo late"
CUT = "sleep 4; echo went on"
SHAPE = "blob:suite:files/shape"
SHAPE_PROGRAM = b"""#!/bin/sh
[ "$1" != --dry-run ] || { echo '{"changed": true, "diff": "+round"}'; exit 0; }
read -r parameters
case $parameters in *broken*) echo '{"error": "it is broken"}'; exit 4 ;; esac
echo '{"progress": 0.5, "message": "half"}'
echo '{"changed": false}'
"""
RULES = [
    Rule(match="^kind suite.shape .*--dry-run$", output='{"changed": true, "diff": "+round"}\n'),
    Rule(match="^kind suite.shape .*broken", output='{"error": "it is broken"}\n', exit_status=4),
    Rule(match="^kind suite.shape ", output='{"progress": 0.5, "message": "half"}\n{"changed": false}\n'),
    Rule(match="^echo hello$", output="hello\n"),
    Rule(match="^echo broken", output="broken\n", exit_status=3),
    Rule(match="^echo waiting", output="waiting\n", hang=True),
    Rule(match="^sleep 1; ", output="late\n", delay=1.0),
    Rule(match="^sleep 4; ", output="went on\n", delay=4.0, drop=True),
]


class Place:
    """What the suite needs beside the transport itself."""

    transport: Transport
    target: NodeTarget
    folder: str
    owner = "root"
    group = "root"

    async def connect(self) -> NodeLink:
        return await self.transport.connect(self.target)

    async def write(self, path: str, text: str) -> None:
        raise NotImplementedError

    async def spool_text(self) -> str:
        """Everything that lies in the spool, for a search."""
        raise NotImplementedError

    async def finish(self) -> None:
        """End what the place started."""

    async def cut(self, link: NodeLink, attempt: str) -> None:
        """Run CUT, and lose the connection while it runs."""
        with pytest.raises(NodeUnreachableError):
            await link.execute(attempt, CommandAction(run=CUT), Given(), 30)


class SshPlace(Place):
    """An ordinary sshd on a loopback port, with its own configuration and keys."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.folder = str(folder / "node")
        Path(self.folder).mkdir()
        self.root = folder / "stoker"
        self.owner = pwd.getpwuid(os.getuid()).pw_name
        self.group = grp.getgrgid(os.getgid()).gr_name
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key.write_private_key(str(folder / "host_key"))
        (folder / "host_key").chmod(0o600)
        (folder / "authorized_keys").write_text(key.export_public_key().decode())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        )
        self.target = NodeTarget(
            id="1",
            name="here",
            address="127.0.0.1",
            port=self.port,
            user=self.owner,
            private_key=key.export_private_key().decode(),
        )
        self.transport = SshTransport(str(self.root))
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if program is None:
            pytest.skip("sshd is not on this machine (package openssh-server)")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        process = subprocess.Popen([program, "-D", "-e", "-f", str(self.home / "sshd_config")], stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    async def finish(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    async def write(self, path: str, text: str) -> None:
        Path(path).write_text(text)

    async def spool_text(self) -> str:
        return "".join(path.read_bytes().decode(errors="replace") for path in self.root.rglob("*") if path.is_file())

    async def cut(self, link: NodeLink, attempt: str) -> None:
        await cut_ssh(link, attempt)


async def cut_ssh(link: NodeLink, attempt: str) -> None:
    """Lose the connection half a second into a command of four seconds."""
    running = asyncio.create_task(link.execute(attempt, CommandAction(run=CUT), Given(), 30))
    await asyncio.sleep(0.5)
    link._connections[-1].abort()  # type: ignore[attr-defined]
    with pytest.raises(NodeUnreachableError):
        await running


class LabPlace(Place):
    """A lab node: systemd, dpkg, reboots."""

    folder = "/root/suite"

    def __init__(self, lab, node) -> None:
        self.lab = lab
        self.node = node
        self.target = NodeTarget(id="1", name=node.name, address=node.address, private_key=node.key.read_text())
        self.transport = SshTransport()
        lab.run(node.name, f"rm -rf {self.folder} /var/lib/stoker; mkdir -p {self.folder}")

    async def write(self, path: str, text: str) -> None:
        await asyncio.to_thread(self.lab.run, self.node.name, f"cat >{path}", text=text)

    async def spool_text(self) -> str:
        return await asyncio.to_thread(self.lab.run, self.node.name, "find /var/lib/stoker -type f -exec cat {} +")

    async def cut(self, link: NodeLink, attempt: str) -> None:
        await cut_ssh(link, attempt)

    async def reboot(self) -> None:
        await asyncio.to_thread(self.lab.reboot, self.node.name)


class SimulatedPlace(Place):
    """A modelled node in a fleet process."""

    folder = "/root/suite"

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "fleet.sock"
        table = folder / "behaviour.json"
        table.write_bytes(msgspec.json.encode(Behaviour(rules=RULES)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stoker.transport.simulated.fleet", "--socket", str(self.socket), "--nodes", "3"]
            + ["--behaviour", str(table)]
        )
        for _ in range(200):
            if self.socket.exists():
                break
            time.sleep(0.05)
        self.target = NodeTarget(id="1", name="node1", transport="simulated", address="node1")
        self.transport = SimulatedTransport(self.socket)

    async def finish(self) -> None:
        await self.transport.close()
        self.process.terminate()
        self.process.wait(10)

    async def ask(self, operation, data=None) -> None:
        client = await FleetClient.open(self.socket)
        answer = await client.ask(operation, "node1", data)
        client.close()
        assert not answer.error, answer.detail

    async def write(self, path: str, text: str) -> None:
        await self.ask("change", Change(write={path: text}))

    async def spool_text(self) -> str:
        return ""

    async def behave(self, **faults) -> None:
        await self.ask("behave", Behaviour(rules=RULES, faults=[NodeFaults(**faults)]))

    async def reboot(self) -> None:
        await self.ask("reboot")
