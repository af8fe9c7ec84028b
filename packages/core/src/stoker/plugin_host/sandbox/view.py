# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The view: what a worker sees of this machine. Nothing of the server's, no secret, nobody else's plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from stoker_sdk.worker.protocol import CORE_SOCKET

from stoker.plugin_host.worker_code import WorkerCode

INSIDE: Final = Path("/run/stoker")
"""Where a worker finds the way back."""
TEMPORARY: Final = 64 * 1024 * 1024
"""Bytes in its /tmp."""
SHARED: Final = 16 * 1024 * 1024
"""Bytes of shared memory."""
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS: Final = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/mime.types",
)
"""What libraries look for, and no secret is in."""
_NETWORK: Final = ("/etc/resolv.conf", "/etc/hosts")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a worker sees."""

    kind: Literal["read", "link", "tmpfs", "devices", "processes"]
    """``read``: a file or folder of this machine that cannot be written; ``devices``: /dev; ``processes``: /proc."""
    target: str
    source: str = ""
    """For ``link`` what it points to."""
    size: int = 0
    """Bytes that fit in a tmpfs."""


def view(code: WorkerCode, folder: Path, user: int) -> list[Mount]:
    """What a worker sees, in the order in which it is put together."""
    return [
        *_system(),
        Mount(kind="processes", target="/proc"),
        Mount(kind="devices", target="/dev"),
        Mount(kind="tmpfs", target="/dev/shm", size=SHARED),  # noqa: S108  its own
        Mount(kind="tmpfs", target="/tmp", size=TEMPORARY),  # noqa: S108  its own
        *_settings(folder, user, network=code.network),
        *_python(code),
        Mount(kind="read", source=str(folder / CORE_SOCKET), target=str(INSIDE / CORE_SOCKET)),
    ]


def devices() -> Iterator[str]:
    """The names of devices in its /dev."""
    yield from _DEVICES


def _system() -> Iterator[Mount]:
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield Mount(kind="link", source=str(path.readlink()), target=name)
        elif path.is_dir():
            yield Mount(kind="read", source=name, target=name)


def _settings(folder: Path, user: int, *, network: bool) -> Iterator[Mount]:
    made = {
        "passwd": f"worker:x:{user}:{user}:worker:/tmp:/usr/sbin/nologin\n",
        "group": f"worker:x:{user}:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    }
    for name, text in made.items():
        if network and f"/etc/{name}" in _NETWORK:
            continue
        file = folder / name
        file.write_text(text)
        file.chmod(0o644)
        yield Mount(kind="read", source=str(file), target=f"/etc/{name}")
    for name in (*_SETTINGS, *(_NETWORK if network else ())):
        if Path(name).exists():
            yield Mount(kind="read", source=str(Path(name).resolve()), target=name)


def _python(code: WorkerCode) -> Iterator[Mount]:
    """The interpreter where it is not the system's, the plugin's venv, its bundle."""
    homes = {Path(sys.base_prefix), code.python.resolve().parent.parent}
    folders = [*sorted(homes), code.python.parent.parent, *([code.bundle] if code.bundle is not None else [])]
    for path in folders:
        if not path.is_relative_to("/usr"):
            yield Mount(kind="read", source=str(path), target=str(path))
