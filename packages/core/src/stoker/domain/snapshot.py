# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Snapshots: everything that a plan is a function of."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from stoker.domain.node import Facts, Observation
from stoker.domain.repository import RepositoryAccess


class Computed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one ``before_plan`` hook gave for this snapshot, once and for all."""

    hook: str
    """Its name."""
    digest: str = ""
    """SHA-256 of the contributions."""
    contributions: list[dict[str, object]] = []
    """As in the manifest, checked like those."""
    missing: str = ""
    """Why it gave nothing, where the plan is made without it."""


class PluginInput(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin version as planning sees it."""

    name: str
    version: str
    digest: str
    """SHA-256 of the bundle."""
    contributions: list[dict[str, object]]
    """As in the manifest (``point`` names the class); read with ``stoker_sdk.manifest``."""
    settings: dict[str, object] = {}
    """Complete settings: defaults filled in; a secret stands as ``{"$secret": PATH, "version": N}``."""
    public: dict[str, object] = {}
    """What anybody may know of the plugin's generated pairs, in the shape of its settings."""
    templates: dict[str, str] = {}
    """Templates of the bundle that contributions name: path -> text."""
    blobs: dict[str, str] = {}
    """Other files of the bundle that contributions name: path -> SHA-256."""
    requires: list[str] = []
    """Plugins that must be enabled beside it, e.g. ``base>=1.2``."""
    conflicts: list[str] = []
    """Plugins that must not be enabled beside it."""
    releases: list[str] = []
    """Releases that it works with, e.g. ``web-cluster>=1``; empty: it needs none."""
    operating_systems: list[str] = []
    """Operating systems that its nodes may have, e.g. ``debian>=12``; empty: all."""
    removing: bool = False
    """Disabled, but not yet taken from the nodes: the plan undoes it."""
    computed: list[Computed] = []
    """What its ``before_plan`` hooks gave, in the manifest's order."""


class AppliedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A path that Stoker took over: a file or directory that it made, or one that it took away."""

    sha256: str
    plugins: list[str]
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    keyed_hash: str = ""
    """For files with secrets: HMAC of the final bytes instead of a plain hash."""
    gone: bool = False
    """Nothing shall be there: a task took away what was."""
    original: bool | None = None
    """Whether something was there before Stoker came; ``None`` if that cannot be told: a package may have brought it."""


class AppliedPackage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A package that Stoker was asked to have."""

    plugins: list[str]
    brought: bool = True
    """Whether Stoker installed it; what was there before is never removed."""
    version: str = ""
    """The version that it was asked to have; empty: decided on the node."""


class Applied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What deployments did on a node up to now."""

    files: dict[str, AppliedFile] = {}
    packages: dict[str, AppliedPackage] = {}
    tasks: dict[str, str] = {}
    """Task name -> hash of its inputs when it last succeeded."""


class NodeInput(msgspec.Struct, frozen=True, kw_only=True):
    """One node as planning sees it."""

    id: str
    name: str
    address: str
    roles: list[str]
    facts: Facts
    observed: Observation
    applied: Applied = Applied()
    removing: bool = False
    """The node is being taken out of the environment."""
    left_out: str = ""
    """Why it could not be looked at; such a node is not planned."""


OverrideValue: TypeAlias = str | int | float | bool | list[str | int | float | bool] | None


class OverrideInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value with which the operator beats what plugins give to a file."""

    path: str
    section: str = ""
    key: str
    value: OverrideValue = None
    """A scalar or a list of scalars; ``None`` leaves the option out."""
    roles: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """The roles whose nodes get it."""
    by: str = ""
    """Who gave it."""


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of an environment: what is not named is left out; an empty list leaves nothing out."""

    nodes: list[str] = []
    """Names of nodes."""
    roles: list[str] = []
    """Roles: nodes with one of them."""
    tasks: list[str] = []
    """Tasks as ``plugin.task``."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole input of a plan; two equal snapshots give two equal plans, byte for byte."""

    environment_id: str
    environment_name: str
    plugins: list[PluginInput]
    """Ordered by name."""
    nodes: list[NodeInput]
    """Ordered by name."""
    marker: str
    """An unguessable text that planning puts around secret places; the same for one environment."""
    roles: dict[str, int | str] = {}
    """Tolerance per role as the operator set it; the plugins' roles give the defaults."""
    overrides: list[OverrideInput] = []
    """The operator's, ordered by place."""
    primaries: dict[str, str] = {}
    """Selector (``primary(ROLE)``, ``once``) -> id of the node that earlier deployments chose for it."""
    selection: Selection | None = None
    """The part that the plan is about; ``None`` for the whole."""
    secret_hashes: dict[str, str] = {}
    """``NODE PATH`` -> keyed hash of the file's bytes found on the node, for files with secrets."""
    repository: RepositoryAccess | None = None
    """How nodes use the package repositories of plugins; ``None`` if no plugin carries one."""
    format: Literal[1] = 1
