# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans: made from a closed snapshot, stored by their content's hash, shown, and held against what has changed since."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Row, or_, select

from stoker.db import tables
from stoker.db.environments import find_environment, refuse_while_deploying
from stoker.db.plans import StoredPlan, load_plan, load_snapshot, plan_summaries, save_plan
from stoker.db.vault import SecretName, Vault
from stoker.domain.node import NodeTarget
from stoker.domain.plan import Plan, PlannedComputed
from stoker.domain.snapshot import Selection, Snapshot
from stoker.errors import ConflictError, NotFoundError
from stoker.orchestration.materials import Materials
from stoker.plugin_host import planning_process
from stoker.services import audit, plan_progress, plan_views, snapshots
from stoker.services.before_plan import with_computed
from stoker.services.context import ServerContext
from stoker.services.observation import Watchers
from stoker.services.unfit_secrets import refuse_unfit
from stoker.services.windows import Part, Window, cut, look
from stoker.telemetry.metrics import METRICS
from stoker.telemetry.subject import set_about

_INPUTS_SHOWN = 5


class PlanOutdatedError(ConflictError):
    """An input of the plan has changed since it was made."""

    kind = "plan-outdated"


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a plan."""

    id: str
    environment: str
    environment_id: str
    digest: str
    revision: int
    created_at: float
    counts: dict[str, int]
    warnings: list[str]
    primaries: dict[str, str]
    """Selector (``primary(ROLE)``, ``once``) -> name of the one node that it means."""
    selection: Selection | None = None
    """The part of the environment that it is about; null for the whole."""
    computed: list[PlannedComputed] = []
    """What the code of plugins computed for it (``before_plan``), and what is missing."""


class _Summary(msgspec.Struct):
    counts: dict[str, int] = {}
    warnings: list[str] = []
    primaries: dict[str, str] = {}
    selection: Selection | None = None
    computed: list[PlannedComputed] = []


@METRICS.planning()
def create_plan(context: ServerContext, environment: str, selection: Selection | None = None) -> PlanView:
    """Look at the nodes, plan, and store the plan.

    Args:
        context: the server.
        environment: its id or name.
        selection: the part that it is about; the whole if not given.

    Raises:
        NotFoundError: there is no such environment.
        ConflictError: a deployment of it runs.
        PlanningError: a plan cannot be made; every finding names its plugin or node.
        NodeUnreachableError: the fleet of simulated nodes went away meanwhile.
    """
    set_about(environment=environment)
    with context.database.read() as connection:
        row = find_environment(connection, environment)
        refuse_while_deploying(connection, str(row.id), str(row.name), "planning")
    with plan_progress.told(context.database, str(row.id)) as progress:
        gathered = snapshots.gather(context, environment)
        if (part := _ordered(selection)) is not None:
            gathered = msgspec.structs.replace(gathered, snapshot=msgspec.structs.replace(gathered.snapshot, selection=part))
        progress.begin("planning")
        plan = context.wait(make_plan(context, gathered.snapshot))
        plan = with_keyed_hashes(plan, gathered.secrets, context.vault)
        plan = context.wait(with_pretended(context, plan, gathered.targets))
        progress.begin("storing")
        identity = _store(context, plan, gathered)
        progress.end("done", plan=identity)
    return show(context, identity)


def _store(context: ServerContext, plan: Plan, gathered: snapshots.Gathered) -> str:
    summary = plan_views.summarize(plan)
    with context.database.transaction() as connection:
        identity, digest, _ = save_plan(connection, plan, gathered.snapshot, gathered.revision, summary)
        name = plan.environment_name
        audit.record(connection, "plan.create", identity, identity, environment=name, after={"digest": digest})
    return identity


def _ordered(selection: Selection | None) -> Selection | None:
    """The same part is the same plan, in whatever order it was named."""
    if selection is None or not (selection.nodes or selection.roles or selection.tasks):
        return None
    return Selection(nodes=sorted(set(selection.nodes)), roles=sorted(set(selection.roles)), tasks=sorted(set(selection.tasks)))


async def make_plan(context: ServerContext, snapshot: Snapshot) -> Plan:
    """Plan in a limited process."""
    answer = await planning_process.run_in_process("plan", msgspec.json.encode(snapshot), snapshots.limits(context))
    return msgspec.json.decode(answer, type=Plan)


def with_keyed_hashes(plan: Plan, secrets: dict[SecretName, str], vault: Vault) -> Plan:
    """Note, for each content with secrets, the keyed hash of its final bytes. Raises PlanningError if a secret does not fit."""
    refuse_unfit(plan, secrets)
    materials = Materials(plan.contents, secrets)
    hashes = {
        str(number): vault.keyed_hash(materials.content(str(number)))
        for number, content in enumerate(plan.contents)
        if not isinstance(content.text, str)
    }
    return msgspec.structs.replace(plan, keyed_hashes=hashes)


async def with_pretended(context: ServerContext, plan: Plan, targets: list[NodeTarget]) -> Plan:
    """Note which tasks simulated nodes would only pretend to run."""
    reached = {target.id: target for target in targets}
    by_node: dict[int, list[int]] = {}
    for number, instance in enumerate(plan.instances):
        if instance.run:
            by_node.setdefault(instance.node, []).append(number)
    found: list[int] = []
    for node, numbers in by_node.items():
        target = reached[plan.nodes[node].id]
        actions = [plan.actions[plan.instances[number].action] for number in numbers]
        marks = await context.transports[target.transport].pretended(target, actions)
        found += [number for number, mark in zip(numbers, marks, strict=True) if mark]
    return msgspec.structs.replace(plan, pretended=found)


def list_all(context: ServerContext, environment: str, window: Window, digest: str = "") -> Part[PlanView]:
    """The plans of an environment, newest first; those of one content if its hash is given. Raises NotFoundError."""
    table = tables.plans
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        query = plan_summaries().where(table.c.environment_id == home.id, *([table.c.digest == digest] if digest else []))
        found = connection.execute(look(query, window, table.c.created_at, table.c.id, newest_first=True)).all()
    rows, last = cut(found, window, lambda row: (float(row.created_at), str(row.id)))
    return Part([_view(row, str(home.name)) for row in rows], last)


def show(context: ServerContext, plan_id: str) -> PlanView:
    """One plan's summary. Raises NotFoundError."""
    table, environments = tables.plans, tables.environments
    with context.database.read() as connection:
        query = plan_summaries().where(or_(table.c.id == plan_id, table.c.digest == plan_id))
        row = connection.execute(query.order_by(table.c.created_at.desc())).first()
        if row is None:
            raise NotFoundError(f"plan {plan_id!r} is not there.", remedy="'stoker plan list ENVIRONMENT' shows all.")
        name = connection.execute(select(environments.c.name).where(environments.c.id == row.environment_id)).scalar_one()
    return _view(row, str(name))


