# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How a worker's process is started, and what is known of it afterwards."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stoker.plugin_host.sandbox.control_groups import Group


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker's process is started."""

    command: list[str]
    memory: int
    """MiB that it may use."""
    folder: Path
    """Its private folder, which goes with it."""
    user: int | None = None
    """The user that it runs as, where that is another than the server's."""
    confined: bool = False
    """Whether it runs in a sandbox."""
    tended: bool = False
    """Whether the process ends all of its descendants when it is told to end."""
    group: Group | None = None
    """Its control groups."""
