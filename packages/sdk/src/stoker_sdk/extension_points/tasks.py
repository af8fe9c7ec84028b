# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks: steps on nodes, ordered in the deployment graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.dependency import Dependency, Edge
from stoker_sdk.model.expression import Environment, Expression, Value
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import (
    NAME,
    check_command,
    check_kind,
    check_one_selector,
    check_owner,
    check_package,
    check_selector,
    check_task_id,
    check_unit,
)

Anchor: TypeAlias = Literal["prepare", "install", "configure", "start", "verify"]
MAX_PORT: Final = 65535


class Task(Contribution, frozen=True, kw_only=True):
    """What all kinds of tasks have in common; use one of the kinds."""

    id: str
    """The task's name inside the plugin; others call it ``plugin.id``."""
    roles: Sequence[str]
    """The nodes that run it: roles, ``*`` for every node, ``primary(ROLE)``, ``once`` or ``service(NAME)``."""
    title: str = ""
    """What it does, for a person; the id if empty."""
    phase: Anchor | None = None
    """Runs after the anchor before this one and before this anchor. ``None``: where ``after`` and ``before`` say, or
    ``configure`` if they are empty too."""
    after: Sequence[Edge] = ()
    """Tasks that must be finished first."""
    before: Sequence[Edge] = ()
    """Tasks that wait for this one."""
    timeout: int = 600
    """Seconds for one attempt; then it is killed and counts as failed."""
    retries: int = 0
    """How often a failed attempt is tried again."""
    retry_interval: float = 5.0
    """Seconds between two attempts."""
    unless: str | None = None
    """Guard: shell text; if it exits 0 on the node, the task has nothing to do."""
    creates: str | None = None
    """Guard: an absolute path; if it exists on the node, the task has nothing to do."""
    idempotent: bool | None = None
    """Whether it may run twice without harm. ``None``: by kind (all but shell, script and reboot), or true with a guard."""
    on: Literal["deploy", "remove"] = "deploy"
    """``remove``: runs when the plugin is disabled, or its node is taken away."""
    concurrency: int = 0
    """How many nodes run it at the same time; 0 for all, 1 for one by one."""
    run_on: Sequence[str] = ()
    """Runs only when one of these changes in the deployment: ``file:/etc/x``, ``package:NAME``, ``task:[plugin.]ID``."""
    always: bool = False
    """Runs in every deployment, even when nothing changed since it last succeeded."""

    @property
    def label(self) -> str:
        """``tasks.KIND ID``."""
        return f"{self.__struct_config__.tag} {self.id}"

    def check(self) -> Iterable[Finding]:
        """Id, selector, ranges and trigger names."""
        yield from check_task_id(self.id)
        yield from check_selector(self.roles)
        if self.timeout <= 0:
            yield Finding(
                rule="T001", field="timeout", message=f"{self.timeout} is not a time.", remedy="Give a number of seconds above 0."
            )
        if self.retries < 0 or self.retry_interval < 0 or self.concurrency < 0:
            yield Finding(
                rule="T002",
                field="retries",
                message="Retries, interval and concurrency cannot be negative.",
                remedy="Use 0 or more.",
            )
        for index, trigger in enumerate(self.run_on):
            yield from check_trigger(trigger, f"run_on[{index}]")
        for field, edges in (("after", self.after), ("before", self.before)):
            for index, edge in enumerate(edges):
                if isinstance(edge, Dependency) and edge.role is not None:
                    yield from check_one_selector(edge.role, f"{field}[{index}].role")


def check_trigger(trigger: str, field: str) -> Iterable[Finding]:
    """A trigger names a file, a package or a task."""
    kind, _, name = trigger.partition(":")
    if kind not in ("file", "package", "task") or not name:
        yield Finding(
            rule="T003",
            field=field,
            message=f"{trigger!r} is not a trigger.",
            remedy="Write file:/path, package:NAME or task:ID.",
        )


class Shell(Task, frozen=True, kw_only=True, tag="tasks.shell"):
    """Runs shell text (POSIX sh) on the node."""

    run: str
    """The text; it stops at the first command that fails (``set -e``). Values come as environment variables."""
    environment: Environment = {}
    """Environment variables of the command."""
    directory: str = "/"
    """The working directory."""

    def check(self) -> Iterable[Finding]:
        """As for all tasks, and the command."""
        yield from super().check()
        yield from check_command(self.run)


class Script(Task, frozen=True, kw_only=True, tag="tasks.script"):
    """Runs a file of the bundle on the node; its first line (``#!``) names the interpreter."""

    source: str
    """The script's path inside the plugin's folder, e.g. ``files/init.sh``."""
    arguments: Sequence[Value] = ()
    """Its arguments. Secrets are refused here: they would show in the process list."""
    environment: Environment = {}
    """Environment variables of the script."""
    directory: str = "/"
    """The working directory."""


class Upload(Task, frozen=True, kw_only=True, tag="tasks.upload"):
    """Puts a file of the bundle onto the node, byte for byte."""

    source: str
    """The file's path inside the plugin's folder."""
    path: str
    """Where it goes: an absolute path."""
    owner: str = "root"
    """User that owns it."""
    group: str = "root"
    """Group that owns it."""
    mode: str = "0644"
    """Permissions, octal."""

    def check(self) -> Iterable[Finding]:
        """As for all tasks, and the file's owner and mode."""
        yield from super().check()
        yield from check_owner(self.owner, self.group, self.mode)


