# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about the versions of plugins: which count, which are denied, and how environments change from one to another."""

from __future__ import annotations

from typing import Final, TypedDict

from stoker.client.documents import FindingDocument
from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q

UPGRADE_SECONDS: Final = 3600
"""How long is waited for records to be migrated."""


class DefaultDocument(TypedDict, total=False):
    """The server's default version of a plugin."""

    name: str
    version: str
    chosen: bool


class DenialDocument(TypedDict, total=False):
    """Plugin versions that are denied."""

    name: str
    versions: str
    reason: str
    by: str
    at: float
    built_in: bool
    installed: list[str]


class PluginProblemDocument(TypedDict, total=False):
    """Something that is wrong with a plugin version."""

    plugin: str
    version: str
    environment: str
    severity: str
    problem: str
    message: str
    remedy: str


class LedgerItemDocument(TypedDict, total=False):
    """Something that goes with a plugin version."""

    kind: str
    name: str
    count: int
    bytes: int


class LedgerDocument(TypedDict, total=False):
    """Everything that goes with a plugin version."""

    plugin: str
    version: str
    last: bool
    environments: list[str]
    items: list[LedgerItemDocument]
    documents: dict[str, int]
    staying: dict[str, str]


class ContributionChangeDocument(TypedDict, total=False):
    """A contribution that two versions of a plugin do not have alike."""

    kind: str
    point: str
    label: str
    fields: list[str]


class SettingChangeDocument(TypedDict, total=False):
    """A setting that is not what it was."""

    kind: str
    setting: str
    before: object
    after: object
    reason: str


class RecordFailureDocument(TypedDict, total=False):
    """A record that cannot be migrated."""

    key: str
    step: str
    reason: str


class RecordMigrationDocument(TypedDict, total=False):
    """What becomes of a collection of records."""

    collection: str
    scope: str
    from_version: int
    to_version: int
    state: str
    documents: int
    dropped: int
    late: int
    failures: list[RecordFailureDocument]


class RecordRollbackDocument(TypedDict, total=False):
    """What going back does to a collection of records."""

    collection: str
    from_version: int
    to_version: int
    kept: bool
    lost: int
    written: list[str]
    deleted: list[str]


class UpgradeDocument(TypedDict, total=False):
    """What another version of a plugin changes in an environment."""

    environment: str
    plugin: str
    before: str
    after: str
    dry_run: bool
    contributions: list[ContributionChangeDocument]
    settings: list[SettingChangeDocument]
    problems: list[FindingDocument]
    records: list[RecordMigrationDocument]
    records_back: list[RecordRollbackDocument]


class PluginLifecycleRequests(Requests):
    """Requests about the versions of plugins."""

    def default_versions(self) -> list[DefaultDocument]:
        """The server's default version of every installed plugin."""
        return self._many(DefaultDocument, "/api/plugin-defaults")

    def choose_default(self, name: str, version: str) -> DefaultDocument:
        """Choose the server's default version of a plugin."""
        return self._one(DefaultDocument, "PUT", f"/api/plugin-defaults/{_q(name)}", body={"version": version})

    def follow_newest(self, name: str) -> DefaultDocument:
        """Let the newest version be the default again."""
        return self._one(DefaultDocument, "DELETE", f"/api/plugin-defaults/{_q(name)}")

    def denials(self) -> list[DenialDocument]:
        """Plugin versions that are denied."""
        return self._many(DenialDocument, "/api/plugin-denials")

    def deny_plugin(self, name: str, versions: str, reason: str) -> DenialDocument:
        """Deny versions of a plugin."""
        body = {"name": name, "versions": versions, "reason": reason}
        return self._one(DenialDocument, "POST", "/api/plugin-denials", body=body, timeout=60)

    def allow_plugin(self, name: str, versions: str) -> None:
        """Take a denial back."""
        self._send("DELETE", f"/api/plugin-denials/{_q(name)}", query={"versions": versions})

    def diagnose_plugins(self, name: str = "") -> list[PluginProblemDocument]:
        """What is wrong with installed plugins, or with one."""
        return self._many(PluginProblemDocument, "/api/plugin-diagnosis", {"name": name or None})

    def plugin_ledger(self, name: str, version: str) -> LedgerDocument:
        """Everything that uninstalling a version would take away."""
        return self._one(LedgerDocument, "GET", f"/api/plugin-versions/{_q(name)}/{_q(version)}/ledger", timeout=60)

    def uninstall_plugin(self, name: str, version: str, *, delete_records: bool = False) -> None:
        """Remove a version that no environment uses; ``delete_records``: its records go with the last version."""
        query = {"delete_records": delete_records or None}
        self._send("DELETE", f"/api/plugin-versions/{_q(name)}/{_q(version)}", query=query, timeout=120)

    def upgrade_plugin(
        self, environment: str, plugin: str, version: str = "", *, drop_settings: bool = False, dry_run: bool = False
    ) -> UpgradeDocument:
        """Give an environment another version of a plugin; the server's default one if none is named."""
        body = {"plugin": plugin, "version": version, "drop_settings": drop_settings, "dry_run": dry_run}
        path = f"/api/environments/{_q(environment)}/plugin-upgrades"
        return self._one(UpgradeDocument, "POST", path, body=body, timeout=UPGRADE_SECONDS)

    def roll_plugin_back(
        self, environment: str, plugin: str, *, discard_records: bool = False, dry_run: bool = False
    ) -> UpgradeDocument:
        """Go back to the version of a plugin that an environment had before; ``discard_records``: lose what was written since."""
        body = {"plugin": plugin, "discard_records": discard_records, "dry_run": dry_run}
        path = f"/api/environments/{_q(environment)}/plugin-rollbacks"
        return self._one(UpgradeDocument, "POST", path, body=body, timeout=UPGRADE_SECONDS)
