# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Snapshots: everything that a plan is a function of, read from the database and the nodes; and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, select, update

from stoker.db import tables
from stoker.db.deployments import read_applied
from stoker.db.environments import find_environment
from stoker.db.nodes import node_target, roles_of_nodes
from stoker.db.overrides import read_overrides
from stoker.db.primaries import read_primaries
from stoker.db.vault import SecretName
from stoker.domain.node import Facts, NodeTarget, Observation, Watch
from stoker.domain.snapshot import NodeInput, OverrideInput, PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.plugin_host import planning_process
from stoker.services.before_plan import compute
from stoker.services.context import ServerContext
from stoker.services.enablement import incomplete, plugin_inputs
from stoker.services.nodes import keep_facts
from stoker.services.observation import Watchers, without_secrets
from stoker.services.repositories import access

_FINDINGS_SHOWN = 5


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, and what goes with it but is no part of it."""

    snapshot: Snapshot
    revision: int
    """The environment's revision when it was closed."""
    targets: list[NodeTarget]
    facts_at: dict[str, float | None]
    secrets: dict[SecretName, str]


def read_stored(context: ServerContext, connection: Connection, environment: str) -> Gathered:
    """The part of a snapshot that the database knows; nodes are not looked at."""
    row = find_environment(connection, environment)
    identity = str(row.id)
    table = tables.nodes
    nodes = list(connection.execute(select(table).where(table.c.environment_id == identity).order_by(table.c.name)))
    roles = roles_of_nodes(connection, identity)
    applied = read_applied(connection, [node.id for node in nodes])
    plugins = plugin_inputs(context, connection, identity)
    snapshot = Snapshot(
        environment_id=identity,
        environment_name=str(row.name),
        plugins=plugins,
        nodes=[
            NodeInput(
                id=node.id,
                name=node.name,
                address=node.address,
                roles=sorted(roles.get(node.id, [])),
                facts=msgspec.json.decode(node.facts, type=Facts),
                observed=Observation(),
                applied=applied[node.id],
                removing=bool(node.removing),
            )
            for node in nodes
        ],
        primaries=read_primaries(connection, identity),
        overrides=[item.override for item in read_overrides(connection, identity)],
        marker=context.vault.keyed_hash(f"marker {identity}".encode())[:24],
        repository=access(context, connection, plugins),
    )
    return Gathered(
        snapshot=snapshot,
        revision=int(row.revision),
        targets=[node_target(connection, context.vault, node.id) for node in nodes],
        facts_at={node.id: node.facts_at for node in nodes},
        secrets=context.vault.all_secrets(connection, identity),
    )


def gather(context: ServerContext, environment: str) -> Gathered:
    """Look at all nodes of an environment and close the snapshot.

    Raises:
        NotFoundError: there is no such environment.
        PlanningError: settings are incomplete; every one is named.
    """
    with context.database.read() as connection:
        stored = read_stored(context, connection, environment)
        refuse_incomplete(connection, stored.snapshot.environment_id, stored.snapshot.environment_name)
    return context.wait(look(context, stored, hooks=True))


def refuse_incomplete(connection: Connection, environment_id: str, name: str) -> None:
    """Raise PlanningError if settings of enabled plugins are incomplete."""
    if problems := incomplete(connection, environment_id):
        shown = "; ".join(problem.message for problem in problems[:_FINDINGS_SHOWN])
        raise PlanningError(
            f"environment {name}: settings are incomplete: {shown}",
            remedy="Set the fields that are named.",
            findings=problems,
        )


async def look(context: ServerContext, stored: Gathered, *, hooks: bool = False) -> Gathered:
    """Look at all nodes, and close the snapshot; nodes that do not answer say why.

    Args:
        context: the server.
        stored: what the database knows.
        hooks: whether plugins' ``before_plan`` hooks are asked, once the facts of the nodes are known.

    Raises:
        PlanningError: a hook without which there is no plan failed.
    """
    known = {node.id: (node.facts, stored.facts_at[node.id]) for node in stored.snapshot.nodes}
    watchers = Watchers(context, stored.targets)
    try:
        await watchers.connect(known)
        stored = keep_seen(context, stored, watchers)
        if hooks:
            stored = msgspec.structs.replace(stored, snapshot=await compute(context, stored.snapshot))
        watches = await watch_lists(context, stored.snapshot)
        await watchers.observe({node.id: watch for node, watch in zip(stored.snapshot.nodes, watches, strict=True)})
    finally:
        await watchers.close()
    return with_observations(context, stored, watchers)


def keep_seen(context: ServerContext, stored: Gathered, watchers: Watchers) -> Gathered:
    """Store facts that were read anew and nodes' states; answers the snapshot with these facts and the revision after that."""
    with context.database.transaction() as connection:
        for node in stored.snapshot.nodes:
            seen = watchers.seen[node.id]
            if seen.failure is not None:
                status = "unreachable" if isinstance(seen.failure, ConnectionError) else "error"
                table = tables.nodes
                connection.execute(
                    update(table).where(table.c.id == node.id).values(status=status, status_reason=seen.failure.detail)
                )
            elif seen.facts is not None:
                keep_facts(connection, node.id, seen.facts, seen.host_key)
        revision = int(find_environment(connection, stored.snapshot.environment_id).revision)
    nodes = [
        msgspec.structs.replace(node, facts=seen.facts) if (seen := watchers.seen[node.id]).facts is not None else node
        for node in stored.snapshot.nodes
    ]
    snapshot = msgspec.structs.replace(stored.snapshot, nodes=nodes)
    return msgspec.structs.replace(stored, snapshot=snapshot, revision=revision)


