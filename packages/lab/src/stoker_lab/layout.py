# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Where everything of one lab is: its folder, and the names of what it has in the kernel."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

RUN = Path("/run")
REGISTRY = RUN / "stoker-lab"
PROXY_PORT = 3199
FIRST_ADDRESS = 10


class NodeRecord(msgspec.Struct, kw_only=True):
    """What is kept of one node.

    Attributes:
        name: its host name.
        index: its number in the lab; makes its address and interface name.
        address: its IPv4 address.
        host_key: its SSH host key, public part.
        lower: folders of its read-only layers, top first.
    """

    name: str
    index: int
    address: str
    host_key: str
    lower: list[str]


class Archives(msgspec.Struct, frozen=True, kw_only=True):
    """What a package proxy stands for.

    Attributes:
        mirrors: the archives behind it: path on the proxy -> address; empty for one that this machine does not use.
        upstream_proxy: the proxy that it must itself use; empty for none.
    """

    mirrors: dict[str, str]
    upstream_proxy: str


class LabRecord(msgspec.Struct, kw_only=True):
    """What is kept of one lab.

    Attributes:
        name: the lab's name.
        subnet: the first three numbers of its addresses.
        made_folder: whether the lab made the folder that it stands in.
        archives: what its package proxy stands for.
        cache: the cache folder.
    """

    name: str
    subnet: str
    made_folder: bool
    archives: Archives
    cache: str


class Layout(msgspec.Struct, frozen=True):
    """Paths and kernel names of one lab; the same again after a crash, because they follow from its folder alone.

    Attributes:
        folder: the lab's own folder.
    """

    folder: Path

    @property
    def tag(self) -> str:
        """Six characters that no other lab on this machine has."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:6]

    @property
    def record(self) -> Path:
        """The file with the LabRecord."""
        return self.folder / "lab.json"

    @property
    def key(self) -> Path:
        """The private key that opens every node."""
        return self.folder / "id_ed25519"

    @property
    def power_lock(self) -> Path:
        """Locked by the power supply as long as it runs."""
        return self.folder / "power.lock"

    @property
    def proxy(self) -> Path:
        """Configuration and log of the package proxy."""
        return self.folder / "proxy"

    @property
    def bridge(self) -> str:
        """The bridge that the nodes hang on."""
        return f"slb{self.tag}"

    @property
    def registered(self) -> Path:
        """The machine-wide note that this lab is up."""
        return REGISTRY / f"{self.tag}.json"

    @property
    def cgroup(self) -> Path:
        """The control group of everything that the lab runs."""
        return cgroup_root() / f"stoker-lab-{self.tag}"

    @property
    def power_cgroup(self) -> Path:
        """The control group of the power supply and the package proxy."""
        return self.cgroup / "power"

    def node_cgroup(self, name: str) -> Path:
        """The control group of one node."""
        return self.cgroup / "nodes" / name

    def node(self, name: str) -> Path:
        """The folder of one node."""
        return self.folder / "nodes" / name

    def namespace(self, name: str) -> str:
        """The network namespace of one node."""
        return f"slb{self.tag}-{name}"

    def interface(self, index: int) -> str:
        """The machine's end of a node's cable."""
        return f"slv{self.tag}-{index}"

    def read(self) -> LabRecord | None:
        """The record of the lab, or None if it is not up."""
        try:
            return msgspec.json.decode(self.record.read_bytes(), type=LabRecord)
        except FileNotFoundError:
            return None

    def nodes(self) -> list[NodeRecord]:
        """The records of its nodes, by number."""
        found = [msgspec.json.decode(path.read_bytes(), type=NodeRecord) for path in self.folder.glob("nodes/*/node.json")]
        return sorted(found, key=lambda node: node.index)


def cgroup_root() -> Path:
    """The cgroup v2 tree, alone or beside v1 controllers."""
    unified = Path("/sys/fs/cgroup/unified")
    return unified if (unified / "cgroup.procs").exists() else Path("/sys/fs/cgroup")


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file with exactly this mode, with the folders that it needs; it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    fresh.replace(path)


def own(path: Path, user: int, group: int) -> None:
    """Give a file or folder to a user, who alone may write it."""
    os.chown(path, user, group)
    path.chmod(0o755)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: labs share the machine's bridges and limits, and must not choose at the same time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
