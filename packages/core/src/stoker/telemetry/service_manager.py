# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Notes to the service manager (systemd's notify protocol): ready, stopping, alive."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)


def notify(*notes: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send notes such as ``READY=1`` to who started this server; answers whether somebody asked for them.

    A note that cannot be sent is logged: the server works without.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.connect(address)
            link.sendall("\n".join(notes).encode())
    except OSError as error:
        _LOG.warning("the service manager could not be told %s: %s", ", ".join(notes), error.strerror)
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """How often the service manager wants to hear from this process at least; ``None`` if it does not."""
    period, wanted = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not period.isdecimal() or not int(period) or (wanted and wanted != str(pid or os.getpid())):
        return None
    return int(period) / 1_000_000


async def keep_alive(environment: Mapping[str, str] = os.environ) -> None:
    """Tell the service manager from the event loop that this process lives; one whose loop hangs is started anew by it."""
    period = watchdog_seconds(environment)
    while period is not None:
        notify("WATCHDOG=1", environment=environment)
        await asyncio.sleep(period / 3)