def with_observations(context: ServerContext, stored: Gathered, watchers: Watchers) -> Gathered:
    """Close the snapshot: put in what was seen, without the contents of files that hold secrets."""
    nodes: list[NodeInput] = []
    hashes: dict[str, str] = {}
    for node in stored.snapshot.nodes:
        if (failure := watchers.seen[node.id].failure) is not None:
            nodes.append(msgspec.structs.replace(node, left_out=failure.detail))
            continue
        observed, secret = without_secrets(watchers.seen[node.id].observed, node.applied, stored.secrets, context.vault)
        nodes.append(msgspec.structs.replace(node, observed=observed))
        for path, value in secret.items():
            hashes[f"{node.name} {path}"] = value
    snapshot = msgspec.structs.replace(stored.snapshot, nodes=nodes, secret_hashes=hashes)
    return msgspec.structs.replace(stored, snapshot=snapshot)


def limits(context: ServerContext) -> planning_process.Limits:
    """What a planning process may use."""
    return planning_process.Limits(memory_bytes=context.config.planning_memory_bytes, seconds=context.config.planning_seconds)


async def watch_lists(context: ServerContext, snapshot: Snapshot) -> list[Watch]:
    """What to look at on each node, in the order of the snapshot's nodes."""
    answer = await planning_process.run_in_process("watch", msgspec.json.encode(snapshot), limits(context))
    return msgspec.json.decode(answer, type=list[Watch])


def stored_differences(old: Snapshot, new: Snapshot) -> Iterator[str]:
    """What the database says otherwise than it did: one sentence an input."""
    yield from _plugin_differences(old.plugins, new.plugins)
    before, after = {node.id: node for node in old.nodes}, {node.id: node for node in new.nodes}
    for identity in before.keys() - after.keys():
        yield f"node {before[identity].name} left the environment"
    for identity in after.keys() - before.keys():
        yield f"node {after[identity].name} joined the environment"
    for identity in before.keys() & after.keys():
        first, second = before[identity], after[identity]
        for field in ("name", "address", "roles", "facts", "removing", "applied"):
            if getattr(first, field) != getattr(second, field):
                yield f"{_FIELDS.get(field, field)} of node {second.name}"
    if old.roles != new.roles:
        yield "the tolerance of roles"
    if old.repository != new.repository:
        yield "the key or the address of package repositories"
    yield from _override_differences(old.overrides, new.overrides)


def _override_differences(old: Sequence[OverrideInput], new: Sequence[OverrideInput]) -> Iterator[str]:
    before, after = ({(item.path, item.section, item.key): item for item in overrides} for overrides in (old, new))
    for place in sorted(before.keys() | after.keys()):
        if before.get(place) != after.get(place):
            yield f"the operator's override of {' '.join(part for part in place if part)}"


_FIELDS = {"applied": "what was deployed since", "removing": "the removal"}


def _plugin_differences(old: Sequence[PluginInput], new: Sequence[PluginInput]) -> Iterator[str]:
    before, after = {plugin.name: plugin for plugin in old}, {plugin.name: plugin for plugin in new}
    for name in sorted(before.keys() - after.keys()):
        yield f"plugin {name} is no longer enabled"
    for name in sorted(after.keys() - before.keys()):
        yield f"plugin {name} was enabled"
    for name in sorted(before.keys() & after.keys()):
        first, second = before[name], after[name]
        if first.version != second.version or first.digest != second.digest:
            yield f"plugin {name}: version {first.version} -> {second.version}"
        if first.removing != second.removing:
            yield f"plugin {name}: {'disabled' if second.removing else 'enabled again'}"
        changed = sorted(
            key for key in {*first.settings, *second.settings} if first.settings.get(key) != second.settings.get(key)
        )
        if changed:
            yield f"settings of plugin {name}: {', '.join(changed)}"


def observed_differences(
    node: NodeInput, now: NodeInput, old_hashes: dict[str, str], new_hashes: dict[str, str]
) -> Iterator[str]:
    """What is found on a node otherwise than it was."""
    if node.left_out:
        yield f"node {node.name} answers again"
        return
    if node.facts != now.facts:
        changed = [name for name in node.facts.__struct_fields__ if getattr(node.facts, name) != getattr(now.facts, name)]
        yield f"facts of node {node.name}: {', '.join(changed)}"
    first, second = node.observed, now.observed
    for path in sorted({*first.files, *second.files}):
        key = f"{node.name} {path}"
        if first.files.get(path) != second.files.get(path) or old_hashes.get(key) != new_hashes.get(key):
            yield f"{path} on node {node.name}"
    for name in sorted({*first.packages, *second.packages}):
        if first.packages.get(name) != second.packages.get(name):
            yield f"package {name} on node {node.name}"
    for name in sorted({*first.services, *second.services}):
        if first.services.get(name) != second.services.get(name):
            yield f"service {name} on node {node.name}"
