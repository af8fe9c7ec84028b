# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Actions: what a node does in one attempt of a task, with every value resolved but the secrets."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from stoker.domain.secret import Text


class _Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="action"):
    """What all actions have in common."""


class PackageChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One package to install or remove."""

    name: str
    version: str = ""
    """The exact version to install; empty: decided on the node, within ``constraint``."""
    constraint: str = ""
    """Comma-separated constraints on the upstream version; the attempt fails if the installed version does not fit."""


class PackagesAction(_Action, frozen=True, kw_only=True, tag="packages"):
    """Install and remove packages with the node's package manager."""

    install: list[PackageChange] = []
    remove: list[str] = []
    repositories: list[str] = []
    """The controller's own repositories that are used, by the names of their sources on the node."""
    way: str = ""
    """The name under which the node keeps the way to them through the held connection; empty if it reaches them by itself."""


class FileChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One path to bring into a state; written beside and renamed, so a reader never sees half a file."""

    path: str
    change: Literal["write", "directory", "remove", "restore", "discard"] = "write"
    """``write``: content, owner and mode; an original that was not ours is kept once in ``/var/lib/stoker/originals``.
    ``remove``: the path goes, and an original that was not ours is kept likewise. ``restore``: the kept original comes back, or
    what we made goes, with the parents that we made for it. ``discard``: the path goes for good."""
    content: str = ""
    """The content's id in the plan (``Plan.contents``); ``blob:PLUGIN:PATH`` for a file of a bundle."""
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"


class FilesAction(_Action, frozen=True, kw_only=True, tag="files"):
    """Write, remove and restore files."""

    files: list[FileChange]


class ServiceAction(_Action, frozen=True, kw_only=True, tag="service"):
    """Bring a systemd unit into a state."""

    name: str
    state: Literal["started", "stopped"] = "started"
    enabled: bool | None = True
    restart: Literal["", "restart", "reload"] = ""
    """What to do if it runs already: nothing, restart or reload."""
    ready: str = ""
    """Shell text that exits 0 when the service works; the attempt ends when it does."""
    environment: dict[str, Text] = {}
    """Environment variables of ``ready``."""


class CommandAction(_Action, frozen=True, kw_only=True, tag="command"):
    """Run shell text or a script of a bundle."""

    run: str = ""
    """POSIX sh text, run with ``set -e``."""
    script: str = ""
    """Or the script's ``blob:PLUGIN:PATH``; made executable and run."""
    arguments: list[str] = []
    environment: dict[str, Text] = {}
    directory: str = "/"
    unless: str = ""
    """If this shell text exits 0, the command is not run and the attempt succeeds with ``changed=False``."""
    creates: str = ""
    """If this path exists, likewise."""


class RebootAction(_Action, frozen=True, kw_only=True, tag="reboot"):
    """Reboot the node; done when it answers with another boot id."""

    unless: str = ""
    creates: str = ""


class WaitForAction(_Action, frozen=True, kw_only=True, tag="wait_for"):
    """Wait until a TCP port answers or a file exists, as seen from the node."""

    host: str = "127.0.0.1"
    port: int | None = None
    file: str = ""
    interval: float = 1.0


class KindAction(_Action, frozen=True, kw_only=True, tag="kind"):
    """Run the program of a plugin's own kind of task: parameters go in as JSON, lines of JSON come out."""

    kind: str
    """``PLUGIN.NAME``."""
    program: str
    """``blob:PLUGIN:PATH``; made executable and run."""
    parameters: Text = "{}"
    """One JSON document, given on standard input."""
    dry_run: bool = False
    """Run it with ``--dry-run``: it tells what it would change, and changes nothing."""
    unless: str = ""
    """If this shell text exits 0, the program is not run and the attempt succeeds with ``changed=False``."""
    creates: str = ""
    """If this path exists, likewise."""


Action: TypeAlias = PackagesAction | FilesAction | ServiceAction | CommandAction | RebootAction | WaitForAction | KindAction


class Materials(Protocol):
    """Gives a transport what an action only names; secrets are filled in here, at the last moment."""

    def content(self, content_id: str) -> bytes:
        """The final bytes of a planned content or a bundle's file."""
        ...

    def text(self, text: Text) -> str:
        """A text with its secrets in place."""
        ...
