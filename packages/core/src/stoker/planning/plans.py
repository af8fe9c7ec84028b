# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans: the way from a snapshot to a plan, told in order."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from stoker_sdk.extension_points.tasks import Service
from stoker_sdk.model.finding import Finding

from stoker.domain.plan import Barrier, Plan, PlannedInstance, PlannedNode
from stoker.domain.snapshot import Snapshot
from stoker.errors import PlanningError
from stoker.planning.actions import Actions
from stoker.planning.computed import missing, planned_computed
from stoker.planning.definitions import TaskSource, task_sources
from stoker.planning.files import Contents, FileProgram, file_programs
from stoker.planning.fitting import check_operating_systems
from stoker.planning.generated import GeneratedTasks
from stoker.planning.graph import Order, order_definitions
from stoker.planning.instances import TaskTemplate
from stoker.planning.kinds import apply_kinds
from stoker.planning.overrides import Overrides, check_overrides
from stoker.planning.owners import Want, clashes, constant_content, contested, holds_here
from stoker.planning.packages import PackageProgram
from stoker.planning.parts import NodeClass, Origins, classify, read_plugins
from stoker.planning.patches import apply_patches
from stoker.planning.planned_tasks import planned_patches, planned_task
from stoker.planning.references import check_expressions
from stoker.planning.removal import Removal, not_undone
from stoker.planning.repositories import RepositoryProgram, differing_packages
from stoker.planning.role_limits import check_assignment, check_left_out, primaries_left_out, tolerances
from stoker.planning.secret_places import SecretPlaces
from stoker.planning.selection import Chosen, check_selection, renumbered, torn
from stoker.planning.tables import NodeState, Tables

_SHOWN: Final = 5


def make_plan(snapshot: Snapshot) -> Plan:
    """The plan that a snapshot leads to; equal snapshots give equal plans, byte for byte.

    Raises:
        PlanningError: with a finding for each fault; nothing is planned then.
    """
    was_enabled = gc.isenabled()
    gc.disable()  # a plan is one large tree without circles; looking for some costs a third of the time
    try:
        return _Planner(snapshot).plan()
    finally:
        if was_enabled:
            gc.enable()


class _Group(msgspec.Struct, frozen=True):
    """What is prepared for one class of nodes."""

    generated: GeneratedTasks
    programs: list[FileProgram]
    tasks: list[TaskTemplate]
    checks: list[TaskTemplate]
    contested: list[list[Want]]
    """What may be wanted in two ways."""
    units: dict[str, int]
    """Unit -> the last task that wants it in a state: only that state is looked for."""