class Service(Task, frozen=True, kw_only=True, tag="tasks.service"):
    """Brings a systemd unit into a state; its default id is ``service.NAME``."""

    name: str
    """The unit's name, e.g. ``chrony``."""
    id: str = ""
    """``service.NAME`` if empty."""
    phase: Anchor | None = "start"
    """As for all tasks; ``start`` by default."""
    state: Literal["started", "stopped"] = "started"
    """What it shall be after the task."""
    enabled: bool | None = True
    """Whether it starts with the machine; ``None`` leaves that alone."""
    restart_on: Sequence[str] = ()
    """Restarts when one of these changes: ``file:/etc/x``, ``package:NAME``, ``task:ID``."""
    reload: bool = False
    """Reload instead of restart."""
    ready: str | None = None
    """Shell text that exits 0 when the service works; after a start, restart or reload the task ends when it does, and fails
    when the time is up."""
    environment: Environment = {}
    """Environment variables of ``ready``."""

    def __post_init__(self) -> None:
        """Give the task its default id."""
        if not self.id:
            msgspec.structs.force_setattr(self, "id", f"service.{self.name}")

    def check(self) -> Iterable[Finding]:
        """As for all tasks, the unit's name, and triggers of ``restart_on``."""
        faults = list(check_unit(self.name))
        yield from faults
        # The id made of a wrong name is not a second fault.
        yield from (finding for finding in super().check() if finding.field != "id" or not faults)
        for index, trigger in enumerate(self.restart_on):
            yield from check_trigger(trigger, f"restart_on[{index}]")


class Reboot(Task, frozen=True, kw_only=True, tag="tasks.reboot"):
    """Reboots the node and waits until it answers again."""


class WaitFor(Task, frozen=True, kw_only=True, tag="tasks.wait_for"):
    """Waits until a TCP port answers or a file exists, seen from the node."""

    port: int | Expression | None = None
    """The TCP port: a number, or an expression that gives one."""
    host: Value = "127.0.0.1"
    """The host of the port."""
    file: str | None = None
    """An absolute path that must exist."""
    interval: float = 1.0
    """Seconds between two looks."""

    def check(self) -> Iterable[Finding]:
        """As for all tasks; one thing to wait for, and a port that is one."""
        yield from super().check()
        if (self.port is None) == (self.file is None):
            yield Finding(rule="T008", field="port", message="it waits for one thing.", remedy="Give either port or file.")
        if isinstance(self.port, int) and not 1 <= self.port <= MAX_PORT:
            yield Finding(
                rule="T007", field="port", message=f"{self.port} is not a port.", remedy="Give a number from 1 to 65535."
            )


class Packages(Task, frozen=True, kw_only=True, tag="tasks.packages"):
    """Installs or removes packages at a point of the graph that the plugin chooses."""

    packages: Sequence[str]
    """Package names of the node's distribution."""
    state: Literal["present", "absent"] = "present"
    """What they shall be after the task."""

    def check(self) -> Iterable[Finding]:
        """As for all tasks, and the packages' names."""
        yield from super().check()
        for index, name in enumerate(self.packages):
            yield from check_package(name, f"packages[{index}]")


class FileItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One path that a files task brings into a state."""

    path: str
    """An absolute path."""
    state: Literal["file", "directory", "absent"] = "file"
    """What it shall be."""
    content: Value = ""
    """The text of a file."""
    owner: str = "root"
    """User that owns it."""
    group: str = "root"
    """Group that owns it."""
    mode: str = ""
    """Permissions, octal; 0644 for files and 0755 for directories if empty."""


class Files(Task, frozen=True, kw_only=True, tag="tasks.files"):
    """Makes directories and small files, or removes them, at a point of the graph that the plugin chooses."""

    files: Sequence[FileItem]
    """The paths, in order."""

    def check(self) -> Iterable[Finding]:
        """As for all tasks, and each path's owner and mode."""
        yield from super().check()
        for index, item in enumerate(self.files):
            yield from check_owner(item.owner, item.group, item.mode or "0644", f"files[{index}].")


class Custom(Task, frozen=True, kw_only=True, tag="tasks.custom"):
    """A task of a kind that a plugin brings (see ``task_kinds``)."""

    kind: str
    """The kind: ``NAME`` of this plugin, or ``PLUGIN.NAME`` of another that is enabled beside it."""
    parameters: Mapping[str, Value] = {}
    """What the kind's program gets, as one JSON document on its standard input. Secrets may be among them: they are filled in at
    the last moment."""
    timeout: int = 0
    """Seconds for one attempt; 0: as the kind says."""

    def check(self) -> Iterable[Finding]:
        """As for all tasks, and the kind's name."""
        yield from (finding for finding in super().check() if self.timeout or finding.field != "timeout")
        plugin, dot, name = self.kind.rpartition(".")
        if dot and not NAME.fullmatch(plugin):
            yield Finding(
                rule="Q001",
                field="kind",
                message=f"{plugin!r} is not the name of a plugin.",
                remedy="Write NAME, or PLUGIN.NAME for a kind of another plugin.",
            )
        yield from check_kind(name, "kind")


POINT = ExtensionPoint(
    name="tasks",
    combines="ordered set",
    contributions=(Packages, Files, Service, Shell, Script, Upload, Reboot, WaitFor, Custom),
)
