# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The registry: one file that says which plugin versions are live; every process looks at it on each request."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec


class VersionEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One installed version of a plugin."""

    digest: str
    """SHA-256 of its bundle."""
    application: bool = False
    """Whether it has a REST application."""
    openapi: str = ""
    """Where the application gives its OpenAPI document."""


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One installed plugin."""

    default: str
    """The version that answers for the whole server."""
    versions: dict[str, VersionEntry]


class EnvironmentEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an environment has enabled."""

    name: str
    plugins: dict[str, str] = {}
    """Plugin -> version."""


class Registry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a request for a plugin's application must know."""

    plugins: dict[str, PluginEntry] = {}
    environments: dict[str, EnvironmentEntry] = {}
    """By id."""
    gone: dict[str, str] = {}
    """Plugins that were uninstalled -> why they do not answer any more."""


class RegistryFile:
    """The file, kept in memory until it is another one."""

    def __init__(self, path: Path) -> None:
        """Use the file ``path``; without it nothing is installed."""
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._kept = Registry()

    def read(self) -> Registry:
        """What is live now: one ``stat`` if nothing has changed."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._kept = None, Registry()
            return self._kept
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._kept = msgspec.json.decode(self.path.read_bytes(), type=Registry)
            self._seen = seen
        return self._kept

    def write(self, registry: Registry) -> None:
        """Let another one be live, for all processes at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".registry-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(registry))
            os.replace(temporary, self.path)  # noqa: PTH105  says that it replaces
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
