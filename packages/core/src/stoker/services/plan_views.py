# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans for people: counts, files with diffs, packages, tasks in order, and where a line came from."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from stoker.domain.plan import Origin, Plan, PlannedFile
from stoker.domain.secret import Text
from stoker.errors import InvalidInputError, NotFoundError
from stoker.orchestration import wording

FILE_CHANGES = frozenset({"create", "change", "drift", "remove", "restore"})
PACKAGE_CHANGES = frozenset({"install", "upgrade", "downgrade", "drift", "remove"})


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """One managed file on one node."""

    node: str
    path: str
    status: str
    owner: str
    group: str
    mode: str
    note: str
    task: str
    plugins: list[str]
    diff: str
    """A unified diff; empty if nothing changes or the file is not text."""


class PackageView(msgspec.Struct, frozen=True, kw_only=True):
    """One package on one node."""

    node: str
    name: str
    status: str
    installed: str
    version: str
    """Empty: the version is decided on the node."""
    constraint: str
    plugins: list[str]


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """One task on one node that a deployment of the plan runs."""

    node: str
    task: str
    plugin: str
    kind: str
    title: str
    reason: str
    text: str
    guard: str
    idempotent: bool
    timeout: int
    not_simulated: bool
    """Whether the node is a simulated one and would only pretend to run it."""
    patched_by: list[str] = []
    """Other plugins that changed the task; the plan's patches say what."""


class PatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a task that other plugins than its own changed."""

    task: str
    field: str
    """``skip``, a field's name, ``environment.NAME``, ``after`` ..."""
    value: str
    """The new value; of an expression its text."""
    plugins: list[str]
    origins: list[Origin]


class LeftOutView(msgspec.Struct, frozen=True, kw_only=True):
    """A task that a partial plan leaves out, and that would run in a plan of the whole."""

    node: str
    task: str
    reason: str
    """Why it would run."""


class ExplainView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a planned file, and what it is made of."""

    plan: str
    node: str
    path: str
    line: int
    text: str
    origins: list[Origin]


def shown(text: Text) -> str:
    """A text with the names of secrets in their places."""
    return text if isinstance(text, str) else "".join(str(piece) for piece in text)


def summarize(plan: Plan) -> dict[str, object]:
    """The counts that a plan's summary shows, its warnings, and the nodes that selectors of one node mean."""
    files: Counter[str] = Counter(file.status for file in plan.files)
    packages: Counter[str] = Counter(package.status for package in plan.packages)
    checks = sum(1 for item in plan.instances if item.run and plan.tasks[item.task].kind == "check")
    running = sum(1 for item in plan.instances if item.run)
    counts = {
        "files": sum(files[status] for status in FILE_CHANGES),
        "files_write": files["create"] + files["change"] + files["drift"],
        "files_remove": files["remove"] + files["restore"],
        "packages": sum(packages[status] for status in PACKAGE_CHANGES),
        "packages_install": sum(packages[status] for status in PACKAGE_CHANGES) - packages["remove"],
        "packages_remove": packages["remove"],
        "tasks": running - checks,
        "checks": checks,
        "skipped": len(plan.instances) - running,
        "nodes": len({item.node for item in plan.instances if item.run}),
        "left_out": len(plan.left_out),
        "drift": files["drift"] + packages["drift"] + _drifting_services(plan),
    }
    primaries = {selector: plan.nodes[place].name for selector, place in plan.primaries.items()}
    return {
        "counts": counts,
        "warnings": plan.warnings,
        "primaries": primaries,
        "selection": plan.selection,
        "computed": plan.computed,
    }


def _drifting_services(plan: Plan) -> int:
    return sum(1 for item in plan.instances if item.run == "drift" and plan.tasks[item.task].kind == "service")


def node_number(plan: Plan, node: str) -> int:
    """A node's place in the plan, by name or id.

    Raises:
        NotFoundError: the plan does not have it.
    """
    for number, planned in enumerate(plan.nodes):
        if node in (planned.name, planned.id):
            return number
    raise NotFoundError(f"node {node!r} is not in this plan.", remedy="'stoker plan show' lists its nodes.")


def file_views(plan: Plan, *, node: str = "", everything: bool = False) -> list[FileView]:
    """The plan's files; unchanged ones only with ``everything``."""
    wanted = node_number(plan, node) if node else None
    return [
        FileView(
            node=plan.nodes[file.node].name,
            path=file.path,
            status=file.status,
            owner=file.owner,
            group=file.group,
            mode=file.mode,
            note=file.note,
            task=plan.tasks[file.task].name,
            plugins=_plugins_of(plan, file),
            diff=diff(plan, file) if file.status in FILE_CHANGES else "",
        )
        for file in plan.files
        if (wanted is None or file.node == wanted) and (everything or file.status in FILE_CHANGES)
    ]


