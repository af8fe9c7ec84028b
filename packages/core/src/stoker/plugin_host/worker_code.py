# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a worker is started from: the code of one plugin version, as it was installed."""

from __future__ import annotations

from pathlib import Path

import msgspec


class WorkerCode(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started from."""

    python: Path
    """The interpreter of the plugin version's venv."""
    entry: str
    """The name of its entry point."""
    bundle: Path | None = None
    """The folder of its unpacked bundle."""
    memory: int = 256
    """MiB that it may use."""
    network: bool = False
    """Whether it may reach the network: it says that it must, and an admin agreed."""
    processors: tuple[int, ...] = ()
    """The only ones that it runs on, by number; empty: all."""
    api_access: str = ""
    """The highest access level with which its code may use the server's API; empty: none."""
