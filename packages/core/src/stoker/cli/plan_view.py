# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plan looks like at a terminal: a coloured diff, equal changes of several nodes told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from stoker.cli.output import names, plural
from stoker.cli.problems import printable

if TYPE_CHECKING:
    from stoker.client.documents import (
        ComputedDocument,
        DryRunDocument,
        ExplainDocument,
        LeftOutDocument,
        PlanDocument,
        PlanFileDocument,
        PlanPackageDocument,
        PlanPatchDocument,
        PlanTaskDocument,
    )

_FILE_MARKS = {
    "create": ("+", "green", "new file"),
    "change": ("~", "yellow", "changed"),
    "drift": ("!", "magenta", "drift: changed on the node since the last deployment, will be put back"),
    "remove": ("-", "red", "removed"),
    "restore": ("-", "red", "the original is put back"),
    "same": (" ", "bright_black", "unchanged"),
}
_PACKAGE_MARKS = {
    "install": ("+", "green", "install"),
    "upgrade": ("~", "yellow", "upgrade"),
    "downgrade": ("~", "yellow", "downgrade"),
    "drift": ("!", "magenta", "drift: gone from the node or changed there, install again"),
    "remove": ("-", "red", "remove"),
    "keep": (" ", "bright_black", "keep"),
    "same": (" ", "bright_black", "unchanged"),
}
_REASONS = {
    "new": "not done here yet",
    "inputs": "its inputs changed",
    "drift": "drift on the node",
    "triggered": "triggered by a change",
    "always": "runs every time",
    "remove": "removal",
    "check": "proves the result",
}
_VERBS = {"remove": "remove", "restore": "put back"}
"""What a task does to a file that no plugin wants any more; all else is in the task's own text."""
_UNCHANGED = frozenset({"same", "keep"})


def render_plan(
    plan: PlanDocument,
    files: Sequence[PlanFileDocument],
    packages: Sequence[PlanPackageDocument],
    tasks: Sequence[PlanTaskDocument],
    patches: Sequence[PlanPatchDocument] = (),
    left_out: Sequence[LeftOutDocument] = (),
    *,
    everything: bool = False,
) -> Group:
    """The whole plan; ``everything`` shows what stays the same, too."""
    parts: list[RenderableType] = [_line(f"Plan {plan['id']}", "bold", f" for environment {plan.get('environment', '')}")]
    parts += [Text(f"warning: {printable(warning)}", style="yellow") for warning in plan.get("warnings") or []]
    primaries = sorted((plan.get("primaries") or {}).items())
    if everything or not is_empty(plan, files, packages, tasks):
        parts += _section("One node each", [_line("", "bold", f"  {one} is {node}") for one, node in primaries])
        parts += _section("Packages", _package_lines(packages, everything))
        parts += _section("Files", _file_lines(files, everything))
        parts += _section("Tasks, in order", _task_lines(tasks, _Doing(files, packages)))
        parts += _section("Tasks that other plugins patched", _patch_lines(patches))
    parts += _section("Computed by plugins' code", _computed_lines(plan.get("computed") or []))
    parts += _section("Left out", _left_out_lines(left_out))
    parts += [Text(), summary(plan, files, packages, tasks)]
    return Group(*parts)


def _computed_lines(computed: Sequence[ComputedDocument]) -> Iterator[Text]:
    for item in computed:
        name = f"  {item['plugin']} {item['version']}: before_plan {item['hook']}"
        if item.get("missing"):
            yield _line("", "bold", f"{name} is missing")
            continue
        number = plural(len(item.get("contributions") or []), "contribution")
        yield _line("", "bold", f"{name}, {number}, digest {item['digest'][:12]}")
        for label in item.get("contributions") or []:
            yield _line("", "", f"    {label}")


