# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes: how to reach one, what it is (facts), and what was seen on it (observation)."""

from __future__ import annotations

from typing import Literal

import msgspec


class Disk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A block device of a node."""

    name: str
    size_bytes: int
    model: str = ""
    rotational: bool = False


class Nic(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network interface of a node; loopback is left out."""

    name: str
    mac: str = ""
    addresses: list[str] = []
    """Addresses with prefix length, e.g. ``10.20.0.11/24``."""
    up: bool = True


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node told about itself."""

    hostname: str = ""
    os_id: str = ""
    """``ID`` of os-release, e.g. ``debian``."""
    os_family: str = ""
    """``debian`` or ``redhat``."""
    os_version: str = ""
    os_name: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    disks: list[Disk] = []
    nics: list[Nic] = []
    boot_id: str = ""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at on a node before planning."""

    files: list[str] = []
    packages: list[str] = []
    services: list[str] = []


class ObservedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A path as it was found."""

    kind: Literal["file", "directory", "other", "absent"] = "absent"
    sha256: str = ""
    owner: str = ""
    group: str = ""
    mode: str = ""
    """Four octal digits, e.g. ``0644``."""
    content: str | None = None
    """The text, if it is UTF-8 and at most 256 KiB; for diffs. Never kept for files that hold secrets."""


class ObservedService(msgspec.Struct, frozen=True, omit_defaults=True):
    """A systemd unit as it was found."""

    active: bool = False
    enabled: bool = False
    known: bool = True


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found on a node."""

    files: dict[str, ObservedFile] = {}
    packages: dict[str, str] = {}
    """Installed packages only: name -> version."""
    services: dict[str, ObservedService] = {}


class NodeTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a transport needs to reach a node; never stored or shown as a whole."""

    id: str
    name: str
    transport: Literal["ssh", "simulated"] = "ssh"
    address: str = ""
    port: int = 22
    user: str = "root"
    credential: str = ""
    """The name of the key, for messages."""
    private_key: str = ""
    """OpenSSH private key text."""
    sudo: bool = False
    """Whether commands are run through ``sudo -n``."""
    jump: NodeTarget | None = None
    host_key: str = ""
    """The key that the node must show (``ssh-ed25519 AAAA...``); empty: trust the first one and report it."""


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which boot and which spool of a node answered, and the host key that it showed."""

    boot_id: str
    spool_id: str
    """A random name given to the spool when it was made; another one means that the spool was lost."""
    host_key: str = ""
