# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Drift: what is on the nodes now otherwise than deployments left it; what the environment wants meanwhile does not matter."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from stoker.db.deployments import list_deployments
from stoker.db.plans import load_plan, load_snapshot
from stoker.domain.action import ServiceAction
from stoker.domain.node import ObservedFile
from stoker.domain.plan import Plan
from stoker.domain.snapshot import AppliedFile, NodeInput
from stoker.services import snapshots
from stoker.services.before_plan import with_computed
from stoker.services.context import ServerContext
from stoker.services.plan_views import shown

_LOOKED_BACK: Final = 5
"""So many deployments are searched for the text of what was written; older ones are told without a diff."""


class DriftItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was left."""

    kind: Literal["file", "package", "service"]
    name: str
    what: str
    """In words."""
    diff: str = ""
    """From what was deployed to what is there; empty where one of the two is not known or holds a secret."""


class NodeDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    node: str
    state: Literal["same", "drift", "unreachable"]
    reason: str = ""
    """Why it could not be looked at."""
    items: list[DriftItem] = []


class _Known(msgspec.Struct, frozen=True):
    """What the last deployments say of what they left behind."""

    texts: dict[str, str]
    """SHA-256 of a content -> its text, secrets by name."""
    units: dict[tuple[str, str], ServiceAction]
    """Node and task -> the unit and its state."""


def look(context: ServerContext, environment: str) -> list[NodeDrift]:
    """Look at every node of an environment, and say what differs from what was applied. Raises NotFoundError."""
    with context.database.read() as connection:
        stored = snapshots.read_stored(context, connection, environment)
        known = _Known({}, {})
        deployments = list_deployments(connection, stored.snapshot.environment_id)[:_LOOKED_BACK]
        for row in deployments:
            _learn(known, load_plan(connection, str(row.plan_id)).plan)
        if deployments:
            deployed = load_snapshot(connection, str(deployments[0].plan_id))
            stored = msgspec.structs.replace(stored, snapshot=with_computed(stored.snapshot, deployed))
    snapshot = context.wait(snapshots.look(context, stored)).snapshot
    return [_node(node, snapshot.secret_hashes, known) for node in snapshot.nodes]


def _learn(known: _Known, plan: Plan) -> None:
    """Newer deployments come first, and what they say counts."""
    for content in plan.contents:
        known.texts.setdefault(content.sha256, shown(content.text))
    for instance in plan.instances:
        action = plan.actions[instance.action]
        if isinstance(action, ServiceAction) and instance.run != "remove":
            known.units.setdefault((plan.nodes[instance.node].name, plan.tasks[instance.task].name), action)


def _node(node: NodeInput, hashes: Mapping[str, str], known: _Known) -> NodeDrift:
    if node.left_out:
        return NodeDrift(node=node.name, state="unreachable", reason=node.left_out.removeprefix(f"node {node.name}: "))
    items = [*_files(node, hashes, known), *_packages(node), *_services(node, known)]
    return NodeDrift(node=node.name, state="drift" if items else "same", items=items)


def _files(node: NodeInput, hashes: Mapping[str, str], known: _Known) -> Iterator[DriftItem]:
    for path, applied in sorted(node.applied.files.items()):
        found = node.observed.files.get(path, ObservedFile())
        notes = list(_notes(applied, found, hashes.get(f"{node.name} {path}", "")))
        if notes:
            before = known.texts.get(applied.sha256) if not applied.keyed_hash else None
            text = _diff(path, before, found.content) if found.kind == "file" else ""
            yield DriftItem(kind="file", name=path, what=", ".join(notes), diff=text)


def _notes(applied: AppliedFile, found: ObservedFile, keyed_hash: str) -> Iterator[str]:
    if applied.gone:
        if found.kind != "absent":
            yield "is there again"
        return
    if found.kind == "absent":
        yield "is gone"
        return
    if found.kind == "other" or (applied.sha256 and found.kind != "file"):
        yield f"is a {found.kind} now"
        return
    if applied.keyed_hash:
        if keyed_hash != applied.keyed_hash:
            yield "its content was changed; it holds secrets, so the change is not shown"
    elif applied.sha256 and found.sha256 != applied.sha256:
        yield "its content was changed"
    for name in ("mode", "owner", "group"):
        before, after = getattr(applied, name), getattr(found, name)
        if after and before != after:
            yield f"{name} {before} -> {after}"


def _diff(path: str, before: str | None, after: str | None) -> str:
    if before is None or after is None or before == after:
        return ""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"{path} (deployed)", f"{path} (on the node)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _packages(node: NodeInput) -> Iterator[DriftItem]:
    for name in sorted(node.applied.packages.keys() - node.observed.packages.keys()):
        yield DriftItem(kind="package", name=name, what="is not installed any more")


def _services(node: NodeInput, known: _Known) -> Iterator[DriftItem]:
    for task in sorted(node.applied.tasks):
        action = known.units.get((node.name, task))
        found = node.observed.services.get(action.name) if action is not None else None
        if action is None or found is None:
            continue
        notes = []
        if found.active != (action.state == "started"):
            notes.append("runs" if found.active else "does not run")
        if action.enabled is not None and found.enabled != action.enabled:
            notes.append("starts with the node" if found.enabled else "does not start with the node")
        if notes:
            yield DriftItem(kind="service", name=action.name, what=" and ".join(notes))
