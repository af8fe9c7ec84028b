# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``validate_settings``: plugins' own checks of settings that are about to be stored, asked outside of any transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row
from stoker_sdk.context.values import Environment, Problem
from stoker_sdk.extension_points.validate_settings import ValidateSettings
from stoker_sdk.model.finding import Finding

from stoker.db.environments import enabled_plugins
from stoker.errors import ConflictError, HookFailedError, InvalidInputError, StokerError
from stoker.services.context import ServerContext
from stoker.services.declared_hooks import declared, hook_of, present_caller
from stoker.services.plugin_inputs import Candidate
from stoker.services.plugin_settings import masked

MOST_PROBLEMS: Final = 100
_MOST_TEXT: Final = 2000
_SHOWN: Final = 5


def check_settings(context: ServerContext, home: Row[Any] | None, name: str, candidates: Sequence[Candidate]) -> None:
    """Ask each plugin whose settings or version are different what it says of them; warnings are noted in the candidates.

    Settings that are not complete are not shown to the plugin's code: it is asked when nothing is missing any more.

    Args:
        context: the server.
        home: the environment; ``None`` for one that is not made yet.
        name: its name.
        candidates: plugins as they would be; their settings fit the schema.

    Raises:
        InvalidInputError: a plugin refuses its settings; every problem is a finding with the setting's path.
        ConflictError: a check failed without which settings are not stored.
    """
    same = _as_stored(context, home, candidates)
    asked = [
        (candidate, item)
        for candidate in candidates
        if candidate.plugin not in same and not candidate.removing and not candidate.looked.missing
        for item in declared(candidate.manifest, ValidateSettings)
    ]
    if not asked:
        return
    environment = Environment(id="" if home is None else str(home.id), name=name)

    async def all_of_them() -> list[list[Finding]]:
        return list(await asyncio.gather(*(_ask(context, environment, candidate, item) for candidate, item in asked)))

    answers = context.wait(all_of_them())
    findings = [finding for found in answers for finding in found]
    errors = [finding for finding in findings if finding.severity == "error"]
    if broken := [finding for finding in errors if finding.rule == "J032"]:
        raise ConflictError(
            f"environment {name}: settings are not stored: {'; '.join(finding.message for finding in broken[:_SHOWN])}",
            remedy=broken[0].remedy,
            findings=broken,
        )
    if errors:
        raise InvalidInputError(
            f"environment {name}: settings are refused: {'; '.join(finding.message for finding in errors[:_SHOWN])}",
            remedy="Mend the fields that are named.",
            findings=errors,
        )
    for (candidate, _), found in zip(asked, answers, strict=True):
        candidate.warnings = found


def _as_stored(context: ServerContext, home: Row[Any] | None, candidates: Sequence[Candidate]) -> Collection[str]:
    """The plugins in which nothing would be different."""
    if home is None:
        return ()
    with context.database.read() as connection:
        rows = {row.plugin: row for row in enabled_plugins(connection, str(home.id))}
    return {
        candidate.plugin
        for candidate in candidates
        if (row := rows.get(candidate.plugin)) is not None
        and row.state == "enabled"
        and row.version == candidate.version
        and msgspec.json.decode(row.settings) == candidate.settings
    }


async def _ask(context: ServerContext, environment: Environment, candidate: Candidate, item: ValidateSettings) -> list[Finding]:
    given = masked(candidate.looked)
    try:
        if context.dispatcher is None:
            raise StokerError("no code of plugins runs here.", remedy="Ask the server's supervisor.")
        answer = await context.dispatcher.call(
            hook_of(candidate.plugin, candidate.version, item),
            {"settings": msgspec.json.encode(given)},
            environment=environment,
            caller=present_caller(),
            settings=given,
        )
    except StokerError as error:
        trace = f"\n{error.traceback}" if isinstance(error, HookFailedError) and error.traceback else ""
        finding = Finding(
            rule="J032",
            plugin=candidate.plugin,
            contribution=item.label,
            severity="error" if item.required else "warning",
            message=f"settings could not be checked: {error.detail}{trace}",
            remedy=error.remedy or "Mend the plugin, or disable it.",
        )
        return [finding]
    problems = msgspec.json.decode(answer, type=list[Problem])[:MOST_PROBLEMS]
    return [_finding(candidate.plugin, item, problem) for problem in problems]


def _finding(plugin: str, item: ValidateSettings, problem: Problem) -> Finding:
    return Finding(
        rule="J033",
        plugin=plugin,
        contribution=item.label,
        field=problem.field[:_MOST_TEXT],
        severity=problem.severity,
        message=f"setting {problem.field[:_MOST_TEXT] or '(all)'}: {problem.message[:_MOST_TEXT]}",
        remedy=problem.remedy[:_MOST_TEXT],
    )
