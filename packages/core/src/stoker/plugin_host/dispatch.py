# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Dispatch: the one place from which hooks are called, and the one that catches what a plugin's code does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from stoker_sdk.context.values import Caller, Environment
from stoker_sdk.worker.protocol import Call, CallContext

from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.errors import HookFailedError, WorkerError
from stoker.plugin_host.back import BackChannel, Scope
from stoker.plugin_host.quarantine import Guarded, Quarantine
from stoker.plugin_host.workers import Workers

CallEnvironment: TypeAlias = Environment
"""The environment that a call is about."""
BACKGROUND: Final = Actor(kind="system", name="stoker", access=AccessLevel.VIEWER)
"""Who work in the background is done for, as far as a plugin's code is concerned."""
BACKGROUND_CALLER: Final = Caller(kind="system", name="stoker", access="viewer")
"""The same, as the plugin's code sees it."""
_AGAIN: Final = frozenset({"interrupted"})
_BLAMELESS: Final = frozenset({"interrupted", "busy", "unconfined"})
"""What says nothing of the hook."""
Accept: TypeAlias = Callable[[bytes], str]
"""What is wrong with a result, beyond its shape; empty if nothing."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """One function of a plugin version."""

    plugin: str
    version: str
    point: str
    """The extension point."""
    name: str
    """The contribution's name."""
    function: str
    """``module:name``."""
    deadline: float
    """Seconds."""
    required: bool = False
    """Whether its failure stops the operation that it is part of."""

    @property
    def label(self) -> str:
        """``POINT NAME``."""
        return f"{self.point} {self.name}".strip()


class Dispatcher:
    """Calls hooks."""

    def __init__(self, workers: Workers, back: BackChannel, quarantine: Quarantine) -> None:
        """Take the workers, the way back, and who knows which hooks failed too often."""
        self._workers = workers
        self._back = back
        self._quarantine = quarantine

    async def call(
        self,
        hook: Hook,
        arguments: Mapping[str, bytes],
        *,
        environment: CallEnvironment | None,
        caller: Caller,
        settings: Mapping[str, object],
        api_actor: Actor | None = None,
        job_id: str = "",
        accept: Accept | None = None,
    ) -> bytes:
        """Call a hook; gives its result as JSON, of which the worker has checked that it has the contract's shape.

        Args:
            hook: what is called.
            arguments: by the contract's names, each as JSON.
            environment: what it is about; ``None``: the whole server.
            caller: who it is called for.
            settings: the plugin's effective settings, secrets as references.
            api_actor: who its code is towards the server's API and records; without one, a viewer in the background.
            job_id: the job that it works on.
            accept: looks at the result: one that does not fit is the hook's failure.

        Raises:
            HookFailedError: it gave nothing, or what does not fit.
            HookQuarantinedError: it failed too often, and was not called.
        """
        about = environment.id if environment is not None else ""
        ticket = self._quarantine.enter(Guarded(hook.plugin, hook.version, hook.point, hook.name, about), hook.deadline)
        try:
            answer = await self._tried(hook, arguments, environment, caller, settings, api_actor or BACKGROUND, job_id)
        except WorkerError as error:
            if error.reason in _BLAMELESS:
                self._quarantine.abandoned(ticket)
            else:
                await self._quarantine.failed(ticket, error.detail, error.traceback, settings=settings)
            raise _failed(hook, error) from error
        except BaseException:
            self._quarantine.abandoned(ticket)
            raise
        if accept is not None and (wrong := accept(answer)):
            await self._quarantine.failed(ticket, wrong, settings=settings)
            raise HookFailedError(hook.plugin, hook.label, "shape", wrong, remedy="Tell whoever made the plugin.")
        await self._quarantine.succeeded(ticket)
        return answer

    async def _tried(
        self,
        hook: Hook,
        arguments: Mapping[str, bytes],
        environment: CallEnvironment | None,
        caller: Caller,
        settings: Mapping[str, object],
        api_actor: Actor,
        job_id: str,
    ) -> bytes:
        try:
            return await self._once(hook, arguments, environment, caller, settings, api_actor, job_id)
        except WorkerError as error:
            if error.reason not in _AGAIN or hook.required or job_id:
                raise
        # Another call ended the process in which this one was.
        return await self._once(hook, arguments, environment, caller, settings, api_actor, job_id)

    async def _once(
        self,
        hook: Hook,
        arguments: Mapping[str, bytes],
        environment: CallEnvironment | None,
        caller: Caller,
        settings: Mapping[str, object],
        api_actor: Actor,
        job_id: str,
    ) -> bytes:
        scope = Scope(
            plugin=hook.plugin,
            version=hook.version,
            environment_id=environment.id if environment is not None else None,
            actor=api_actor,
            permissions=caller.permissions,
            job_id=job_id,
        )
        async with self._workers.using(hook.plugin, hook.version) as worker:
            ends_at = time.time() + hook.deadline + 1
            with self._back.open(msgspec.structs.replace(scope, ends_at=ends_at)) as token:
                about = CallContext(caller=caller, token=token, environment=environment, settings=dict(settings))
                call = Call(
                    point=hook.point,
                    name=hook.name,
                    function=hook.function,
                    arguments={name: msgspec.Raw(value) for name, value in arguments.items()},
                    context=about,
                    deadline=hook.deadline,
                )
                return await worker.call(call)


def _failed(hook: Hook, error: WorkerError) -> HookFailedError:
    return HookFailedError(hook.plugin, hook.label, error.reason, error.detail, remedy=error.remedy, traceback=error.traceback)