class _Planner:
    """Holds the tables while a plan is made."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = msgspec.structs.replace(
            snapshot,
            plugins=sorted(snapshot.plugins, key=lambda plugin: plugin.name),
            nodes=sorted(snapshot.nodes, key=lambda node: node.name),
        )
        self.secrets = SecretPlaces(snapshot.marker)
        self.tables = Tables(contents=Contents(self.secrets), actions=Actions(), origins=Origins())
        self.read = read_plugins(self.snapshot, self.secrets)
        self.parts, self.membership = self.read.plugins, self.read.membership
        self.findings = list(self.read.findings)
        self.chosen = None if snapshot.selection is None else Chosen(snapshot.selection)
        self.overrides = Overrides(snapshot.overrides, self.secrets)
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        """Check, order, make every node's instances, and put the plan together."""
        self.findings += check_expressions(self.parts, self.read.services)
        self.findings += check_overrides(self.parts, self.snapshot.overrides)
        self.findings += differing_packages([part for part in self.parts if not part.plugin.removing])
        self._stop_on_findings()
        self.parts, findings = apply_kinds(self.parts)
        self.findings += findings
        self.parts, findings = apply_patches(self.parts)
        self.findings += findings
        findings, self.warnings = check_assignment(self.parts, self.snapshot.nodes)
        self.warnings += [*not_undone(self.parts), *missing(self.snapshot.plugins)]
        self.findings += findings
        self.findings += check_operating_systems(self.parts, self.snapshot.nodes, self.membership)
        findings, warnings = check_left_out(self.snapshot.nodes, tolerances(self.parts, self.snapshot.roles), self.chosen)
        self.findings += findings
        self.warnings += [*warnings, *primaries_left_out(self.snapshot.nodes, self.membership.primaries)]
        sources, findings = task_sources(self.parts, self.snapshot)
        self.findings += findings
        roles = [role.name for part in self.parts for role in part.roles]
        if self.snapshot.selection is not None:
            names = [source.definition.name for source in sources]
            self.findings += check_selection(self.snapshot.selection, self.snapshot.nodes, roles, names)
        order, findings = order_definitions([source.definition for source in sources], roles, self.read.services)
        self.findings += findings
        self._stop_on_findings()
        by_name = {source.definition.name: source for source in sources}
        ordered = [by_name[definition.name] for definition in order.definitions]
        self._make_instances(ordered)
        self._stop_on_findings()
        return self._assemble(order, ordered)

    def _stop_on_findings(self) -> None:
        findings = [self.secrets.in_words(finding) for finding in self.findings]
        refuse(findings, f"environment {self.snapshot.environment_name} cannot be planned")

    def _make_instances(self, ordered: Sequence[TaskSource]) -> None:
        templates = [TaskTemplate(index, source, self.tables, self.snapshot) for index, source in enumerate(ordered)]
        index = {source.definition.name: number for number, source in enumerate(ordered)}
        removal = Removal(ordered, self.parts, templates, self.tables, self.membership)
        groups: dict[int, _Group] = {}
        for node_class in classify(self.snapshot.nodes, self.membership):
            group = self._group(node_class, templates, index)
            groups.update(dict.fromkeys(node_class.nodes, group))
        for number in sorted(groups):
            self._one_node(number, groups[number], removal)
        self.findings += self.tables.findings
        for group in {id(group): group for group in groups.values()}.values():
            for program in group.programs:
                self.findings += program.findings

    def _group(self, node_class: NodeClass, templates: Sequence[TaskTemplate], index: dict[str, int]) -> _Group:
        staying = [part for part in self.parts if not part.plugin.removing]
        programs, findings = file_programs(staying, node_class, self.tables.origins, self.tables.contents, self.overrides)
        self.findings += findings
        packages = PackageProgram(staying, node_class, self.tables.origins)
        repositories = RepositoryProgram(staying, node_class, self.snapshot.repository, self.tables)
        chosen = [template for template in templates if _selected(template.source, node_class)]
        return _Group(
            generated=GeneratedTasks(programs, packages, repositories, index, self.tables),
            programs=programs,
            tasks=[template for template in chosen if template.source.check is None],
            checks=[template for template in chosen if template.source.check is not None],
            contested=contested(staying, node_class),
            units={
                template.source.task.name: template.index
                for template in chosen
                if isinstance(template.source.task, Service) and not template.source.skipped
            },
        )

    def _one_node(self, number: int, group: _Group, removal: Removal) -> None:
        tables = self.tables
        starts = len(tables.instances), len(tables.files), len(tables.packages)
        state = NodeState(number, self.snapshot.nodes[number], group.units, self.chosen)
        self._check_owners(state, group.contested)
        group.generated.add_packages(state)
        group.generated.add_files(state, self.snapshot.secret_hashes)
        for template in group.tasks:
            template.add(state)
        removal.add(state)
        for template in group.checks:
            template.add_check(state)
        if state.left:
            tables.leave_out(state.left.values(), *starts[1:])
        tables.instances[starts[0] :] = sorted(tables.instances[starts[0] :], key=_task_of)
        tables.files[starts[1] :] = sorted(tables.files[starts[1] :], key=lambda file: (file.path, file.task))
        tables.packages[starts[2] :] = sorted(tables.packages[starts[2] :], key=lambda package: (package.name, package.task))

    def _check_owners(self, state: NodeState, groups: Sequence[Sequence[Want]]) -> None:
        if groups:
            for part in self.parts:
                part.scope.enter(state.index)
            for finding in clashes(groups, holds_here, constant_content):
                self.tables.fault(finding, state.node.name)

    def _assemble(self, order: Order, ordered: Sequence[TaskSource]) -> Plan:
        tables, snapshot = self.tables, self.snapshot
        present = sorted({instance.task for instance in tables.instances})
        place = {task: number for number, task in enumerate(present)}
        left_out = renumbered(tables.left_out, place)
        barriers, groups, waits = self._barriers(order, place)
        if len(place) < len(ordered):
            _renumber(tables, place)
        plan = Plan(
            environment_id=snapshot.environment_id,
            environment_name=snapshot.environment_name,
            nodes=[
                PlannedNode(
                    id=node.id,
                    name=node.name,
                    roles=sorted(node.roles),
                    removing=node.removing,
                    left_out=node.left_out,
                    outside=self.chosen is not None and not self.chosen.node(node),
                )
                for node in snapshot.nodes
            ],
            tasks=[
                planned_task(ordered[task], [place[first] for first in order.after[task] if first in place], waits.get(task, []))
                for task in present
            ],
            instances=tables.instances,
            actions=tables.actions.items,
            contents=tables.contents.items,
            befores=tables.befores,
            files=tables.files,
            packages=tables.packages,
            origins=tables.origins.items,
            barriers=barriers,
            groups=groups,
            tolerance=tolerances(self.parts, snapshot.roles),
            primaries=dict(sorted(self.membership.primaries.items())),
            warnings=[*self.warnings, *self._readable_secrets()],
            patches=planned_patches(self.parts, {ordered[task].definition.name: place[task] for task in present}, tables.origins),
            # A part leaves the rest of the removal to a plan of the whole.
            remove_plugins=[part.plugin.name for part in self.parts if part.plugin.removing and self.chosen is None],
            selection=snapshot.selection,
            left_out=left_out,
            computed=planned_computed(snapshot.plugins),
            snapshot=hashlib.sha256(msgspec.json.encode(snapshot)).hexdigest(),
        )
        return msgspec.structs.replace(plan, warnings=[*plan.warnings, *torn(plan)]) if left_out else plan

    def _readable_secrets(self) -> list[str]:
        """A warning for each file with a secret that every user of its node may read."""
        contents = self.tables.contents.items
        open_to_all = {
            (file.path, file.mode)
            for file in self.tables.files
            if file.content >= 0 and not isinstance(contents[file.content].text, str) and int(file.mode or "0", 8) & 0o004
        }
        return [
            f"{path} holds a secret, and its mode {mode} lets every user of the node read it."
            for path, mode in sorted(open_to_all)
        ]

    def _barriers(self, order: Order, place: dict[int, int]) -> tuple[list[Barrier], list[list[int]], dict[int, list[int]]]:
        """One barrier for each way in which somebody waits for a task; only nodes that have the task count."""
        members: dict[int, list[int]] = {edge.waits_for: [] for edge in order.cross if edge.waits_for in place}
        if members:
            for instance in self.tables.instances:
                if instance.task in members:
                    members[instance.task].append(instance.node)
        member = self.membership.has
        barriers: dict[tuple[int, str, str, str], int] = {}
        groups: dict[tuple[int, ...], int] = {}
        waits: dict[int, list[int]] = {}
        items: list[Barrier] = []
        for edge in order.cross:
            if edge.task not in place or edge.waits_for not in place:
                continue
            key = (edge.waits_for, edge.role, edge.wait, edge.only)
            if key not in barriers:
                group = tuple(node for node in members[edge.waits_for] if member(node, (edge.role,)))
                barriers[key] = len(items) if group else -1
                if group:
                    number = groups.setdefault(group, len(groups))
                    holds = -1
                    if edge.only != "*":
                        held = tuple(node for node in range(len(self.snapshot.nodes)) if member(node, (edge.only,)))
                        holds = groups.setdefault(held, len(groups))
                    items.append(Barrier(task=place[edge.waits_for], group=number, wait=edge.wait, holds=holds))
            if barriers[key] >= 0:
                waits.setdefault(edge.task, []).append(barriers[key])
        return items, [list(group) for group in groups], waits


