# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Commands of plugins that were seen on a server, kept on disk so that help and completion ask nobody."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stoker.cli.session import Session
    from stoker.client.commands import PluginCommandsDocument

_FORMAT: Final = 1


def file_for(server: str) -> Path:
    """Where the commands of a server are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "stoker" / f"commands-{hashlib.sha256(server.encode()).hexdigest()[:20]}.json"


class Seen:
    """What is known of a server's commands."""

    def __init__(self, server: str) -> None:
        """Read what is kept; nothing if that cannot be read."""
        self._file = file_for(server)
        self.tag = ""
        self.plugins: dict[str, PluginCommandsDocument] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept: dict[str, Any] = json.loads(self._file.read_bytes())
            if kept["format"] == _FORMAT:
                self.plugins = {item["plugin"]: item for item in kept["plugins"]}
                self.tag = str(kept["tag"])

    def renew(self, session: Session) -> None:
        """Ask the server, and keep what it says. Raises StokerError: it does not answer."""
        with session.client() as client:
            found, tag = client.commands(self.tag)
        if found is None:
            return
        self.plugins, self.tag = {item["plugin"]: item for item in found}, tag
        with contextlib.suppress(OSError):  # without a cache all is the same, but for help and completion
            self._keep()

    def _keep(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = {"format": _FORMAT, "tag": self.tag, "plugins": list(self.plugins.values())}
        with tempfile.NamedTemporaryFile("w", dir=self._file.parent, delete=False) as new:
            new.write(json.dumps(document))
        Path(new.name).replace(self._file)
