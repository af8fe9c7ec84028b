# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An environment as a file: everything that makes it what it is, but no secret, no id and no history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from stoker.domain.settings import SECRET
from stoker.domain.snapshot import OverrideValue

FORMAT: Final = 1
GENERATED: Final = "$generated"
"""Stands in a file for a secret that the server makes."""
_MOST: Final = 10_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]


class FilePlugin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plugin of the environment."""

    version: str = ""
    """Which one; empty: the one that it has, or the server's default one."""
    settings: dict[str, object] = {}
    """What the operator set. A secret stands as ``{"$secret": NAME}``, one that the server makes as ``{"$generated": true}``."""


class FileNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A node of the environment; without an address it must be there already."""

    roles: list[Name] = []
    address: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    user: str | None = None
    sudo: bool | None = None
    credential: str | None = None
    """The name of a key that the server has."""
    jump: str | None = None
    transport: Literal["ssh", "simulated"] | None = None


class FileOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An operator's override."""

    file: Text
    section: Text = ""
    key: Text
    value: OverrideValue
    roles: list[Name] = msgspec.field(default_factory=lambda: ["*"])


class EnvironmentFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An environment as a file."""

    format: int
    """The format's version: 1."""
    stoker: str = ""
    """The version of Stoker that wrote it."""
    name: str
    release: str = ""
    """The release that it runs; one of the plugins brings it."""
    plugins: Annotated[dict[Name, FilePlugin], msgspec.Meta(max_length=_MOST)] = {}
    nodes: Annotated[dict[Name, FileNode], msgspec.Meta(max_length=_MOST)] = {}
    overrides: Annotated[list[FileOverride], msgspec.Meta(max_length=_MOST)] = []


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that two states of an environment say differently."""

    kind: Literal["add", "change", "remove"]
    place: str
    """E.g. ``plugins.ntp.settings.pools`` or ``nodes.web1.roles``."""
    before: object = None
    after: object = None


def differences(before: EnvironmentFile, after: EnvironmentFile) -> list[Change]:
    """What changes from one state to the other, by place; who wrote the files does not matter."""
    old, new = _flat(before), _flat(after)
    changes: list[Change] = []
    for place in sorted(old.keys() | new.keys()):
        if place not in old:
            changes.append(Change(kind="add", place=".".join(place), after=new[place]))
        elif place not in new:
            changes.append(Change(kind="remove", place=".".join(place), before=old[place]))
        elif old[place] != new[place]:
            changes.append(Change(kind="change", place=".".join(place), before=old[place], after=new[place]))
    return changes


def without_generated(value: object) -> object:
    """A settings document without what the server makes by itself, and without groups that held nothing else."""
    if not isinstance(value, dict):
        return [without_generated(item) for item in value] if isinstance(value, list) else value
    kept = {}
    for key, item in value.items():
        inner = without_generated(item)
        emptied = isinstance(item, dict) and bool(item) and inner == {}
        if not (isinstance(item, dict) and GENERATED in item) and not emptied:
            kept[key] = inner
    return kept


def in_words(value: object) -> str:
    """A value of a change for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get(SECRET), str):
        return f"(secret {value[SECRET]})"
    return msgspec.json.encode(value).decode()


def _flat(file: EnvironmentFile) -> dict[tuple[str, ...], object]:
    found: dict[tuple[str, ...], object] = {}
    if file.release:
        found["release",] = file.release
    for name, plugin in file.plugins.items():
        found["plugins", name] = plugin.version
        settings = without_generated(plugin.settings)
        if isinstance(settings, dict):
            found.update({("plugins", name, "settings", *path): value for path, value in _leaves(settings)})
    for name, node in file.nodes.items():
        found["nodes", name] = sorted(set(node.roles))
        for field in ("transport", "address", "port", "user", "sudo", "credential", "jump"):
            if (value := getattr(node, field)) is not None:
                found["nodes", name, field] = value
    for override in file.overrides:
        roles = () if "*" in override.roles else (f"({','.join(sorted(set(override.roles)))})",)
        found["overrides", override.file, override.section or "-", override.key, *roles] = override.value
    return found


def _leaves(document: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in document.items():
        if isinstance(value, dict) and SECRET not in value and value:
            yield from (((key, *path), leaf) for path, leaf in _leaves(value))
        else:
            yield (key,), value
