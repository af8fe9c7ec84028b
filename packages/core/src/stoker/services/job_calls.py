# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Calls of jobs: how an action's function is called for whom, and what it may say of its job on the way back."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError
from stoker_sdk.context.values import Caller, Environment

from stoker.db import tables
from stoker.db.environments import enabled_plugins
from stoker.db.plugins import find_plugin
from stoker.domain import settings
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.domain.misfit import reason
from stoker.domain.permission import permissions_of
from stoker.errors import BadRequestError, ConflictError, ForbiddenError, InvalidInputError, NotFoundError, StokerError
from stoker.orchestration.job_runner import JobRunner
from stoker.orchestration.running_job import JobRow, RunningJob
from stoker.plugin_host.back import BackChannel, Scope
from stoker.plugin_host.dispatch import Hook
from stoker.services.actions import actions_of
from stoker.services.context import ServerContext
from stoker.services.plugin_settings import settings_schema

MOST_CHECKPOINT: Final = 256 * 1024
_AGAIN_SECONDS: Final = 1.0
T = TypeVar("T")


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a call needs."""

    hook: Hook
    actor: Actor
    caller: Caller
    environment: Environment | None
    settings: dict[str, object]
    result: dict[str, object]
    """JSON Schema of what it gives."""


def make_runner(context: ServerContext) -> JobRunner:
    """The runner of a server's jobs."""

    async def call(job: JobRow) -> bytes:
        prepared = await _prepared(context, job)
        if context.dispatcher is None:
            raise StokerError("this server runs no code of plugins.", remedy="Start it without --safe-mode.")
        result = await context.dispatcher.call(
            prepared.hook,
            {"job": job.argument()},
            environment=prepared.environment,
            caller=prepared.caller,
            settings=prepared.settings,
            api_actor=prepared.actor,
            job_id=job.id,
        )
        _check_result(job, prepared.result, result)
        return result

    async def stop_worker(plugin: str, version: str) -> None:
        if context.workers is not None:
            await context.workers.stop(plugin, version, drain=0)

    runner = JobRunner(context.database, call, stop_worker)
    if context.back is not None:
        _register(context.back, runner)
    return runner


async def _prepared(context: ServerContext, job: JobRow) -> _Prepared:
    """What the call needs, however long the database is away."""
    while True:
        try:
            return await asyncio.to_thread(_prepare, context, job)
        except OperationalError:
            await asyncio.sleep(_AGAIN_SECONDS)


def _prepare(context: ServerContext, job: JobRow) -> _Prepared:
    with context.database.read() as connection:
        manifest, given = _plugin_of(connection, job)
        who = _as_now(context, connection, msgspec.json.decode(job.caller, type=Actor))
    action = next((item for item in actions_of(manifest) if item.name == job.action), None)
    if action is None:
        raise NotFoundError(f"plugin {job.plugin} {job.version} has no action {job.action}.", remedy="Start another one.")
    hook = Hook(
        plugin=job.plugin,
        version=job.version,
        point="actions",
        name=action.name,
        function=action.call,
        deadline=max(1.0, action.deadline - job.ran),
    )
    permissions = sorted(permissions_of(who, manifest, job.environment or None))
    return _Prepared(
        hook=hook,
        actor=who,
        caller=Caller(
            kind="system" if who.kind == "stranger" else who.kind, name=who.name, access=who.access.value, permissions=permissions
        ),
        environment=Environment(id=job.environment_id, name=job.environment) if job.environment_id else None,
        settings=given,
        result=dict(action.json_result),
    )


def _plugin_of(connection: Connection, job: JobRow) -> tuple[str, dict[str, object]]:
    """The manifest of the job's plugin, and its settings where the job belongs to an environment.

    Raises:
        ConflictError: the environment has another version now, or none.
    """
    if not job.environment_id:
        return str(find_plugin(connection, job.plugin, job.version).manifest), {}
    rows = [row for row in enabled_plugins(connection, job.environment_id) if row.plugin == job.plugin and row.state == "enabled"]
    if not rows or rows[0].version != job.version:
        now = f"has version {rows[0].version} now" if rows else "has it no longer"
        raise ConflictError(
            f"plugin {job.plugin} {job.version}: environment {job.environment} {now}.", remedy="Start the action again."
        )
    row: Any = rows[0]
    looked = settings.look_through(job.plugin, settings_schema(row.manifest), msgspec.json.decode(row.settings))
    return row.manifest, dict(looked.complete)  # what is stored has secrets as references


def _as_now(context: ServerContext, connection: Connection, who: Actor) -> Actor:
    """Who started a job, with the rights that they still have; that a browser signed out since does not matter.

    Raises:
        ForbiddenError: they may not come in any more.
    """
    refused = ForbiddenError(
        f"{who.name}, who started it, may not come in any more.", remedy="Let somebody else start the action again."
    )
    if who.token_id and not who.session_id and not context.identities.stands(who):
        raise refused
    if not who.user_id:
        return who
    table = tables.users
    user = connection.execute(select(table.c.access, table.c.disabled).where(table.c.id == who.user_id)).first()
    if user is None or user.disabled:
        raise refused
    return msgspec.structs.replace(who, access=who.access.at_most(AccessLevel(user.access)))


def _check_result(job: JobRow, schema: dict[str, object], result: bytes) -> None:
    if not schema:
        return
    found = next(settings.compile_schema(schema).iter_errors(msgspec.json.decode(result)), None)
    if found is not None:
        raise InvalidInputError(
            f"plugin {job.plugin} {job.version}: {job.action} gave what does not fit its own schema: {reason(found)}.",
            remedy="Tell whoever made the plugin.",
        )


class _About(msgspec.Struct, frozen=True):
    job: str


class _Progress(_About, frozen=True):
    fraction: float
    message: str = ""


class _Line(_About, frozen=True):
    line: str


class _State(_About, frozen=True):
    state: msgspec.Raw


def _register(back: BackChannel, runner: JobRunner) -> None:
    """What an action's code may say of its job."""

    def read(scope: Scope, body: bytes, kind: type[T]) -> tuple[T, RunningJob]:
        try:
            said: Any = msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise BadRequestError(f"what was said of the job does not fit: {error}.", remedy="Use the SDK's Job.") from error
        if not scope.job_id or said.job != scope.job_id:
            raise ForbiddenError("this call is about another job.", remedy="Speak of the job that the function was given.")
        return said, runner.running(said.job)

    async def progress(scope: Scope, body: bytes) -> bytes:
        said, job = read(scope, body, _Progress)
        job.progress(said.fraction, said.message)
        return b"null"

    async def log(scope: Scope, body: bytes) -> bytes:
        said, job = read(scope, body, _Line)
        job.log(said.line)
        return b"null"

    async def checkpoint(scope: Scope, body: bytes) -> bytes:
        said, _ = read(scope, body, _State)
        if len(said.state) > MOST_CHECKPOINT:
            raise BadRequestError(f"a checkpoint has {MOST_CHECKPOINT} bytes at most.", remedy="Keep what is large in records.")
        await runner.checkpoint(said.job, bytes(said.state))
        return b"null"

    async def cancelled(scope: Scope, body: bytes) -> bytes:
        return b"true" if read(scope, body, _About)[1].cancelled else b"false"

    for name, operation in (("progress", progress), ("log", log), ("checkpoint", checkpoint), ("cancelled", cancelled)):
        back.register(f"jobs.{name}", operation)