def is_empty(
    plan: PlanDocument,
    files: Sequence[PlanFileDocument],
    packages: Sequence[PlanPackageDocument],
    tasks: Sequence[PlanTaskDocument],
) -> bool:
    """Whether a deployment of the plan would change nothing."""
    counted = plan.get("counts") or {}
    return not (
        any(file.get("status") not in _UNCHANGED for file in files)
        or any(package.get("status") not in _UNCHANGED for package in packages)
        or any(task.get("reason") not in {"check", ""} for task in tasks)
        or any(counted.get(key) for key in ("files", "packages", "tasks"))
    )


def summary(
    plan: PlanDocument,
    files: Sequence[PlanFileDocument],
    packages: Sequence[PlanPackageDocument],
    tasks: Sequence[PlanTaskDocument],
) -> Text:
    """``Plan: 3 files to write, 2 packages to install, 5 tasks on 3 nodes; 1 check``, or that there is nothing to do."""
    left = (plan.get("counts") or {}).get("left_out", 0)
    if is_empty(plan, files, packages, tasks):
        if left:
            return Text(f"Nothing to do in this part; {plural(left, 'task')} left out.", style="bold yellow")
        return Text("Nothing to do: every node is as planned.", style="bold green")
    running = [task for task in tasks if task.get("reason") not in {"check", ""}]
    checks = sum(1 for task in tasks if task.get("reason") == "check")
    touched = {item.get("node", "") for item in (*files, *packages) if item.get("status") not in _UNCHANGED} | {
        task.get("node", "") for task in running
    }
    counts = [
        (_count(files, "create", "change", "drift"), "file", "to write"),
        (_count(files, "remove"), "file", "to remove"),
        (_count(files, "restore"), "file", "to put back"),
        (_count(packages, "install", "upgrade", "downgrade", "drift"), "package", "to install"),
        (_count(packages, "remove"), "package", "to remove"),
    ]
    parts = [f"{plural(count, word)} {verb}" for count, word, verb in counts if count]
    parts.append(f"{plural(len(running), 'task')} on {plural(len(touched), 'node')}")
    drift = (
        _count(files, "drift")
        + _count(packages, "drift")
        + sum(1 for task in running if task.get("reason") == "drift" and task.get("kind") == "service")
    )
    text = Text("Plan: ", style="bold").append(", ".join(parts), style="bold")
    if checks:
        text.append(f"; {plural(checks, 'check')}")
    if drift:
        text.append(f"; {drift} drifted", style="magenta")
    if left:
        text.append(f"; {plural(left, 'task')} left out", style="yellow")
    return text


def render_explanation(found: ExplainDocument) -> Group:
    """Where one line came from."""
    parts: list[RenderableType] = [
        _line(f"{found['node']} {found['path']}:{found['line']}", "bold"),
        Text(f"  {printable(found.get('text', ''))}", style="cyan"),
    ]
    for origin in found.get("origins") or []:
        parts.append(_line(f"{origin['plugin']} {origin.get('version', '')}", "bold", f"  {origin.get('contribution', '')}"))
        rows = (
            ("settings", ", ".join(origin.get("settings") or [])),
            ("level", origin.get("level", "")),
            ("value", origin.get("expression", "")),
            ("by", origin.get("by", "")),
        )
        parts += [Text(f"  {name}: {printable(value)}") for name, value in rows if value]
    if not found.get("origins"):
        parts.append(
            Text("  no origin: the file is copied as the plugin ships it, or the line separates others", style="bright_black")
        )
    return Group(*parts)


def _count(items: Iterable[PlanFileDocument] | Iterable[PlanPackageDocument], *statuses: str) -> int:
    return sum(1 for item in items if item.get("status") in statuses)


def _section(title: str, lines: Iterable[Text]) -> list[RenderableType]:
    found = list(lines)
    return [Text(), Text(title, style="bold underline"), *found] if found else []


def _line(head: str, style: str, tail: str = "") -> Text:
    return Text(printable(head), style=style).append(Text(printable(tail), style="default not bold"))


