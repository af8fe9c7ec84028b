# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about what plugins let people do: permissions, actions and their jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q

WAITING: Final = frozenset({"queued", "running"})
"""States of a job that has not ended."""


class PermissionDocument(TypedDict):
    """A permission of one plugin version."""

    name: str
    plugin: str
    version: str
    title: str
    access: str
    granted: bool
    environments: list[str] | None


class ActionDocument(TypedDict):
    """An action that the caller may start."""

    plugin: str
    version: str
    name: str
    title: str
    target: str
    environment: str
    form: dict[str, object]
    confirm: str
    permission: str
    restartable: bool
    deadline: float


class JobTargetDocument(TypedDict):
    """What a job was started on."""

    kind: str
    id: str
    name: str


class JobDocument(TypedDict):
    """One run of an action."""

    id: str
    plugin: str
    version: str
    action: str
    title: str
    target: JobTargetDocument
    environment: str
    form: dict[str, object]
    state: str
    progress: float
    message: str
    result: object
    error: str
    traceback: str
    actor: str
    restartable: bool
    cancelled: bool
    created_at: float
    started_at: float | None
    finished_at: float | None


class LogLineDocument(TypedDict):
    """One line that a job logged."""

    id: int
    at: float
    line: str


class JobLogDocument(TypedDict):
    """A part of what a job logged."""

    items: list[LogLineDocument]
    last: int
    ended: bool


class ActionRequests(Requests):
    """Requests about permissions, actions and jobs."""

    def permissions(self, plugin: str = "") -> list[PermissionDocument]:
        """The permissions that installed plugins bring."""
        return self._many(PermissionDocument, "/api/permissions", {"plugin": plugin})

    def actions(self, *, environment: str = "", plugin: str = "") -> list[ActionDocument]:
        """The actions that the caller may start."""
        return self._many(ActionDocument, "/api/actions", {"environment": environment, "plugin": plugin})

    def start_action(
        self, plugin: str, action: str, *, environment: str = "", node: str = "", form: Mapping[str, object] | None = None
    ) -> JobDocument:
        """Start an action on the server, or in an environment; it becomes a job."""
        body: dict[str, object] = {"form": dict(form or {})}
        if not environment:
            return self._one(JobDocument, "POST", f"/api/actions/{_q(plugin)}/{_q(action)}", body=body)
        path = f"/api/environments/{_q(environment)}/actions/{_q(plugin)}/{_q(action)}"
        return self._one(JobDocument, "POST", path, body={**body, "node": node})

    def jobs(self, *, plugin: str = "", action: str = "", environment: str = "", states: Sequence[str] = ()) -> list[JobDocument]:
        """Jobs, newest first."""
        wanted = {"plugin": plugin, "action": action, "environment": environment, "state": list(states)}
        return self._many(JobDocument, "/api/jobs", wanted)

    def job(self, job: str) -> JobDocument:
        """One job."""
        return self._one(JobDocument, "GET", f"/api/jobs/{_q(job)}")

    def job_log(self, job: str, after: int = 0) -> JobLogDocument:
        """What a job logged after a line, as far as one answer has it."""
        return self._one(JobLogDocument, "GET", f"/api/jobs/{_q(job)}/log", query={"after": after})

    def cancel_job(self, job: str) -> JobDocument:
        """Let a job end."""
        return self._one(JobDocument, "POST", f"/api/jobs/{_q(job)}/cancel")
