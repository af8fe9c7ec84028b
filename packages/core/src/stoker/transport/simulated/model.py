# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The model of a node: files, packages, services, boots and a spool, in memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

from stoker.domain.action import (
    Action,
    CommandAction,
    FileChange,
    FilesAction,
    KindAction,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)
from stoker.domain.attempt import Outcome
from stoker.domain.node import Disk, Facts, Nic, Observation, ObservedFile, ObservedService, Watch
from stoker.domain.versions import fits

_ROOT = "/var/lib/stoker"
_TEXT_LIMIT = 256 * 1024
_CANDIDATE = "1.0-simulated"
"""The version that every package has in the modelled archive."""


class ModelledFile(msgspec.Struct):
    """A file or folder of a modelled node."""

    content: bytes | None
    """``None`` for a folder."""
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"


class Original(msgspec.Struct):
    """What was at a path before Stoker took it over."""

    file: ModelledFile | None
    parents: list[str]
    """Folders that were made for it."""
    untouched: bool
    """Nothing was there, and nothing was made there either."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an action on the model."""

    exit_status: int = 0
    output: str = ""
    pretended: bool = False
    """Whether nothing of it is modelled."""


class SpoolRow(msgspec.Struct):
    """One attempt in a modelled spool."""

    boot_id: str
    outcome: Outcome | None = None
    done: asyncio.Event | None = None
    rebooting: bool = False


def is_pretended(action: Action) -> bool:
    """Whether nothing of an action is modelled."""
    return isinstance(action, CommandAction | KindAction) or (isinstance(action, WaitForAction) and action.port is not None)