def _package_lines(packages: Sequence[PlanPackageDocument], everything: bool) -> Iterator[Text]:
    groups: dict[tuple[str, str, str, str, str], list[str]] = {}
    for package in packages:
        if everything or package.get("status") not in _UNCHANGED:
            wanted = package.get("version") or (
                f"{package['constraint']}, version decided on the node" if package.get("constraint") else ""
            )
            owners = ", ".join(package.get("plugins") or [])
            key = (package["status"], package["name"], package.get("installed", ""), wanted, owners)
            groups.setdefault(key, []).append(package["node"])
    for (status, name, installed, wanted, owners), on in groups.items():
        mark, colour, verb = _PACKAGE_MARKS.get(status, ("?", "", status))
        versions = " -> ".join(part for part in (installed, wanted) if part) or (
            "version decided on the node" if status in {"install", "drift"} else ""
        )
        text = Text(f"  {mark} {printable(name)}", style=colour).append(f"  {versions}" if versions else "", style="default")
        yield text.append(f"  on {names(on)}", style="cyan").append(
            f"  ({verb}{f', {owners}' if owners else ''})", style="bright_black"
        )


def _file_lines(files: Sequence[PlanFileDocument], everything: bool) -> Iterator[Text]:
    groups: dict[tuple[str, str, str, str, str, str], list[str]] = {}
    for file in files:
        if everything or file.get("status") not in _UNCHANGED:
            owner = f"{file.get('owner', '')}:{file.get('group', '')} {file.get('mode', '')}".strip(": ")
            key = (
                file["path"],
                file["status"],
                owner,
                file.get("note", ""),
                ", ".join(file.get("plugins") or []),
                file.get("diff", ""),
            )
            groups.setdefault(key, []).append(file["node"])
    for (path, status, owner, note, plugins, diff), on in sorted(groups.items(), key=lambda item: (item[0][0], item[1])):
        mark, colour, meaning = _FILE_MARKS.get(status, ("?", "", status))
        head = Text(f"  {mark} {printable(path)}", style=f"bold {colour}").append(f"  on {names(on)}", style="not bold cyan")
        details = ", ".join(part for part in (meaning, note, owner if status != "same" else "", plugins) if part)
        yield head.append(f"  ({printable(details)})", style="not bold bright_black")
        yield from _diff_lines(diff)


def _diff_lines(diff: str) -> Iterator[Text]:
    for line in diff.splitlines():
        if line.startswith(("--- ", "+++ ")):
            continue  # the path is in the heading
        style = {"+": "green", "-": "red", "@": "bright_black"}.get(line[:1], "")
        yield Text(f"      {printable(line)}", style=style)


def _patch_lines(patches: Sequence[PlanPatchDocument]) -> Iterator[Text]:
    for patch in patches:
        first, *rest = patch.get("value", "").strip().splitlines() or [""]
        value = f"{first} ..." if rest else first
        what = "skipped" if patch.get("field") == "skip" else f"{patch.get('field', '')}: {value}"
        text = Text("  ~ ", style="yellow").append(printable(patch.get("task", "")), style="bold")
        text.append(f"  {printable(what)}").append(f"  (by {', '.join(patch.get('plugins') or [])})", style="bright_black")
        yield text


_DRY_RUNS = {
    "changes": ("~", "yellow", "would change"),
    "unchanged": (" ", "bright_black", "would change nothing"),
    "failed": ("!", "red", "failed"),
    "untold": ("?", "bright_black", "cannot be told beforehand"),
    "not_simulated": ("?", "yellow", "not simulated"),
}


def render_dry_runs(found: Sequence[DryRunDocument]) -> Group:
    """What each task would change on each node, with its diff."""
    parts: list[RenderableType] = []
    for item in found:
        mark, colour, meaning = _DRY_RUNS.get(item["result"], ("?", "", item["result"]))
        status = f", exit status {item['exit_status']}" if item["result"] == "failed" else ""
        text = Text(f"{mark} ", style=colour).append(printable(item["task"]), style="bold")
        text.append(f"  on {printable(item['node'])}", style="cyan")
        parts.append(text.append(f"  ({printable(item['kind'])}; {meaning}{status})", style="bright_black"))
        parts += _diff_lines(item.get("diff", ""))
        parts += [Text(f"      {printable(line)}", style="bright_black") for line in item.get("output", "").splitlines()]
    return Group(*parts) if parts else Group(Text("No task of this plan has a kind that could tell."))


