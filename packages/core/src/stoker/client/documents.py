# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of the API as a client reads them; a server may send further fields."""

from __future__ import annotations

from typing import TypeAlias, TypedDict

Json: TypeAlias = "dict[str, object]"


class FindingDocument(TypedDict, total=False):
    """One fault that a check found."""

    rule: str
    message: str
    remedy: str
    severity: str
    plugin: str
    contribution: str
    field: str
    file: str
    line: int


class RepositoryPackageDocument(TypedDict, total=False):
    """One package of a plugin's own repository."""

    name: str
    version: str
    architecture: str
    file: str
    sha256: str


class RepositoryDocument(TypedDict, total=False):
    """One package repository of an installed plugin version."""

    plugin: str
    version: str
    os_family: str
    address: str
    packages: list[RepositoryPackageDocument]


class RepositoryKeyDocument(TypedDict, total=False):
    """The key that signs package repositories."""

    fingerprint: str
    public_key: str
    created_at: float


class PluginDocument(TypedDict, total=False):
    """One installed plugin version."""

    name: str
    version: str
    title: str
    description: str
    digest: str
    installed_at: float
    requires_stoker: str
    requires_plugins: list[str]
    releases: list[str]
    operating_systems: list[str]
    contributions: list[dict[str, object]]
    environments: list[str]
    manifest: dict[str, object]
    settings_schema: dict[str, object]
    repository_packages: list[RepositoryPackageDocument]
    default: bool
    denied: str
    outbound_network: str
    network_agreed: bool
    openapi_problem: str


class ServiceDocument(TypedDict, total=False):
    """A service of a release."""

    name: str
    title: str
    roles: list[str]
    packages: list[str]
    units: list[str]
    files: dict[str, str]


class ReleaseDocument(TypedDict, total=False):
    """A release that an installed plugin brings."""

    name: str
    product: str
    version: str
    title: str
    description: str
    operating_systems: list[str]
    plugin: str
    plugin_versions: list[str]
    environments: list[str]
    roles: list[str]
    services: list[ServiceDocument]


class EnabledPluginDocument(TypedDict, total=False):
    """One plugin of an environment."""

    name: str
    version: str
    state: str
    settings: dict[str, object]
    problems: list[FindingDocument]
    warnings: list[FindingDocument]
    settings_schema: dict[str, object] | None
    effective_settings: dict[str, object]
    public: dict[str, object]


class EnvironmentDocument(TypedDict, total=False):
    """One environment."""

    id: str
    name: str
    created_at: float
    revision: int
    release: str
    plugins: list[EnabledPluginDocument]
    nodes: int
    pending: str
    ext: dict[str, dict[str, object]]
    ext_state: dict[str, str]


class OverrideDocument(TypedDict, total=False):
    """One value with which the operator beats what plugins give to a file."""

    path: str
    section: str
    key: str
    value: object
    roles: list[str]
    by: str
    at: float


class RoleDocument(TypedDict, total=False):
    """One role of an environment."""

    name: str
    title: str
    description: str
    plugin: str
    min: int
    max: int | None
    recommended: int | None
    nodes: list[str]


class NodeDocument(TypedDict, total=False):
    """One node; its facts are those of ``stoker.domain.node.Facts``."""

    id: str
    name: str
    transport: str
    address: str
    port: int
    user: str
    sudo: bool
    credential: str | None
    jump: str | None
    environment: str | None
    roles: list[str]
    status: str
    status_reason: str
    host_key: str
    facts: dict[str, object]
    facts_at: float | None
    removing: bool
    ext: dict[str, dict[str, object]]
    """What plugins add: plugin -> hook -> data."""
    ext_state: dict[str, str]
    """``PLUGIN.HOOK`` -> ``pending`` or ``stale``."""
    warning: dict[str, str]
    """When it was added: ``detail`` and ``remedy`` of why it could not be reached."""


class CredentialDocument(TypedDict, total=False):
    """One key for reaching nodes; the private half never leaves the server."""

    id: str
    name: str
    public_key: str
    created_at: float


class SelectionDocument(TypedDict, total=False):
    """The part of an environment that a plan is about."""

    nodes: list[str]
    roles: list[str]
    tasks: list[str]


class ComputedDocument(TypedDict, total=False):
    """What the code of a plugin computed for a plan."""

    plugin: str
    version: str
    hook: str
    digest: str
    contributions: list[str]
    missing: str


class PlanDocument(TypedDict, total=False):
    """The summary of a plan."""

    id: str
    environment: str
    environment_id: str
    digest: str
    created_at: float
    counts: dict[str, int]
    warnings: list[str]
    primaries: dict[str, str]
    selection: SelectionDocument | None
    computed: list[ComputedDocument]


