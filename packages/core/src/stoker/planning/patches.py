# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Patches: what plugins change in each other's tasks is merged field by field and put into the tasks, before they are ordered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeVar, cast

import msgspec
from stoker_sdk.errors import ExpressionError
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.extension_points.task_patches import Extend, Replace, TaskPatch
from stoker_sdk.model.dependency import Edge
from stoker_sdk.model.expression import Value, condition_source
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.model.program import compile_expression

from stoker.planning.parts import PluginParts
from stoker.planning.patched import Borrowed, Patched, PatchedEdge, PatchedField
from stoker.planning.values import ValueFault, sources, write_text
from stoker.planning.variables import unfit_variable

_TIMING: Final = ("timeout", "retries", "retry_interval")
_MAPS: Final = ("environment", "parameters")
_LISTS: Final = ("run_on", "restart_on")
_KNOWN_EARLY: Final = frozenset({"settings", "environment"})
"""Variables whose values are known before any node is."""

Member = TypeVar("Member", bound=tasks.Task | HealthCheck)


class _Target(msgspec.Struct, frozen=True):
    """A task that can be patched; generated ones have no contribution of their own."""

    name: str
    part: PluginParts
    member: tasks.Task | HealthCheck | None

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return "generated task" if self.member is None else str(self.member.__struct_config__.tag)

    def fields(self) -> list[str]:
        """What of it can be replaced."""
        if self.member is None:
            return list(_TIMING)
        has = set(self.member.__struct_fields__) & set(Replace.__struct_fields__)
        if not isinstance(self.member, tasks.Service):
            has.discard("state")
        return sorted(has)


class _Given(msgspec.Struct, frozen=True):
    """One value that one patch gives."""

    part: PluginParts
    patch: TaskPatch
    value: object


def apply_patches(parts: Sequence[PluginParts], *, early: bool = False) -> tuple[list[PluginParts], list[Finding]]:
    """The plugins with each other's patches applied, and a finding for each patch that cannot be; the order does not matter.

    Args:
        parts: ordered by name; patches of plugins that are removed no longer count.
        early: settings may still be incomplete: what cannot be evaluated yet is left to the plan.
    """
    staying = [part for part in parts if not part.plugin.removing]
    targets = {target.name: target for part in staying for target in _targets(part)}
    findings: list[Finding] = []
    wanted: dict[str, list[tuple[PluginParts, TaskPatch]]] = {}
    for part in staying:
        for patch in part.contributions:
            if not isinstance(patch, TaskPatch):
                continue
            faults = list(_misdirected(part, patch, targets))
            findings += faults
            try:
                counts = not faults and patch.task in targets and part.scope.holds(patch.when, patch.label)
            except ValueFault as fault:
                counts = False
                findings += [] if early else [fault.finding]
            if counts:
                wanted.setdefault(patch.task, []).append((part, patch))
    patched: dict[str, Patched] = {}
    members: dict[str, tasks.Task | HealthCheck] = {}
    for name, patches in sorted(wanted.items()):
        merging = _Merging(targets[name], patches, targets)
        patched[name] = merging.result
        if targets[name].member is not None:
            members[name] = merging.member()
        findings += merging.findings
    return [_with(part, patched, members) for part in parts], findings


def _targets(part: PluginParts) -> Iterator[_Target]:
    name = part.plugin.name
    for task in part.tasks:
        yield _Target(f"{name}.{task.id}", part, task)
    for check in part.checks:
        yield _Target(f"{name}.check.{check.id}", part, check)
    if part.packages:
        yield _Target(f"{name}.packages", part, None)
    if part.files:
        yield _Target(f"{name}.files", part, None)


def _misdirected(part: PluginParts, patch: TaskPatch, targets: Mapping[str, _Target]) -> Iterator[Finding]:
    """Why a patch cannot be applied to what it names."""
    target = targets.get(patch.task)
    source = condition_source(patch.when)
    if source is not None and not _is_early(source):
        message = f"the condition {source!r} reads nodes, but a patch is for all nodes of a task."
        yield _fault(part, patch, "H005", "when", message, "Use settings and environment alone.")
    if patch.task.startswith(f"{part.plugin.name}."):
        yield _fault(part, patch, "H004", "task", f"{patch.task} is the plugin's own task.", "Change the task itself.")
    elif target is None and not patch.optional:
        message = f"no enabled plugin has the task {patch.task!r}."
        remedy = f"{did_you_mean(patch.task, targets)}Enable the plugin that has it, or set optional if it may be missing."
        yield _fault(part, patch, "H006", "task", message, remedy)
    elif target is not None and isinstance(target.member, tasks.Task) and target.member.on == "remove":
        message = f"{patch.task} runs when its plugin is removed; only that plugin decides how."
        yield _fault(part, patch, "H009", "task", message, "Patch a task of deployments.")


def _is_early(source: str) -> bool:
    try:
        return compile_expression(source).variables <= _KNOWN_EARLY
    except ExpressionError:
        return True  # told with the other expressions