class ModelledNode:
    """One node of a fleet."""

    def __init__(self, name: str, number: int) -> None:
        """A freshly installed Debian 12."""
        self.name = name
        self.number = number
        self.boot_id = str(uuid.uuid4())
        self.spool_id = str(uuid.uuid4())
        self.files: dict[str, ModelledFile] = {}
        self.originals: dict[str, Original] = {}
        self.made: set[str] = set()
        """Folders of ours that were given back; they go when they are empty."""
        self.packages: dict[str, str] = {"base-files": "12.4"}
        self.services: dict[str, ObservedService] = {}
        self.spool: dict[str, SpoolRow] = {}
        self.starts: list[tuple[str, float]] = []

    def facts(self) -> Facts:
        """What the node tells about itself."""
        return Facts(
            hostname=self.name,
            os_id="debian",
            os_family="debian",
            os_version="12",
            os_name="Debian GNU/Linux 12 (simulated)",
            kernel="6.1.0-simulated",
            architecture="x86_64",
            cpus=4,
            memory_bytes=8 * 1024**3,
            disks=[Disk("vda", 64 * 1024**3)],
            nics=[Nic("eth0", f"52:54:00:00:{self.number >> 8:02x}:{self.number & 255:02x}", [self.address()])],
            boot_id=self.boot_id,
        )

    def address(self) -> str:
        """The address with prefix length that the node shows."""
        return f"10.99.{self.number >> 8}.{self.number & 255}/16"

    def observe(self, watch: Watch) -> Observation:
        """Look at files, packages and services."""
        return Observation(
            files={path: self._observed(path) for path in watch.files},
            packages={name: self.packages[name] for name in watch.packages if name in self.packages},
            services={name: self.services.get(name, ObservedService(known=False)) for name in watch.services},
        )

    def _observed(self, path: str) -> ObservedFile:
        file = self.files.get(path)
        if file is None:
            return ObservedFile()
        if file.content is None:
            return ObservedFile(kind="directory", owner=file.owner, group=file.group, mode=file.mode)
        text: str | None = None
        if len(file.content) <= _TEXT_LIMIT:
            try:
                text = file.content.decode()
            except UnicodeDecodeError:
                text = None
        digest = hashlib.sha256(file.content).hexdigest()
        return ObservedFile(kind="file", sha256=digest, owner=file.owner, group=file.group, mode=file.mode, content=text)

    def offer(self, way: str) -> None:
        """Keep a port, as the agent of a real node does."""
        self.files[f"{_ROOT}/ways/{way}"] = ModelledFile(b"8551\n", mode="0600")

    def reboot(self) -> None:
        """Start anew: whatever ran is gone, services come back if they are enabled."""
        self.boot_id = str(uuid.uuid4())
        for row in self.spool.values():
            if row.outcome is None and row.rebooting:
                row.outcome = Outcome(exit_status=0, finished_at=time.time())
            if row.outcome is None and row.done is not None:
                row.done.set()
        for name, service in self.services.items():
            self.services[name] = ObservedService(active=service.enabled, enabled=service.enabled)

    def spared(self, action: Action) -> bool:
        """Whether the guard ``creates`` says that there is nothing to do."""
        return isinstance(action, CommandAction | RebootAction | KindAction) and action.creates in self.files

    def apply(self, action: Action, contents: Mapping[str, bytes]) -> Applied:
        """Do what an action says to the model."""
        match action:
            case PackagesAction():
                return self._packages(action)
            case FilesAction():
                return self._files(action, contents)
            case ServiceAction():
                enabled = self.services.get(action.name, ObservedService()).enabled if action.enabled is None else action.enabled
                self.services[action.name] = ObservedService(active=action.state == "started", enabled=enabled)
                return Applied()
            case RebootAction():
                self.reboot()
                return Applied()
            case WaitForAction() | CommandAction() | KindAction():
                return Applied(pretended=is_pretended(action))

    def _packages(self, action: PackagesAction) -> Applied:
        if action.repositories and action.way and f"{_ROOT}/ways/{action.way}" not in self.files:
            return Applied(exit_status=1, output="nothing on this node leads to the controller's repositories\n")
        for item in action.install:
            version = item.version or self.packages.get(item.name) or _CANDIDATE
            if not item.version and not fits(version, item.constraint):
                version = _CANDIDATE
            self.packages[item.name] = version
            if not fits(version, item.constraint):
                return Applied(
                    exit_status=1, output=f"package {item.name}: installed version {version} does not fit {item.constraint}\n"
                )
        for name in action.remove:
            self.packages.pop(name, None)
        return Applied()

    def _files(self, action: FilesAction, contents: Mapping[str, bytes]) -> Applied:
        for change in action.files:
            reason = self._file(change, contents)
            if reason:
                return Applied(exit_status=1, output=reason)
        if any(change.change == "restore" for change in action.files):
            self._tidy()
        return Applied()

    def _file(self, change: FileChange, contents: Mapping[str, bytes]) -> str:
        """Do one change; answers why it cannot be done, or an empty text."""
        path = change.path
        if change.change == "restore":
            self._restore(path)
            return ""
        if change.change != "discard":
            self._keep(path, removing=change.change == "remove")
        if change.change in ("remove", "discard"):
            if self._holds_something(path):
                return f"{path}: the directory is not empty; what it holds is not removed\n"
            self.files.pop(path, None)
            return ""
        for parent in self._missing_parents(path):
            self.files[parent] = ModelledFile(None, mode="0755")
        content = None if change.change == "directory" else contents[change.content]
        self.files[path] = ModelledFile(content, change.owner, change.group, change.mode)
        return ""

    def _keep(self, path: str, *, removing: bool) -> None:
        if path in self.originals:
            self.originals[path].untouched = self.originals[path].untouched and removing
            return
        found = self.files.get(path)
        self.originals[path] = Original(
            file=msgspec.structs.replace(found) if found is not None else None,
            parents=self._missing_parents(path) if found is None else [],
            untouched=found is None and removing,
        )

    def _restore(self, path: str) -> None:
        original = self.originals.pop(path, Original(None, [], untouched=False))
        if original.file is not None:
            self.files[path] = original.file
        elif path in self.files and self.files[path].content is None:
            self.made.add(path)
        elif not original.untouched:
            self.files.pop(path, None)
        self.made.update(original.parents)

    def _tidy(self) -> None:
        """Take away folders that were made and are empty; one stays known while another path of ours lies in it."""
        for folder in sorted(self.made, reverse=True):
            if not self._holds_something(folder):
                self.files.pop(folder, None)
            elif any(path.startswith(f"{folder}/") for path in self.originals):
                continue
            self.made.discard(folder)

    def _missing_parents(self, path: str) -> list[str]:
        """Folders above a path in which nothing is, so that they are not there."""
        parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
        return [parent for parent in parents if parent not in self.files and not self._holds_something(parent)]

    def _holds_something(self, folder: str) -> bool:
        return any(path.startswith(f"{folder}/") for path in self.files)
