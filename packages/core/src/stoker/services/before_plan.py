# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``before_plan`` hooks: asked once for a snapshot; what they give is checked like what a plugin brings, and kept in it."""

from __future__ import annotations

import asyncio
import hashlib
from fnmatch import fnmatchcase
from typing import Final

import msgspec
from stoker_sdk.context.values import Environment, PlanInput, PlanNode
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points.before_plan import BeforePlan
from stoker_sdk.manifest import read_contribution, read_manifest
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.validation import check_plugin

from stoker.db.plugins import find_plugin
from stoker.domain.snapshot import Computed, PluginInput, Snapshot
from stoker.errors import HookFailedError, PlanningError, StokerError
from stoker.services.context import ServerContext
from stoker.services.declared_hooks import declared_in, hook_of, present_caller
from stoker.services.plugin_inputs import files_of

MOST_BYTES: Final = 1024 * 1024
MOST: Final = 1000
"""What one hook may give for one plan."""
_SHOWN: Final = 5


class _Failure(msgspec.Struct, frozen=True):
    """A hook without which there is no plan."""

    finding: Finding


async def compute(context: ServerContext, snapshot: Snapshot) -> Snapshot:
    """A snapshot with what the hooks of its plugins give; those of plugins that go are not asked.

    Raises:
        PlanningError: a hook that is required failed, gave what does not fit, or is in quarantine.
    """
    asked = [
        (plugin, item)
        for plugin in snapshot.plugins
        if not plugin.removing
        for item in declared_in(plugin.contributions, BeforePlan)
    ]
    if not asked:
        return snapshot
    answers = await asyncio.gather(*(_ask(context, snapshot, plugin, item) for plugin, item in asked))
    if findings := [answer.finding for answer in answers if isinstance(answer, _Failure)]:
        shown = "; ".join(finding.message for finding in findings[:_SHOWN])
        raise PlanningError(
            f"environment {snapshot.environment_name} cannot be planned: {shown}",
            remedy=findings[0].remedy,
            findings=findings,
        )
    given: dict[str, list[Computed]] = {}
    for (plugin, _), answer in zip(asked, answers, strict=True):
        if isinstance(answer, Computed):
            given.setdefault(plugin.name, []).append(answer)
    plugins = [
        await asyncio.to_thread(_with, context, plugin, given[plugin.name]) if plugin.name in given else plugin
        for plugin in snapshot.plugins
    ]
    return msgspec.structs.replace(snapshot, plugins=plugins)


def with_computed(snapshot: Snapshot, old: Snapshot) -> Snapshot:
    """A snapshot with what hooks gave for an older one, where the plugin is the same: nobody is asked again."""
    known = {(plugin.name, plugin.digest): plugin for plugin in old.plugins if plugin.computed}
    plugins = [
        msgspec.structs.replace(
            plugin,
            computed=same.computed,
            templates={**same.templates, **plugin.templates},
            blobs={**same.blobs, **plugin.blobs},
        )
        if (same := known.get((plugin.name, plugin.digest))) is not None and not plugin.removing
        else plugin
        for plugin in snapshot.plugins
    ]
    return msgspec.structs.replace(snapshot, plugins=plugins)


def _with(context: ServerContext, plugin: PluginInput, computed: list[Computed]) -> PluginInput:
    contributions = [document for item in computed for document in item.contributions]
    templates, blobs = files_of(context, plugin.name, plugin.version, contributions)
    return msgspec.structs.replace(
        plugin, computed=computed, templates={**templates, **plugin.templates}, blobs={**blobs, **plugin.blobs}
    )


