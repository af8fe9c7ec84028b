# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Every error of the control plane: who, what, where and the remedy, with the HTTP status that it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class StokerError(Exception):
    """The base of all errors of the control plane.

    Attributes:
        status: the HTTP status that the API answers with.
        kind: a stable word for programs, the last part of the problem's ``type``.
        detail: who, what and where.
        remedy: what to do about it.
        data: further fields of the problem document, e.g. ``findings``.
    """

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, remedy: str = "", **data: Any) -> None:  # noqa: ANN401  fields of a JSON document
        """Keep the parts; the message is detail and remedy."""
        self.detail = detail
        self.remedy = remedy
        self.data = data
        super().__init__(f"{detail} {remedy}".strip())


class InvalidInputError(StokerError, ValueError):
    """What was given does not fit; ``findings`` names each fault."""

    status = 422
    kind = "invalid-input"

    def __init__(self, detail: str, *, remedy: str = "", findings: Sequence[object] = (), **data: Any) -> None:  # noqa: ANN401
        """Add the findings to the data."""
        super().__init__(detail, remedy=remedy, findings=list(findings), **data)


class BadRequestError(StokerError, ValueError):
    """The request itself cannot be read: a parameter or a cursor is none of ours."""

    status = 400
    kind = "bad-request"


class NotFoundError(StokerError, LookupError):
    """There is no such thing."""

    status = 404
    kind = "not-found"


class ConflictError(StokerError):
    """It clashes with something that is there; nothing was changed."""

    status = 409
    kind = "conflict"

    def __init__(self, detail: str, *, remedy: str = "", findings: Sequence[object] = (), **data: Any) -> None:  # noqa: ANN401
        """Add the findings to the data."""
        super().__init__(detail, remedy=remedy, findings=list(findings), **data)


class DatabaseUnavailableError(StokerError):
    """The database is away, locked or full; what was asked for may work later."""

    status = 503
    kind = "database-unavailable"


class OutdatedEditError(StokerError):
    """What is to be changed is no longer as the caller saw it; nothing was changed."""

    status = 412
    kind = "outdated-edit"


class UnderWayError(StokerError):
    """The same request is being carried out; ``retry_after`` says when to ask again."""

    status = 409
    kind = "under-way"

    def __init__(self, detail: str, *, remedy: str = "", retry_after: int = 1, **data: Any) -> None:  # noqa: ANN401
        """Keep the seconds, which are also the header ``Retry-After``."""
        self.retry_after = retry_after
        super().__init__(detail, remedy=remedy, retry_after=retry_after, **data)


class SafeModeError(StokerError):
    """The server runs in safe mode: no code of a plugin runs."""

    status = 503
    kind = "safe-mode"


class UnauthorizedError(StokerError, PermissionError):
    """Nobody is signed in, or the token is wrong."""

    status = 401
    kind = "unauthorized"


class ForbiddenError(StokerError, PermissionError):
    """The caller may not do this, or the Host is not configured."""

    status = 403
    kind = "forbidden"


class TooManyAttemptsError(StokerError, PermissionError):
    """Too much of this from there; ``retry_after`` says when it may be tried again."""

    status = 429
    kind = "too-many-attempts"

    def __init__(self, detail: str, *, remedy: str = "", retry_after: int, **data: Any) -> None:  # noqa: ANN401
        """Keep the seconds, which are also the header ``Retry-After``."""
        self.retry_after = retry_after
        super().__init__(detail, remedy=remedy, retry_after=retry_after, **data)


class PlanningError(StokerError):
    """A plan cannot be made; ``findings`` names plugin, contribution and file."""

    status = 422
    kind = "planning-failed"

    def __init__(self, detail: str, *, remedy: str = "", findings: Sequence[object] = (), **data: Any) -> None:  # noqa: ANN401
        """Add the findings to the data."""
        super().__init__(detail, remedy=remedy, findings=list(findings), **data)


class UnfitSecretError(StokerError, ValueError):
    """A secret's value cannot stand where it is to be written."""

    status = 422
    kind = "unfit-secret"


class RepositoryError(StokerError):
    """A repository of packages cannot be made."""

    kind = "repository"


class MissingProgramError(RepositoryError):
    """A program is not on the server's machine; the remedy names the system package."""

    status = 503
    kind = "missing-program"


class NodeError(StokerError):
    """A node cannot be reached or refused something."""

    status = 502
    kind = "node"

    def __init__(self, node: str, detail: str, *, remedy: str = "", **data: Any) -> None:  # noqa: ANN401
        """Name the node first."""
        self.node = node
        super().__init__(f"node {node}: {detail}", remedy=remedy, node=node, **data)


class NodeUnreachableError(NodeError, ConnectionError):
    """No connection, or it was lost and did not come back in time."""

    kind = "node-unreachable"


class HostKeyChangedError(NodeError, ConnectionError):
    """The node shows another host key than before."""

    kind = "host-key-changed"


class NodeAuthenticationError(NodeError, PermissionError):
    """The node refuses our key or sudo."""

    kind = "node-authentication"


class AttemptExistsError(NodeError):
    """The spool on the node holds this attempt already: it was claimed before."""

    kind = "attempt-exists"


class NotStartedError(NodeError):
    """An attempt was not claimed on the node: nothing of it was started, and it may be started later under the same id."""

    kind = "not-started"


class WorkerError(StokerError):
    """A plugin's worker gave no result.

    Attributes:
        reason: ``raised``, ``shape`` or ``missing`` (of the function); ``deadline``, ``memory``, ``died`` or ``protocol`` (of
            the process); ``interrupted`` (the process was ended for what another call did); ``start`` (it did not start);
            ``busy`` (no place for it); ``unconfined`` (no sandbox works here, and nobody allowed to go without).
        traceback: where in the plugin's code; empty if not known.
    """

    status = 502
    kind = "plugin-failed"

    def __init__(self, plugin: str, version: str, reason: str, detail: str, *, remedy: str = "", traceback: str = "") -> None:
        """Name the plugin first."""
        self.plugin = plugin
        self.version = version
        self.reason = reason
        self.traceback = traceback
        remedy = remedy or f"'stoker plugins logs {plugin}' shows what it wrote; tell whoever made the plugin."
        super().__init__(f"plugin {plugin} {version}: {detail}", remedy=remedy, plugin=plugin, version=version, reason=reason)


class HookFailedError(StokerError):
    """A plugin's hook failed.

    Attributes:
        reason: as in :class:`WorkerError`.
        traceback: where in the plugin's code; empty if not known.
    """

    status = 502
    kind = "hook-failed"

    def __init__(self, plugin: str, hook: str, reason: str, detail: str, *, remedy: str = "", traceback: str = "") -> None:
        """Name plugin and hook first."""
        self.plugin = plugin
        self.hook = hook
        self.reason = reason
        self.traceback = traceback
        super().__init__(f"plugin {plugin}: {hook}: {detail}", remedy=remedy, plugin=plugin, hook=hook, reason=reason)


class ConfigurationError(StokerError, ValueError):
    """The server's own configuration does not fit."""

    kind = "configuration"


class ServerUnreachableError(StokerError, ConnectionError):
    """The client gets no answer from the server."""

    status = 503
    kind = "server-unreachable"