def _task_of(instance: PlannedInstance) -> int:
    return instance.task


def _renumber(tables: Tables, place: dict[int, int]) -> None:
    """Take out tasks that no node has."""
    replace = msgspec.structs.replace
    tables.instances = [
        PlannedInstance(place[item.task], item.node, item.action, item.inputs, item.run) for item in tables.instances
    ]
    tables.files = [replace(file, task=place[file.task]) for file in tables.files]
    tables.packages = [replace(package, task=place[package.task]) for package in tables.packages]


def _selected(source: TaskSource, group: NodeClass) -> bool:
    """Contributed tasks of a deployment that this class of nodes has; generated and removal tasks are made elsewhere."""
    if source.part is None or source.part.plugin.removing or source.origin not in ("task", "check"):
        return False
    if source.task is not None and source.task.on == "remove":
        return False
    return group.has(source.roles)


def refuse(findings: Sequence[Finding], what: str) -> None:
    """Raise the error of a plan that cannot be made, if there are findings that refuse it."""
    unique = [finding for finding in dict.fromkeys(findings) if finding.severity == "error"]
    if unique:
        shown = "; ".join(str(finding) for finding in unique[:_SHOWN]) + (" ..." if len(unique) > _SHOWN else "")
        raise PlanningError(f"{what}: {shown}", remedy="Mend what the findings name.", findings=unique)