async def _ask(context: ServerContext, snapshot: Snapshot, plugin: PluginInput, item: BeforePlan) -> Computed | _Failure:
    manifest = await asyncio.to_thread(_manifest, context, plugin)
    try:
        if context.dispatcher is None:
            raise StokerError("no code of plugins runs here.", remedy="Ask the server's supervisor.")
        answer = await context.dispatcher.call(
            hook_of(plugin.name, plugin.version, item),
            {"plan": msgspec.json.encode(_input(snapshot, plugin))},
            environment=Environment(id=snapshot.environment_id, name=snapshot.environment_name),
            caller=present_caller(),
            settings=plugin.settings,
            accept=lambda data: "; ".join(finding.message for finding in unfit(manifest, item, data)[:_SHOWN]),
        )
    except StokerError as error:
        if not item.required:
            return Computed(hook=item.name, missing=error.detail)
        trace = f"\n{error.traceback}" if isinstance(error, HookFailedError) and error.traceback else ""
        return _Failure(
            Finding(
                rule="J030",
                plugin=plugin.name,
                contribution=item.label,
                message=f"what {item.label} adds to plans is not known: {error.detail}{trace}",
                remedy=error.remedy or "Mend the plugin, or disable it.",
            )
        )
    contributions = msgspec.json.decode(answer, type=list[dict[str, object]])
    digest = hashlib.sha256(msgspec.json.encode(contributions, order="deterministic")).hexdigest()
    return Computed(hook=item.name, digest=digest, contributions=contributions)


def _manifest(context: ServerContext, plugin: PluginInput) -> str:
    with context.database.read() as connection:
        return str(find_plugin(connection, plugin.name, plugin.version).manifest)


def _input(snapshot: Snapshot, plugin: PluginInput) -> PlanInput:
    """What a hook gets to see."""
    return PlanInput(
        environment=Environment(id=snapshot.environment_id, name=snapshot.environment_name),
        settings=plugin.settings,  # type: ignore[arg-type]  # they come from JSON
        nodes=[
            PlanNode(id=node.id, name=node.name, address=node.address, roles=node.roles, facts=msgspec.to_builtins(node.facts))
            for node in snapshot.nodes
            if not node.removing
        ],
        plugins={other.name: other.version for other in snapshot.plugins if not other.removing},
    )


def unfit(manifest: str, item: BeforePlan, answer: bytes) -> list[Finding]:
    """What is wrong with a hook's answer, as if the plugin had brought it, and beyond what it declares."""
    if len(answer) > MOST_BYTES:
        return [_found(item, f"it gave {len(answer)} bytes; {MOST_BYTES} are the most.")]
    given = msgspec.json.decode(answer, type=list[dict[str, object]])
    if len(given) > MOST:
        return [_found(item, f"it gave {len(given)} contributions; {MOST} are the most.")]
    read: list[Contribution] = []
    findings: list[Finding] = []
    for document in given:
        try:
            contribution = read_contribution(document)
        except InvalidPluginError as error:
            findings += error.findings
            continue
        findings += _undeclared(item, contribution)
        read.append(contribution)
    if findings:
        return findings
    plugin = read_manifest(msgspec.json.decode(manifest))
    before = {str(finding) for finding in check_plugin(plugin, try_defaults=False)}
    together = msgspec.structs.replace(plugin, contributions=[*plugin.contributions, *read])
    return [
        finding
        for finding in check_plugin(together, try_defaults=False)
        if finding.severity == "error" and str(finding) not in before
    ]


def _undeclared(item: BeforePlan, contribution: Contribution) -> list[Finding]:
    point = str(contribution.__struct_config__.tag)
    if not any(fnmatchcase(point, pattern) for pattern in item.points):
        return [_found(item, f"it gave {contribution.label}; it may give {', '.join(item.points)} alone.")]
    if not any(fnmatchcase(contribution.label, pattern) for pattern in item.names):
        return [_found(item, f"it gave {contribution.label}, whose name fits none of {', '.join(item.names)}.")]
    return []


def _found(item: BeforePlan, message: str) -> Finding:
    return Finding(
        rule="J031", contribution=item.label, message=message, remedy="Mend the function, or what the hook declares to give."
    )
