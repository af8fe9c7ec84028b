# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about plugins' code: hooks in quarantine, and events that are still to be told."""

from __future__ import annotations

from typing import TypedDict

from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q


class QuarantineDocument(TypedDict, total=False):
    """A hook that failed too often and is skipped for now."""

    plugin: str
    version: str
    hook: str
    environment: str
    failures: int
    since: float
    next_try: float
    reason: str
    traceback: str


class SerializerHookDocument(TypedDict, total=False):
    """A hook that adds data to objects of an environment."""

    plugin: str
    name: str
    target: str
    state: str
    published_at: float | None
    failures: int
    reason: str
    next_try: float | None
    time_to_live: float


class PluginEventDocument(TypedDict, total=False):
    """An event that a plugin is still to be told."""

    id: int
    event: str
    at: float
    plugin: str
    environment: str
    object_id: str
    object: str
    attempts: int
    next_try: float
    reason: str


class CollectionDocument(TypedDict, total=False):
    """A collection of a plugin's records in one place."""

    plugin: str
    collection: str
    environment: str
    schema_version: int
    documents: int
    kept_schema_version: int | None
    kept_documents: int
    migrating: bool


class RecordDocument(TypedDict, total=False):
    """One record."""

    key: str
    value: object
    revision: int
    changed_at: float


class PluginWorkerDocument(TypedDict, total=False):
    """A process in which a plugin's code runs."""

    plugin: str
    version: str
    confined: bool
    application: str
    memory_bytes: int
    cpu_seconds: float


class PluginLineDocument(TypedDict, total=False):
    """A line that a plugin's code wrote."""

    version: str
    at: float
    text: str


class PluginCodeRequests(Requests):
    """What can be asked about the code of plugins."""

    def serializer_hooks(self, environment: str) -> list[SerializerHookDocument]:
        """Hooks that add data to objects of an environment, and how fresh the data are."""
        return self._many(SerializerHookDocument, f"/api/environments/{_q(environment)}/serializer-hooks")

    def quarantine(self, plugin: str = "", environment: str = "") -> list[QuarantineDocument]:
        """Hooks in quarantine."""
        query = {"plugin": plugin or None, "environment": environment or None}
        return self._many(QuarantineDocument, "/api/quarantine", query=query)

    def rearm(self, plugin: str, hook: str = "", environment: str = "") -> list[QuarantineDocument]:
        """Call a plugin's hooks again as if they had never failed; those that were in quarantine."""
        query = {"hook": hook or None, "environment": environment or None}
        found = self._one(dict[str, list[QuarantineDocument]], "POST", f"/api/quarantine/{_q(plugin)}/rearm", query=query)
        return found["items"]

    def plugin_events(self, plugin: str = "", environment: str = "") -> list[PluginEventDocument]:
        """Events that plugins are still to be told, the oldest first."""
        query = {"plugin": plugin or None, "environment": environment or None}
        return self._many(PluginEventDocument, "/api/plugin-events", query=query)

    def record_collections(self, plugin: str) -> list[CollectionDocument]:
        """A plugin's collections of records, in all environments."""
        return self._many(CollectionDocument, f"/api/plugin-records/{_q(plugin)}")

    def plugin_records(self, plugin: str, collection: str, environment: str = "") -> list[RecordDocument]:
        """The records of a collection, by key; without an environment, of the whole server."""
        query = {"environment": environment or None}
        return self._many(RecordDocument, f"/api/plugin-records/{_q(plugin)}/{_q(collection)}", query=query)

    def purge_kept_records(self, plugin: str, collection: str, environment: str = "") -> CollectionDocument:
        """Delete the copy that is kept from before the last migration."""
        path = f"/api/plugin-records/{_q(plugin)}/{_q(collection)}/kept"
        return self._one(CollectionDocument, "DELETE", path, query={"environment": environment or None})

    def plugin_workers(self) -> list[PluginWorkerDocument]:
        """Processes in which plugins' code runs now."""
        return self._many(PluginWorkerDocument, "/api/plugin-workers")

    def plugin_log(self, plugin: str) -> list[PluginLineDocument]:
        """What a plugin's code wrote lately."""
        return self._many(PluginLineDocument, f"/api/plugin-logs/{_q(plugin)}")