def _fault(part: PluginParts, patch: TaskPatch, rule: str, field: str, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, plugin=part.plugin.name, contribution=patch.label, field=field, message=message, remedy=remedy)


class _Merging:
    """All patches of one task become one."""

    def __init__(self, target: _Target, patches: Sequence[tuple[PluginParts, TaskPatch]], targets: Mapping[str, _Target]) -> None:
        self.findings: list[Finding] = []
        self.result = Patched()
        self._target = target
        self._patches = patches
        self._values: dict[str, object] = {}
        self._owners: dict[str, _Given] = {}
        self._refuse_skipped_changes()
        for field, given in sorted(self._given().items()):
            self._merge(field, given)
        for part, patch in patches:
            for index, field, edge in _edges(patch.extend or Extend()):
                place = f"extend.{field}[{index}]"
                self.result.edges.append(
                    PatchedEdge(plugin=part.plugin.name, label=patch.label, field=field, place=place, edge=edge)
                )
                self._tell(field, edge if isinstance(edge, str) else edge.task, [_Given(part, patch, None)])
            self._triggers(part, patch, targets)

    def member(self) -> tasks.Task | HealthCheck:
        """The task with its new values."""
        member = self._target.member
        assert member is not None
        changes: dict[str, object] = {field: value for field, value in self._values.items() if "." not in field}
        for place in _MAPS:
            values = {name.partition(".")[2]: value for name, value in self._values.items() if name.startswith(f"{place}.")}
            if values:
                changes[place] = {**getattr(member, place), **values}
        for field in _LISTS:
            added = [trigger for trigger in self._added(field) if trigger not in getattr(member, field, ())]
            if added:
                changes[field] = [*getattr(member, field), *added]
        made = msgspec.structs.replace(member, **changes)
        known = {(finding.rule, finding.field) for finding in member.check()}
        for finding in made.check():
            owner = self._owners.get(finding.field)
            if (finding.rule, finding.field) not in known and owner is not None:
                self.findings.append(
                    msgspec.structs.replace(
                        finding,
                        plugin=owner.part.plugin.name,
                        contribution=owner.patch.label,
                        field=f"replace.{finding.field}",
                    )
                )
        return made

    def _given(self) -> dict[str, list[_Given]]:
        """Every field that is patched, with all that is given for it."""
        given: dict[str, list[_Given]] = {}
        for part, patch in self._patches:
            values: list[tuple[str, object]] = [("skip", True)] if patch.skip else []
            values += [
                (field, value)
                for field, value in _replaced(patch.replace or Replace())
                if self._fits(part, patch, field, f"replace.{field}")
            ]
            values += [
                (field, value)
                for field, value in _mapped(patch.extend or Extend())
                if self._fits(part, patch, field, f"extend.{field}", new=True)
            ]
            for field, value in values:
                given.setdefault(field, []).append(_Given(part, patch, value))
        return given

    def _fits(self, part: PluginParts, patch: TaskPatch, field: str, place: str, *, new: bool = False) -> bool:
        """Whether the target has such a field; a finding if not."""
        target = self._target
        name, _, key = field.partition(".")
        if name not in target.fields():
            message = f"{target.name} is a {target.kind}, of which {name} cannot be patched."
            remedy = f"{did_you_mean(name, target.fields())}Of this one can be replaced: {', '.join(target.fields())}."
            self.findings.append(_fault(part, patch, "H007", place, message, remedy))
            return False
        if not key:
            return True
        there = key in getattr(target.member, name)
        if there == new:
            says = f"{target.name} has {name} {key} already." if new else f"{target.name} has no {name} {key} to replace."
            remedy = "Use replace for what is there, and extend for what is new."
            self.findings.append(_fault(part, patch, "H012", place, says, remedy))
            return False
        reason = unfit_variable(key, None) if name == "environment" else None
        if reason is not None:
            self.findings.append(_fault(part, patch, "T020", place, *reason))
        return reason is None

    def _merge(self, field: str, given: Sequence[_Given]) -> None:
        first = given[0]
        if field == "skip":
            if self._target.member is None:
                message = f"{self._target.name} brings the merged state of several plugins and cannot be skipped."
                remedy = "Disable the plugin, or change what it wants through its settings."
                self.findings += [_fault(item.part, item.patch, "H008", "skip", message, remedy) for item in given]
                return
            self.result.skip = True
            self._tell(field, "skipped", given)
            return
        borrowed = Borrowed(field, [(item.part.scope, item.patch.label, item.value) for item in given])
        early = [_early(item) for item in given]
        values = [value for value in early if value is not _LATER]
        if len({repr(value) for value in values}) > 1 and len(values) == len(given):
            self.findings.append(borrowed.conflict(values))
            return
        self._owners[field] = first
        constant = all(not sources(item.value) for item in given)
        self._values[field] = first.value if constant else borrowed
        if self._target.member is None:
            self.result.timing[field] = cast("float", first.value)
        texts = sources(first.value)
        self._tell(field, texts[0] if texts else write_text(first.value), given)

    def _tell(self, field: str, value: str, given: Sequence[_Given]) -> None:
        owners = [(item.part.plugin, item.patch, item.value) for item in given]
        same = next((known for known in self.result.fields if (known.field, known.value) == (field, value)), None)
        if same is None:
            self.result.fields.append(PatchedField(field=field, value=value, owners=list(owners)))
        else:
            same.owners.extend(owner for owner in owners if owner[:2] not in [known[:2] for known in same.owners])

    def _refuse_skipped_changes(self) -> None:
        skipping = [(part, patch) for part, patch in self._patches if patch.skip]
        changing = [
            (part, patch)
            for part, patch in self._patches
            if patch.replace not in (None, Replace()) or any(True for _ in _mapped(patch.extend or Extend()))
        ]
        if skipping and changing:
            one, two = skipping[0], changing[0]
            message = (
                f"{self._target.name} is skipped by {one[0].plugin.name} ({one[1].label}), "
                f"but {two[0].plugin.name} ({two[1].label}) changes what it does."
            )
            self.findings.append(_fault(*one, "H011", "skip", message, "Disable one of the plugins, or make them agree."))

    def _triggers(self, part: PluginParts, patch: TaskPatch, targets: Mapping[str, _Target]) -> None:
        for field in _LISTS:
            given = getattr(patch.extend, field, ())
            if not given:
                continue
            member = self._target.member
            if not getattr(member, field, ()) and (field == "run_on" or not isinstance(member, tasks.Service)):
                message = f"{self._target.name} has no {field} that could be extended."
                self.findings.append(
                    _fault(part, patch, "H013", f"extend.{field}", message, "Order your own task after it instead.")
                )
                continue
            for trigger in given:
                full = _whole_name(trigger, part.plugin.name, targets)
                self.result.triggers.setdefault(full, (part.plugin.name, patch.label))
                self._tell(field, full, [_Given(part, patch, None)])

    def _added(self, field: str) -> list[str]:
        return sorted(known.value for known in self.result.fields if known.field == field)