class _Doing:
    """What each task does in this deployment: of all that it looks after, what changes."""

    def __init__(self, files: Sequence[PlanFileDocument], packages: Sequence[PlanPackageDocument]) -> None:
        """Sort what changes by node."""
        self._paths: dict[tuple[str, str], dict[str, str]] = {}
        for file in files:
            if file.get("status") not in _UNCHANGED:
                self._paths.setdefault((file["node"], file.get("task", "")), {})[file["path"]] = file["status"]
        self._packages: dict[str, set[str]] = {}
        for package in packages:
            if package.get("status") not in _UNCHANGED:
                self._packages.setdefault(package["node"], set()).add(package["name"])

    def text(self, task: PlanTaskDocument) -> str:
        """The task's text without the files and packages that are already as planned."""
        text = task.get("text", "")
        if task.get("kind") == "files" and (paths := self._paths.get((task["node"], task["task"]))):
            told = (part.partition(" ") for part in text.split("; "))
            parts = [f"{_VERBS.get(paths[path], verb)} {path}" for verb, _, path in told if path in paths]
        elif task.get("kind") == "packages" and (changing := self._packages.get(task["node"])):
            parts = [found for part in text.split("; ") if (found := _only(part, changing))]
        else:
            return text
        return "; ".join(parts) or text


def _only(part: str, wanted: set[str]) -> str:
    """Of ``install a=1 b`` what is wanted; empty if nothing is."""
    verb, *packages = part.split(" ")
    kept = [package for package in packages if package.partition("=")[0] in wanted]
    return " ".join([verb, *kept]) if kept else ""


def _task_lines(tasks: Sequence[PlanTaskDocument], doing: _Doing) -> Iterator[Text]:
    groups: dict[tuple[str, str, str, str, str, bool], list[str]] = {}
    for task in tasks:
        key = (
            task["task"],
            task.get("kind", ""),
            task.get("reason", ""),
            doing.text(task),
            task.get("guard", ""),
            bool(task.get("not_simulated")),
        )
        groups.setdefault(key, []).append(task["node"])
    number = 0
    seen = ""
    for (task_name, kind, reason, command, guard, pretended), on in groups.items():
        number += task_name != seen
        label = f"{number:>4}. " if task_name != seen else "      "
        seen = task_name
        colour = {"drift": "magenta", "remove": "red", "check": "bright_black"}.get(reason, "")
        text = Text(label, style="bright_black").append(printable(task_name), style=f"bold {colour}".strip())
        text.append(f"  on {names(on)}", style="cyan").append(f"  ({kind}; {_REASONS.get(reason, reason)})", style="bright_black")
        if pretended:
            text.append("  not simulated", style="yellow")
        yield text
        yield from _command_lines(command, guard)


def _left_out_lines(left_out: Sequence[LeftOutDocument]) -> Iterator[Text]:
    groups: dict[tuple[str, str], list[str]] = {}
    for item in left_out:
        groups.setdefault((item["task"], item.get("reason", "")), []).append(item["node"])
    for (task, reason), on in groups.items():
        text = Text(f"      {printable(task)}", style="yellow").append(f"  on {names(on)}", style="cyan")
        yield text.append(f"  (would run: {_REASONS.get(reason, reason)})", style="bright_black")


def _command_lines(command: str, guard: str) -> Iterator[Text]:
    lines = command.strip().splitlines()
    for line in lines[:6]:
        yield Text(f"        {printable(line)}", style="bright_black")
    if len(lines) > 6:
        yield Text(f"        ... and {plural(len(lines) - 6, 'line')} more", style="bright_black")
    if guard:
        yield Text(f"        {printable(guard)}", style="bright_black italic")
