# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Selections: the part of an environment that a partial plan is about, and whether a name in it means something."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from stoker_sdk.model.finding import Finding

from stoker.domain.plan import LeftOut, Plan
from stoker.domain.snapshot import NodeInput, Selection

_SHOWN: Final = 3
_NAMES_SHOWN: Final = 5


class Chosen:
    """Says of nodes and tasks whether they belong to the part."""

    def __init__(self, selection: Selection) -> None:
        """Keep the names."""
        self._nodes = frozenset(selection.nodes)
        self._roles = frozenset(selection.roles)
        self._tasks = frozenset(selection.tasks)

    def node(self, node: NodeInput) -> bool:
        """Whether anything may run on a node."""
        return (not self._nodes or node.name in self._nodes) and (not self._roles or not self._roles.isdisjoint(node.roles))

    def task(self, name: str) -> bool:
        """Whether a task may run, on nodes that were chosen."""
        return not self._tasks or name in self._tasks


def check_selection(
    selection: Selection, nodes: Sequence[NodeInput], roles: Collection[str], tasks: Collection[str]
) -> Iterator[Finding]:
    """A finding for each name that means nothing, and for a selection that chooses no node."""
    by_kind = (
        ("nodes", "node", selection.nodes, [node.name for node in nodes]),
        ("roles", "role", selection.roles, [*roles, *(role for node in nodes for role in node.roles)]),
        ("tasks", "task", selection.tasks, tasks),
    )
    clean = True
    for field, word, given, known in by_kind:
        for name in given:
            if name not in known:
                clean = False
                yield _unknown(field, word, name, sorted(set(known)))
    chosen = Chosen(selection)
    if clean and not any(chosen.node(node) for node in nodes):
        yield Finding(
            rule="Q002",
            field="nodes",
            message="no node is chosen: those that are named have none of the roles that are named.",
            remedy="Name other nodes or other roles.",
        )


def _unknown(field: str, word: str, name: str, known: Sequence[str]) -> Finding:
    close = difflib.get_close_matches(name, known, n=_SHOWN, cutoff=0.5)
    if word == "task" and not close:
        close = [task for task in known if task.endswith(f".{name}") or task.startswith(f"{name}.")][:_SHOWN]
    meant = f"Did you mean {' or '.join(close)}?" if close else f"There is: {', '.join(known[:_NAMES_SHOWN]) or 'none'}."
    return Finding(rule="Q001", field=field, message=f"the environment has no {word} {name}.", remedy=meant)


def torn(plan: Plan) -> list[str]:
    """A warning for each chosen task that would come after one that is left out, and that would have run."""
    left: dict[int, set[int]] = {}
    for item in plan.left_out:
        left.setdefault(item.task, set()).add(item.node)
    if not left:
        return []
    running: dict[int, set[int]] = {}
    for instance in plan.instances:
        if instance.run:
            running.setdefault(instance.task, set()).add(instance.node)
    before = _ancestors(plan)
    warnings: list[str] = []
    for task, nodes in sorted(running.items()):
        for other in sorted(before[task] & left.keys()):
            on = nodes & left[other]
            if on:
                warnings.append(_torn(plan, task, other, on))
        for barrier in {number for one in (task, *before[task]) for number in plan.tasks[one].barriers}:
            other = plan.barriers[barrier].task
            # On the same node it is told already where the graph of that node says so.
            elsewhere = (left.get(other, set()) & set(plan.groups[plan.barriers[barrier].group])) - (
                nodes if other in before[task] else set()
            )
            if elsewhere:
                warnings.append(_torn(plan, task, other, elsewhere))
    return list(dict.fromkeys(warnings))


def _ancestors(plan: Plan) -> list[set[int]]:
    """For each task everything that comes before it on the same node."""
    before: list[set[int]] = []
    for task in plan.tasks:
        direct = set(task.after)
        before.append(direct.union(*(before[other] for other in direct)))
    return before


def _torn(plan: Plan, task: int, other: int, nodes: Collection[int]) -> str:
    names = sorted(plan.nodes[node].name for node in nodes)
    shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
    return f"{plan.tasks[task].name} comes after {plan.tasks[other].name}, which is left out and would have run on {shown}."


def renumbered(left: Sequence[LeftOut], place: dict[int, int]) -> list[LeftOut]:
    """What is left out, ordered by node and task, after tasks that no node has were taken out of the plan."""
    return sorted(
        (LeftOut(place[item.task], item.node, item.reason, item.owed) for item in left), key=lambda item: (item.node, item.task)
    )
