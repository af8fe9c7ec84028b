# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Small snapshots, and what a node looks like after a plan was carried out."""

from __future__ import annotations

import msgspec
from stoker.domain.action import CommandAction
from stoker.domain.node import Facts, Observation, ObservedFile, ObservedService
from stoker.domain.plan import Plan, PlannedFile
from stoker.domain.snapshot import Applied, AppliedFile, AppliedPackage, NodeInput, PluginInput, Snapshot
from stoker.planning.secret_places import shown
from stoker_sdk import Plugin
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.manifest import to_manifest
from stoker_sdk.model.contribution import Contribution

MARKER = "\x02mark\x02"


def plugin(name: str, *contributions: Contribution, version: str = "1.0.0", **more: object) -> PluginInput:
    fields = more.get("settings")
    if isinstance(fields, dict):
        contributions = (*contributions, Settings(json_schema={"type": "object", "properties": {key: {} for key in fields}}))
    made = Plugin(name=name, version=version, title=name, contributions=contributions)
    return PluginInput(
        name=name,
        version=version,
        digest="0" * 64,
        contributions=msgspec.json.decode(msgspec.json.encode(to_manifest(made).get("contributions", []))),
        **more,  # type: ignore[arg-type]
    )


def node(name: str, *roles: str, **more: object) -> NodeInput:
    given = {"observed": Observation(), "facts": Facts(hostname=name, os_family="debian"), **more}
    return NodeInput(id=f"id-{name}", name=name, address=f"{name}.example", roles=list(roles), **given)  # type: ignore[arg-type]


def snapshot(plugins: list[PluginInput], nodes: list[NodeInput], **more: object) -> Snapshot:
    return Snapshot(environment_id="e1", environment_name="test", plugins=plugins, nodes=nodes, marker=MARKER, **more)  # type: ignore[arg-type]


def text_of(plan: Plan, name: str, path: str) -> str:
    return shown(plan.contents[file_of(plan, name, path).content].text)


def file_of(plan: Plan, name: str, path: str) -> PlannedFile:
    return next(file for file in plan.files if plan.nodes[file.node].name == name and file.path == path)


def running(plan: Plan) -> dict[tuple[str, str], str]:
    """(node, task) -> reason of everything that runs."""
    return {(plan.nodes[item.node].name, plan.tasks[item.task].name): item.run for item in plan.instances if item.run}


def order(plan: Plan, name: str) -> list[str]:
    return [plan.tasks[item.task].name for item in plan.instances if plan.nodes[item.node].name == name]


def carried_out(before: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot after the plan succeeded everywhere; commands have no visible effect."""
    nodes = list(before.nodes)
    for number, planned in enumerate(plan.nodes):
        place = next(i for i, item in enumerate(nodes) if item.name == planned.name)
        old = nodes[place]
        files, sums = dict(old.observed.files), dict(old.applied.files)
        for file in plan.files:
            if file.node == number and file.content >= 0:
                content = plan.contents[file.content]
                text = content.text if isinstance(content.text, str) else None
                keyed = "" if text is not None else f"hmac {content.sha256}"
                files[file.path] = ObservedFile(
                    "file", content.sha256 if text is not None else "", file.owner, file.group, file.mode, text
                )
                sums[file.path] = AppliedFile(
                    content.sha256, [plan.tasks[file.task].plugin], file.owner, file.group, file.mode, keyed
                )
            elif file.node == number:
                files.pop(file.path, None)
                sums.pop(file.path, None)
        packages, brought = dict(old.observed.packages), dict(old.applied.packages)
        for package in plan.packages:
            if package.node == number and package.status == "remove":
                packages.pop(package.name, None)
                brought.pop(package.name, None)
            elif package.node == number and package.status != "keep":
                owners = sorted({plan.origins[origin].plugin for origin in package.origins})
                was = brought.get(package.name)
                brought[package.name] = AppliedPackage(
                    owners, was.brought if was else package.name not in packages, package.version
                )
                packages[package.name] = package.version or packages.get(package.name, "1.0")
        units, tasks = dict(old.observed.services), dict(old.applied.tasks)
        for item in plan.instances:
            if item.node != number:
                continue
            task, action = plan.tasks[item.task], plan.actions[item.action]
            if task.kind == "service" and not isinstance(action, CommandAction):
                up = getattr(action, "state", "") == "started"
                units[getattr(action, "name", "")] = ObservedService(active=up, enabled=up)
            if task.kind != "check" and item.run != "remove":
                tasks[task.name] = item.inputs
        nodes[place] = msgspec.structs.replace(
            old,
            observed=Observation(files=files, packages=packages, services=units),
            applied=Applied(files=sums, packages=brought, tasks=tasks),
        )
    hashes = {
        f"{planned.name} {path}": applied.keyed_hash
        for planned in nodes
        for path, applied in planned.applied.files.items()
        if applied.keyed_hash
    }
    return msgspec.structs.replace(before, nodes=nodes, secret_hashes=hashes)