class LeftOutDocument(TypedDict, total=False):
    """A task that a plan of a part leaves out."""

    node: str
    task: str
    reason: str


class PlanFileDocument(TypedDict, total=False):
    """One managed file on one node, with its diff."""

    node: str
    path: str
    status: str
    owner: str
    group: str
    mode: str
    note: str
    task: str
    plugins: list[str]
    diff: str


class PlanPackageDocument(TypedDict, total=False):
    """One package on one node."""

    node: str
    name: str
    status: str
    installed: str
    version: str
    constraint: str
    plugins: list[str]


class PlanTaskDocument(TypedDict, total=False):
    """One task on one node that a deployment of the plan runs."""

    node: str
    task: str
    plugin: str
    kind: str
    title: str
    reason: str
    text: str
    guard: str
    idempotent: bool
    timeout: int
    not_simulated: bool
    patched_by: list[str]


class PlanPatchDocument(TypedDict, total=False):
    """A field of a task that other plugins than its own changed."""

    task: str
    field: str
    value: str
    plugins: list[str]
    origins: list[OriginDocument]


class DryRunDocument(TypedDict, total=False):
    """What one task would change on one node."""

    node: str
    task: str
    kind: str
    result: str
    diff: str
    output: str
    exit_status: int


class DryRunsDocument(TypedDict):
    """The answers of all nodes."""

    items: list[DryRunDocument]


class OriginDocument(TypedDict, total=False):
    """Where a line came from."""

    plugin: str
    version: str
    contribution: str
    settings: list[str]
    level: str
    expression: str
    by: str


class ExplainDocument(TypedDict, total=False):
    """One line of one planned file, and its origins."""

    plan: str
    node: str
    path: str
    line: int
    text: str
    origins: list[OriginDocument]


class DeploymentNodeDocument(TypedDict, total=False):
    """How far a deployment is on one node."""

    node: str
    state: str
    task: str
    finished: int
    total: int
    reason: str


class FailureDocument(TypedDict, total=False):
    """A task that failed for good on a node."""

    node: str
    task: str
    attempt: int
    command: str
    exit_status: int
    output: str


class DeploymentDocument(TypedDict, total=False):
    """One deployment."""

    id: str
    environment: str
    environment_id: str
    plan: str
    state: str
    reason: str
    created_at: float
    finished_at: float | None
    retry_of: str | None
    counts: dict[str, int]
    nodes: list[DeploymentNodeDocument]
    ext: dict[str, dict[str, object]]
    ext_state: dict[str, str]
    unknowns: list[dict[str, object]]
    failures: list[FailureDocument]


class AttemptDocument(TypedDict, total=False):
    """One try of one task on one node."""

    node: str
    task: str
    attempt: int
    state: str
    exit_status: int
    output: str
    changed: bool
    simulated: bool
    command: str
    started_at: float
    finished_at: float


class EventDocument(TypedDict, total=False):
    """One event of a deployment; ``kind`` says which further fields there are."""

    id: int
    kind: str
    node: str
    task: str
    attempt: int
    at: float
    state: str
    reason: str
    exit_status: int
    output: str
    changed: bool
    simulated: bool
    again_in: float
    command: str
    message: str
    started_at: float
    finished_at: float


class CheckDocument(TypedDict, total=False):
    """The result of one health check on one node."""

    node: str
    check: str
    title: str
    ok: bool
    output: str
    exit_status: int


FINAL_STATES = frozenset({"ready", "degraded", "failed", "stopped"})
"""States in which a deployment has ended."""


class SessionDocument(TypedDict, total=False):
    """Who one is."""

    kind: str
    user: str
    access: str
    environments: list[str] | None
    token: str
    csrf: str
    expires_at: float | None


class LinkDocument(TypedDict, total=False):
    """A link that signs a browser in once."""

    path: str
    expires_at: float


class UserDocument(TypedDict, total=False):
    """One user."""

    id: str
    name: str
    access: str
    disabled: bool
    created_at: float
    tokens: int


class TokenDocument(TypedDict, total=False):
    """One token; ``token``, the secret, only in the answer that makes it."""

    id: str
    name: str
    user: str
    access: str
    environments: list[str] | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    token: str


class AuditDocument(TypedDict, total=False):
    """One change."""

    id: int
    at: float
    actor: str
    actor_kind: str
    token: str
    address: str
    request: str
    action: str
    kind: str
    object_id: str
    object: str
    environment: str
    before: object
    after: object


class AuditPage(TypedDict, total=False):
    """A part of the audit."""

    items: list[AuditDocument]
    next: str