def _view(row: Row[Any], environment: str) -> PlanView:
    summary = msgspec.json.decode(row.summary, type=_Summary)
    return PlanView(
        id=row.id,
        environment=environment,
        environment_id=row.environment_id,
        digest=row.digest,
        revision=row.revision,
        created_at=row.created_at,
        counts=summary.counts,
        warnings=summary.warnings,
        primaries=summary.primaries,
        selection=summary.selection,
        computed=summary.computed,
    )


def load(context: ServerContext, plan_id: str) -> StoredPlan:
    """A whole plan. Raises NotFoundError."""
    with context.database.read() as connection:
        return load_plan(connection, plan_id)


def refuse_outdated(context: ServerContext, stored: StoredPlan, *, look: bool = True) -> int:
    """Hold a plan against the present: the database, and with ``look`` what is on the nodes.

    Nodes that cannot be reached are left out here: their tasks will fail, and the tolerance decides.

    Returns:
        The environment's revision of which this is true.

    Raises:
        PlanOutdatedError: an input has changed; each is named.
    """
    with context.database.read() as connection:
        old = load_snapshot(connection, stored.id)
        now = snapshots.read_stored(context, connection, stored.environment_id)
    changed = list(snapshots.stored_differences(old, now.snapshot))
    if not changed and look:
        changed = context.wait(look_again(context, old, now, {node.id for node in stored.plan.nodes if not node.outside}))
    if changed:
        raise outdated(stored, changed)
    return now.revision


def outdated(stored: StoredPlan, changed: list[str]) -> PlanOutdatedError:
    """The refusal of a plan whose inputs have changed."""
    shown = "; ".join(changed[:_INPUTS_SHOWN]) + ("; and more" if len(changed) > _INPUTS_SHOWN else "")
    return PlanOutdatedError(
        f"plan {stored.id} is outdated, its inputs have changed since: {shown}.",
        remedy="Make a new plan, read it, and deploy that.",
        changed=changed,
    )


async def look_again(context: ServerContext, old: Snapshot, now: snapshots.Gathered, wanted: Collection[str]) -> list[str]:
    """What is found on nodes otherwise than the snapshot says.

    Args:
        context: the server.
        old: the plan's snapshot.
        now: what the database says.
        wanted: ids of the nodes to look at.
    """
    now = msgspec.structs.replace(now, snapshot=with_computed(now.snapshot, old))  # as planned; hooks are not asked again
    lists = await snapshots.watch_lists(context, now.snapshot)
    watches = {node.id: watch for node, watch in zip(now.snapshot.nodes, lists, strict=True)}
    snapshot = msgspec.structs.replace(now.snapshot, nodes=[node for node in now.snapshot.nodes if node.id in wanted])
    now = msgspec.structs.replace(now, snapshot=snapshot, targets=[target for target in now.targets if target.id in wanted])
    watchers = Watchers(context, now.targets)
    try:
        await watchers.connect({})  # facts are read anew, however young the stored ones are
        await watchers.observe(watches)
    finally:
        await watchers.close()
    seen = snapshots.with_observations(context, snapshots.keep_seen(context, now, watchers), watchers).snapshot
    before = {node.id: node for node in old.nodes}
    return [
        difference
        for node in seen.nodes
        if watchers.seen[node.id].failure is None
        for difference in snapshots.observed_differences(before[node.id], node, old.secret_hashes, seen.secret_hashes)
    ]
