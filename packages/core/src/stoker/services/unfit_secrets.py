# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets that do not fit where a plan puts them: told when the plan is made, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stoker_sdk.model.finding import Finding

from stoker.db.vault import SecretName
from stoker.domain.action import CommandAction, ServiceAction
from stoker.domain.plan import Plan
from stoker.domain.secret import SecretSlot, Text, unfit
from stoker.errors import PlanningError

_REMEDY = "Give the setting a value that fits, or write the secret into a file of its own."


def refuse_unfit(plan: Plan, secrets: Mapping[SecretName, str]) -> None:
    """Raise PlanningError, with a finding for each setting and place, if a secret cannot stand where it is to be written."""
    findings = [*_in_files(plan, secrets), *_in_commands(plan, secrets)]
    if findings:
        shown = "; ".join(finding.message for finding in findings[:5])
        raise PlanningError(
            f"environment {plan.environment_name} cannot be planned: {shown}", remedy="Change what is named.", findings=findings
        )


def _unfit(text: Text, secrets: Mapping[SecretName, str]) -> Iterator[tuple[SecretSlot, str]]:
    for piece in text if not isinstance(text, str) else ():
        if isinstance(piece, SecretSlot):
            reason = unfit(piece, secrets.get((piece.plugin, piece.name, piece.version), ""))
            if reason:
                yield piece, reason


def _in_files(plan: Plan, secrets: Mapping[SecretName, str]) -> Iterator[Finding]:
    told: set[int] = set()
    for file in plan.files:
        if file.content < 0 or file.content in told:
            continue
        told.add(file.content)
        for slot, reason in _unfit(plan.contents[file.content].text, secrets):
            yield Finding(
                rule="E006",
                plugin=slot.plugin,
                contribution=plan.tasks[file.task].contribution,
                field=f"settings.{slot.name}",
                file=file.path,
                message=f"{file.path}: {reason}.",
                remedy=_REMEDY,
            )


def _in_commands(plan: Plan, secrets: Mapping[SecretName, str]) -> Iterator[Finding]:
    told: set[int] = set()
    for item in plan.instances:
        action = plan.actions[item.action]
        if item.action in told or not isinstance(action, CommandAction | ServiceAction):
            continue
        told.add(item.action)
        for name, text in action.environment.items():
            for slot, reason in _unfit(text, secrets):
                yield Finding(
                    rule="E006",
                    plugin=slot.plugin,
                    contribution=plan.tasks[item.task].contribution,
                    field=f"settings.{slot.name}",
                    message=f"environment variable {name}: {reason}.",
                    remedy=_REMEDY,
                )