def _whole_name(trigger: str, plugin: str, targets: Mapping[str, _Target]) -> str:
    """A trigger as the target's plugin has to write it."""
    kind, _, name = trigger.partition(":")
    return f"task:{plugin}.{name}" if kind == "task" and name not in targets and f"{plugin}.{name}" in targets else trigger


def _replaced(replace: Replace) -> Iterator[tuple[str, object]]:
    for field in Replace.__struct_fields__:
        value = getattr(replace, field)
        if field not in _MAPS and value is not None:
            yield field, value
    yield from _mapped(replace)


def _mapped(change: Replace | Extend) -> Iterator[tuple[str, Value]]:
    for field in _MAPS:
        for name, value in getattr(change, field).items():
            yield f"{field}.{name}", value


def _edges(extend: Extend) -> Iterator[tuple[int, Literal["after", "before"], Edge]]:
    for index, edge in enumerate(extend.after):
        yield index, "after", edge
    for index, edge in enumerate(extend.before):
        yield index, "before", edge


_LATER: Final = object()


def _early(given: _Given) -> object:
    """A value that is known before any node is, or ``_LATER``."""
    if not all(_is_early(source) for source in sources(given.value)):
        return _LATER
    try:
        return given.part.scope.evaluate(given.value, given.patch.label)
    except ValueFault:
        return _LATER  # settings are incomplete still, or the plan will tell


def _with(part: PluginParts, patched: Mapping[str, Patched], members: Mapping[str, tasks.Task | HealthCheck]) -> PluginParts:
    """A plugin with the patches of its own tasks."""
    mine = {target.name: patched[target.name] for target in _targets(part) if target.name in patched}
    if not mine or part.plugin.removing:
        return part
    name = part.plugin.name
    made_tasks = list(_made(part.tasks, f"{name}.", members))
    made_checks = list(_made(part.checks, f"{name}.check.", members))
    return msgspec.structs.replace(
        part,
        patched=mine,
        tasks=[task for task in made_tasks if not _skipped(mine, f"{name}.{task.id}")],
        skipped_tasks=[task for task in made_tasks if _skipped(mine, f"{name}.{task.id}")],
        checks=[check for check in made_checks if not _skipped(mine, f"{name}.check.{check.id}")],
        skipped_checks=[check for check in made_checks if _skipped(mine, f"{name}.check.{check.id}")],
    )


def _made(members: Iterable[Member], prefix: str, made: Mapping[str, tasks.Task | HealthCheck]) -> Iterator[Member]:
    for member in members:
        yield cast("Member", made.get(f"{prefix}{member.id}", member))


def _skipped(patched: Mapping[str, Patched], name: str) -> bool:
    return name in patched and patched[name].skip
