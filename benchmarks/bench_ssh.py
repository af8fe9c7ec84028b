# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reaching 100 SSH servers: our client's CPU against a bare asyncssh loop and against Ansible, on the same servers."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncssh
from stoker.errors import ConfigurationError, StokerError

from benchmarks import ssh_clients
from benchmarks.result import Result

NAMES = ("ssh-vs-bare", "ssh-vs-ansible")

SERVERS = 100
ROUNDS = 3
ANSIBLE = "ansible-core>=2.19,<2.20"


@contextmanager
def servers(count: int, own: str = "") -> Iterator[Path]:
    """So many sshd on loopback ports of their own; the folder has ``ports.json`` and ``key``.

    Args:
        count: how many.
        own: a folder that each of them sees as an empty one of its own.
    """
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None or os.getuid() != 0:
        raise ConfigurationError(
            "This benchmark starts its own sshd as root.", remedy="Install openssh-server and run it as root."
        )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="stoker-bench-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(folder / "key"))
        (folder / "authorized_keys").write_bytes(key.export_public_key())
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(folder / "host_key"))
        for name in ("key", "host_key"):
            (folder / name).chmod(0o600)
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nUseDNS no\nSubsystem sftp internal-sftp\n"
        )
        ports = _free_ports(count)
        (folder / "ports.json").write_text(json.dumps(ports))
        with (folder / "sshd.log").open("wb") as log:
            processes += [
                subprocess.Popen(
                    [
                        *_apart(folder / f"own-{port}", own),
                        program,
                        "-D",
                        "-e",
                        "-f",
                        str(folder / "sshd_config"),
                        "-p",
                        str(port),
                    ],
                    stderr=log,
                )
                for port in ports
            ]
        for port in ports:
            _wait_for(port)
        yield folder
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _apart(private: Path, own: str) -> list[str]:
    """What lets a command see another folder in place of ``own``."""
    if not own:
        return []
    private.mkdir()
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(private), own]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"sshd on port {port} does not answer")


def _client(kind: str, folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ssh_clients", kind, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    return float(json.loads(done.stdout.splitlines()[-1])["cpu"])


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ansible_venv() -> Path:
    """Ansible in a venv of its own, kept for the next time."""
    root = Path(__file__).resolve().parents[1]
    venv = root / ".stoker" / "bench" / "ansible"
    if not (venv / "bin" / "ansible-playbook").exists():
        venv.parent.mkdir(parents=True, exist_ok=True)
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        _install(uv, "venv", "-q", "--clear", "--python", sys.executable, str(venv))
        _install(uv, "pip", "install", "-q", "--python", str(venv / "bin" / "python"), ANSIBLE)
    return venv


def _install(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ConfigurationError(
            f"ssh-vs-ansible needs {ANSIBLE} in .stoker/bench/ansible, which could not be made: {done.stderr.strip()[-500:]}",
            remedy="Let uv reach a package index, then run it again.",
        )


def _ansible(folder: Path) -> float:
    """CPU seconds of one playbook with the same commands, its processes and start included."""
    venv = _ansible_venv()
    ports = json.loads((folder / "ports.json").read_text())
    hosts = "".join(f"n{number} ansible_host=127.0.0.1 ansible_port={port}\n" for number, port in enumerate(ports))
    options = f"ansible_user=root\nansible_python_interpreter=/usr/bin/python3\nansible_ssh_private_key_file={folder}/key\n"
    (folder / "inventory").write_text(f"[all]\n{hosts}[all:vars]\n{options}")
    tasks = [{"ansible.builtin.shell": ssh_clients.command(number)} for number in range(ssh_clients.COMMANDS)]
    (folder / "playbook.yml").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "strategy": "linear", "tasks": tasks}])
    )
    (folder / "ansible.cfg").write_text(
        "[defaults]\nforks = 50\nhost_key_checking = False\ndeprecation_warnings = False\n"
        f"local_tmp = {folder}/local\nremote_tmp = {folder}/remote\n"
        "[ssh_connection]\npipelining = True\n"
        "ssh_args = -F none -o ControlMaster=auto -o ControlPersist=20s -o KexAlgorithms=curve25519-sha256"
        " -o UserKnownHostsFile=/dev/null\n"
        f"control_path_dir = {folder}/cp\n"
    )
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home")}
    before = _children()
    done = subprocess.run(
        [str(venv / "bin" / "ansible-playbook"), "-i", str(folder / "inventory"), str(folder / "playbook.yml")],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        raise StokerError(f"ansible-playbook ended with {done.returncode}: {(done.stdout + done.stderr).strip()[:2000]}")
    return _children() - before


def run() -> Iterator[Result]:
    """Measure both ratios; the first stands even if Ansible is not to be had."""
    measured: dict[str, list[float]] = {"bare": [], "transport": [], "stoker": []}
    with servers(SERVERS) as folder:
        for kind in measured:
            _client(kind, folder)  # once to warm up
        for _ in range(ROUNDS):
            for kind, values in measured.items():
                values.append(_client(kind, folder))
        bare, alone, ours = (statistics.median(measured[kind]) for kind in ("bare", "transport", "stoker"))
        per_round = [after / before for after, before in zip(measured["stoker"], measured["bare"], strict=True)]
        work = f"{SERVERS} servers x {ssh_clients.COMMANDS} commands"
        yield Result(
            name="ssh-vs-bare",
            value=statistics.median(per_round),
            unit="times",
            bound=2.0,
            aim=1.4,
            note=f"{work}: {ours:.2f} s CPU with journal and spool, {bare:.2f} s bare; transport alone {alone / bare:.2f} times",
        )
        ansible = _ansible(folder)
        yield Result(
            name="ssh-vs-ansible",
            value=ansible / ours,
            unit="times",
            bound=15,
            aim=35,
            higher_is_better=True,
            note=f"{work}: {ansible:.1f} s CPU ansible-core (without ControlPersist's background processes)",
        )
