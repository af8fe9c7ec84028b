# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a node's package manager is told of the controller's repositories; apt itself is met in the lab, dnf nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from stoker.domain.action import PackageChange, PackagesAction
from stoker.transport.ssh.scripts import build

TOOLS = ("sh", "sed", "cp", "ln", "mkdir", "sleep", "find", "tr", "grep", "cat")
ACTION = PackagesAction(install=[PackageChange("tool", "0:1.0-1")], repositories=["stoker-store"], way="0123")


class Node:
    """A folder that stands for a node, with a package manager that writes down how it is called."""

    def __init__(self, folder: Path, family: str) -> None:
        self.folder = folder
        self.family = family
        self.bin, self.etc, self.attempt = folder / "bin", folder / "etc", folder / "attempt"
        for place in (self.bin, self.etc / "yum.repos.d", self.etc / "apt/sources.list.d", self.attempt, folder / "root/ways"):
            place.mkdir(parents=True)
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or name)
        (folder / "root/ways/0123").write_text("4711\n")
        self.calls = folder / "calls"
        self.installed = folder / "installed"

    def program(self, name: str, text: str) -> None:
        file = self.bin / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{text}\n')
        file.chmod(0o755)

    def run(self, action: PackagesAction, patience: int = 600) -> subprocess.CompletedProcess[str]:
        class Nothing:
            def content(self, content_id: str) -> bytes:
                raise KeyError(content_id)

            def text(self, text: object) -> str:
                return str(text)

        text = build(action, Nothing(), str(self.folder / "root")).run
        text = text.replace("/etc/", f"{self.etc}/").replace("PATIENCE=600", f"PATIENCE={patience}")
        script = self.attempt / "run"
        script.write_text(text)
        environment = {**os.environ, "PATH": str(self.bin)}
        return subprocess.run(
            [str(self.bin / "sh"), "-e", str(script)], env=environment, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def redhat(tmp_path):
    node = Node(tmp_path, "redhat")
    (node.etc / "yum.repos.d/stoker-store.repo").write_text("[stoker-store]\nenabled=0\n")
    node.program("dnf", f": >{node.installed}")
    node.program("rpm", f'[ -e {node.installed} ] && echo "0:1.0-1" || exit 1')
    return node


@pytest.fixture
def debian(tmp_path):
    node = Node(tmp_path, "debian")
    (node.etc / "apt/sources.list.d/stoker-store.sources").write_text("Types: deb\nEnabled: no\n")
    (node.etc / "apt/sources.list.d/debian.sources").write_text("Types: deb\n")
    node.program("dpkg", ":")
    node.program("apt-cache", ":")
    node.program("dpkg-query", f'[ -e {node.installed} ] && echo "installed 0:1.0-1" || exit 1')
    return node


def test_dnf_uses_the_source_for_this_call_and_the_way_as_its_proxy(redhat):
    done = redhat.run(ACTION)
    assert done.returncode == 0, done.stdout + done.stderr
    (call,) = [line for line in redhat.calls.read_text().splitlines() if line.startswith("dnf ")]
    assert "--enablerepo=stoker-store" in call
    assert "--setopt=stoker-store.proxy=http://127.0.0.1:4711" in call
    assert call.endswith(" tool-1.0-1")


def test_dnf_gets_no_proxy_where_the_node_reaches_the_repository_itself(redhat):
    redhat.run(PackagesAction(install=ACTION.install, repositories=ACTION.repositories))
    assert "proxy" not in redhat.calls.read_text()


def test_apt_reads_the_lists_of_this_source_alone_and_fetches_before_it_installs(debian):
    debian.program("apt-get", f"case $* in *download-only*) ;; *install*) : >{debian.installed} ;; esac")
    done = debian.run(ACTION)
    assert done.returncode == 0, done.stdout + done.stderr
    update, fetch, install = [line for line in debian.calls.read_text().splitlines() if line.startswith("apt-get ")]
    assert f"-o Dir::Etc::sourceparts={debian.attempt}/own " in update
    assert "-o APT::Get::List-Cleanup=0" in update
    for call in (update, fetch, install):
        assert "-o Acquire::http::Proxy::stoker.invalid=http://127.0.0.1:4711" in call
    assert "--download-only install tool=0:1.0-1" in fetch
    assert (debian.attempt / "own/stoker-store.sources").read_text() == "Types: deb\nEnabled: yes\n"
    assert (debian.attempt / "sources/debian.sources").is_symlink()
    assert (debian.etc / "apt/sources.list.d/stoker-store.sources").read_text() == "Types: deb\nEnabled: no\n"


def test_a_way_that_nobody_answers_is_tried_again_with_the_port_of_the_next_connection(debian):
    way = debian.folder / "root/ways/0123"
    refuses = "Could not connect to 127.0.0.1:4711 (127.0.0.1). - connect (111: Connection refused)"
    debian.program(
        "apt-get",
        f"case $* in *:4711*) echo 4712 >{way}; echo '{refuses}'; exit 100 ;;\n"
        f"*download-only*) ;; *install*) : >{debian.installed} ;; esac",
    )
    done = debian.run(ACTION)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nobody answers at the controller's end" in done.stdout
    assert "http://127.0.0.1:4712" in debian.calls.read_text()


@pytest.mark.parametrize(
    "reason",
    [
        "E: Failed to fetch http://stoker.invalid/x.deb  Hash Sum mismatch [IP: 127.0.0.1 4711]",
        "E: Failed to fetch http://stoker.invalid/x.deb  404  Not Found [IP: 127.0.0.1 4711]",
        "W: GPG error: http://stoker.invalid ./ InRelease: NO_PUBKEY",
    ],
)
def test_what_is_refused_is_not_tried_again(debian, reason):
    debian.program("apt-get", f"echo '{reason}'; exit 100")
    done = debian.run(ACTION)
    assert done.returncode != 0
    assert reason in done.stdout
    assert "cannot be used: stoker-store" in done.stderr
    assert debian.calls.read_text().count("apt-get") == 1


def test_a_way_that_stays_silent_ends_with_the_reason(debian):
    debian.program("apt-get", "echo 'Could not connect to 127.0.0.1:4711 - connect'; exit 100")
    done = debian.run(ACTION, patience=2)
    assert done.returncode != 0
    assert debian.calls.read_text().count("apt-get") == 2


def test_a_source_that_is_not_there_is_told(debian):
    (debian.etc / "apt/sources.list.d/stoker-store.sources").unlink()
    debian.program("apt-get", f": >{debian.installed}")
    assert "has not run on this node" in debian.run(ACTION).stdout
