# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reading: what the agent prints about a node, as facts and observations."""

from __future__ import annotations

import base64
import stat
from collections.abc import Sequence

from stoker.domain.node import Disk, Facts, Nic, ObservedFile, ObservedService

_FAMILIES = {
    "debian": "debian",
    "ubuntu": "debian",
    "rhel": "redhat",
    "fedora": "redhat",
    "centos": "redhat",
    "rocky": "redhat",
    "almalinux": "redhat",
}
_ENABLED = ("enabled", "enabled-runtime", "static", "indirect", "alias", "generated")
"""What needs no enabling, or cannot be enabled otherwise, counts as enabled."""


def read_facts(output: bytes, boot_id: str) -> Facts:
    """Facts from the lines of ``S_facts``."""
    single: dict[str, str] = {}
    release: dict[str, str] = {}
    disks: list[Disk] = []
    nics: dict[str, tuple[str, bool, list[str]]] = {}
    for line in output.decode(errors="replace").splitlines():
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind == "os":
            key, _, value = rest.partition("=")
            release[key] = value.strip("\"'")
        elif kind == "disk" and len(words) >= 3:
            disks.append(Disk(words[0], int(words[1]) * 512, model=" ".join(words[3:]), rotational=words[2] == "1"))
        elif kind == "nic" and words:
            nics[words[0]] = (words[2] if len(words) > 2 else "", words[1:2] != ["down"], [])
        elif kind == "address" and len(words) == 2 and words[0] in nics:
            nics[words[0]][2].append(words[1])
        else:
            single[kind] = rest
    like = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return Facts(
        hostname=single.get("hostname", ""),
        os_id=release.get("ID", ""),
        os_family=next((_FAMILIES[name] for name in like if name in _FAMILIES), ""),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", ""),
        kernel=single.get("kernel", ""),
        architecture=single.get("architecture", ""),
        cpus=int(single.get("cpus") or 0),
        memory_bytes=int(single.get("memory") or 0) * 1024,
        disks=sorted(disks, key=lambda disk: disk.name),
        nics=[Nic(name, mac, addresses, up) for name, (mac, up, addresses) in sorted(nics.items())],
        boot_id=boot_id,
    )


def read_files(paths: Sequence[str], output: bytes, contents: bytes) -> dict[str, ObservedFile]:
    """Files from what ``S_observe`` and ``S_contents`` print."""
    stats, _, sums = output.partition(b"\0\0")
    digests: dict[str, str] = {}
    for row in sums.split(b"\0"):
        digest, _, name = row.decode(errors="surrogateescape").partition("  ")
        if name:
            digests[name] = digest
    pieces = contents.split(b"\0")
    texts = {pieces[i].decode(errors="surrogateescape"): _text(pieces[i + 1]) for i in range(0, len(pieces) - 1, 2)}
    found: dict[str, ObservedFile] = {path: ObservedFile() for path in paths}
    for row in stats.split(b"\0"):
        words = row.decode(errors="surrogateescape").split(" ", 5)
        if len(words) < 6:
            continue
        mode, owner, group, permissions, _, name = words
        kind = stat.S_IFMT(int(mode, 16))
        if kind == stat.S_IFDIR:
            found[name] = ObservedFile(kind="directory", owner=owner, group=group, mode=permissions.zfill(4))
        elif kind == stat.S_IFREG:
            found[name] = ObservedFile("file", digests.get(name, ""), owner, group, permissions.zfill(4), texts.get(name))
        else:
            found[name] = ObservedFile(kind="other", owner=owner, group=group, mode=permissions.zfill(4))
    return found


def _text(encoded: bytes) -> str | None:
    try:
        return base64.b64decode(encoded).decode()
    except ValueError:
        return None


def read_packages(output: bytes) -> dict[str, str]:
    """Installed packages from the lines of ``S_packages``."""
    rows = [line.split() for line in output.decode(errors="replace").splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def read_services(names: Sequence[str], output: bytes) -> dict[str, ObservedService]:
    """Units from the blocks of ``systemctl show``, one for each name in order."""
    blocks = output.decode(errors="replace").strip("\n").split("\n\n")
    found: dict[str, ObservedService] = {}
    for name, block in zip(names, blocks, strict=False):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        known = fields.get("LoadState") not in ("not-found", None)
        active = fields.get("ActiveState") in ("active", "reloading", "activating")
        found[name] = ObservedService(active=active, enabled=fields.get("UnitFileState", "") in _ENABLED, known=known)
    return found