def _plugins_of(plan: Plan, file: PlannedFile) -> list[str]:
    if file.content < 0:
        return [plan.tasks[file.task].plugin]
    numbers = {number for line in plan.contents[file.content].lines for number in line}
    return _plugins(plan, numbers) or [plan.tasks[file.task].plugin]


def _plugins(plan: Plan, numbers: Iterable[int]) -> list[str]:
    return sorted({plan.origins[number].plugin for number in numbers})


def diff(plan: Plan, file: PlannedFile) -> str:
    """What changes in a file, line by line; secrets stand as their names."""
    before = "" if file.before < 0 else plan.befores[file.before]
    after = "" if file.content < 0 else shown(plan.contents[file.content].text)
    if file.status == "restore":
        return ""  # the kept original is on the node alone
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"{file.path} (on the node)",
        f"{file.path} (planned)",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def package_views(plan: Plan, *, node: str = "") -> list[PackageView]:
    """The plan's packages."""
    wanted = node_number(plan, node) if node else None
    return [
        PackageView(
            node=plan.nodes[package.node].name,
            name=package.name,
            status=package.status,
            installed=package.installed,
            version=package.version,
            constraint=package.constraint,
            plugins=_plugins(plan, package.origins) or [plan.tasks[package.task].plugin],
        )
        for package in plan.packages
        if wanted is None or package.node == wanted
    ]


def task_views(plan: Plan, *, node: str = "") -> list[TaskView]:
    """What a deployment runs, in plan order: task by task, on each of its nodes."""
    wanted = node_number(plan, node) if node else None
    return list(_task_views(plan, wanted))


def _task_views(plan: Plan, wanted: int | None) -> Iterator[TaskView]:
    patched: dict[int, set[str]] = {}
    for patch in plan.patches:
        patched.setdefault(patch.task, set()).update(_plugins(plan, patch.origins))
    pretended = {(plan.instances[number].task, plan.instances[number].node) for number in plan.pretended}
    for item in sorted((item for item in plan.instances if item.run), key=lambda item: (item.task, item.node)):
        if wanted is not None and item.node != wanted:
            continue
        task, action = plan.tasks[item.task], plan.actions[item.action]
        yield TaskView(
            node=plan.nodes[item.node].name,
            task=task.name,
            plugin=task.plugin,
            kind=task.kind,
            title=task.title,
            reason=item.run,
            text=wording.command(action),
            guard=wording.guard(action),
            idempotent=task.idempotent,
            timeout=task.timeout,
            not_simulated=(item.task, item.node) in pretended,
            patched_by=sorted(patched.get(item.task, ())),
        )


def patch_views(plan: Plan) -> list[PatchView]:
    """What plugins changed in each other's tasks, in the order of the tasks."""
    return [
        PatchView(
            task=plan.tasks[patch.task].name,
            field=patch.field,
            value=patch.value,
            plugins=_plugins(plan, patch.origins),
            origins=[plan.origins[number] for number in patch.origins],
        )
        for patch in plan.patches
    ]


def left_out_views(plan: Plan) -> list[LeftOutView]:
    """What a partial plan leaves out, by node."""
    return [
        LeftOutView(node=plan.nodes[item.node].name, task=plan.tasks[item.task].name, reason=item.reason)
        for item in plan.left_out
    ]


def explain(plan: Plan, plan_id: str, node: str, path: str, line: int) -> ExplainView:
    """Where one line of a planned file came from.

    Raises:
        NotFoundError: the plan does not write this file on this node.
        InvalidInputError: the file has no such line.
    """
    number = node_number(plan, node)
    name = plan.nodes[number].name
    file = next((item for item in plan.files if item.node == number and item.path == path), None)
    if file is None or file.content < 0:
        raise NotFoundError(f"{path} is not written on node {name} in this plan.", remedy="'stoker plan show' lists the files.")
    content = plan.contents[file.content]
    lines = shown(content.text).splitlines()
    if not 1 <= line <= len(lines):
        raise InvalidInputError(f"{path} has {len(lines)} lines, line {line} is not among them.", remedy="Give one of them.")
    numbers = content.lines[line - 1] if line <= len(content.lines) else []
    origins = [plan.origins[origin] for origin in numbers]
    if not content.lines:
        task = plan.tasks[file.task]
        origins = [Origin(plugin=task.plugin, version="", contribution=task.contribution or task.name)]
    return ExplainView(plan=plan_id, node=name, path=path, line=line, text=lines[line - 1], origins=origins)
