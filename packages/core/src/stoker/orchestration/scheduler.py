# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The scheduler: which task may start next on which node; in memory, without I/O, linear in the number of instances."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable

from stoker.domain import tolerance
from stoker.domain.plan import Plan, PlannedInstance
from stoker.orchestration.wording import listed


class Scheduler:
    """Walks a plan's graph.

    A skipped instance passes through at once when everything before it is finished, so that order holds across it. A failed
    node, and one that the plan leaves out, runs nothing further and no longer counts for barriers. ``woken`` collects the nodes
    that may go on.
    """

    def __init__(self, plan: Plan, done: Collection[tuple[int, int]] = ()) -> None:
        """Take a plan.

        Args:
            plan: what is carried out.
            done: (task, node) of instances that are finished already and run no more.
        """
        self.plan = plan
        self.halted = False
        """Nothing new starts any more."""
        self.failed_nodes: set[int] = set()
        self.woken: set[int] = set()
        self.instances: list[PlannedInstance] = plan.instances
        self.remaining = [0] * len(plan.nodes)
        """For each node: instances that have still to run."""
        self._done = set(done)
        self._index: list[dict[int, int]] = [{} for _ in plan.nodes]
        self._ready: list[list[int]] = [[] for _ in plan.nodes]
        self._complete = bytearray(len(plan.instances))
        self._missing = [0] * len(plan.instances)
        self._dependents: list[list[int]] = [[] for _ in plan.tasks]
        self._running: dict[int, int] = defaultdict(int)
        self._queued: dict[int, set[int]] = defaultdict(set)
        for number, instance in enumerate(plan.instances):
            self._index[instance.node][instance.task] = number
        self._prepare_barriers()
        self._prepare_instances()
        for number, node in enumerate(plan.nodes):
            if node.left_out and not node.outside:
                self.fail_node(number)

    def _prepare_barriers(self) -> None:
        plan = self.plan
        self._members: list[set[int]] = []
        self._open = [False] * len(plan.barriers)
        self._watching: dict[int, list[int]] = defaultdict(list)
        self._behind: list[list[int]] = [[] for _ in plan.barriers]
        everyone = range(len(plan.nodes))
        self._held = [everyone if item.holds < 0 else frozenset(plan.groups[item.holds]) for item in plan.barriers]
        for number, barrier in enumerate(plan.barriers):
            members = {node for node in plan.groups[barrier.group] if barrier.task in self._index[node]}
            self._members.append(members)
            self._open[number] = not members
            self._watching[barrier.task].append(number)
        for task, planned in enumerate(plan.tasks):
            for before in planned.after:
                self._dependents[before].append(task)
            for number in planned.barriers:
                self._behind[number].append(task)

    def _prepare_instances(self) -> None:
        begin: list[int] = []
        for number, instance in enumerate(self.instances):
            task = self.plan.tasks[instance.task]
            here = self._index[instance.node]
            missing = sum(1 for before in task.after if before in here)
            missing += sum(1 for barrier in task.barriers if not self._open[barrier] and instance.node in self._held[barrier])
            self._missing[number] = missing
            if self.must_run(number):
                self.remaining[instance.node] += 1
            if not missing:
                begin.append(number)
        self._advance(begin)

    def must_run(self, number: int) -> bool:
        """Whether an instance has to run in this deployment."""
        instance = self.instances[number]
        return bool(instance.run) and (instance.task, instance.node) not in self._done

    def number_of(self, node: int, task: int) -> int | None:
        """The instance of a task on a node."""
        return self._index[node].get(task)

    def _advance(self, ready: list[int]) -> None:
        """Take instances that nothing holds back any more; those that do not run are complete at once."""
        while ready:
            number = ready.pop()
            instance = self.instances[number]
            if instance.node in self.failed_nodes or self._complete[number]:
                continue
            if self.must_run(number):
                heapq.heappush(self._ready[instance.node], number)
                self.woken.add(instance.node)
            else:
                ready.extend(self._completed(number))

    def _completed(self, number: int) -> list[int]:
        """Mark an instance as complete; answers what nothing holds back now."""
        self._complete[number] = 1
        instance = self.instances[number]
        here = self._index[instance.node]
        freed = list(self._released(here[task] for task in self._dependents[instance.task] if task in here))
        for barrier in self._watching.get(instance.task, ()):
            freed.extend(self._reached(barrier, instance.node))
        return freed

    def _released(self, numbers: Iterable[int]) -> Iterable[int]:
        for number in numbers:
            self._missing[number] -= 1
            if not self._missing[number]:
                yield number

    def _reached(self, barrier: int, node: int, *, absent: bool = False) -> Iterable[int]:
        """A member of a barrier's group arrived, or will never: open the barrier if that was the last one needed."""
        members = self._members[barrier]
        if self._open[barrier] or node not in members:
            return []
        members.discard(node)
        if members and (absent or self.plan.barriers[barrier].wait == "all"):
            return []
        self._open[barrier] = True
        waiting = (self._index[other].get(task) for task in self._behind[barrier] for other in self._held[barrier])
        return list(self._released(number for number in waiting if number is not None))

    def take(self, node: int) -> int | None:
        """The first instance, in plan order, that may start on a node now; it counts as running until ``finish`` or ``fail``."""
        if self.halted or node in self.failed_nodes:
            return None
        later: list[int] = []
        found: int | None = None
        heap = self._ready[node]
        while heap and found is None:
            number = heapq.heappop(heap)
            task = self.instances[number].task
            limit = self.plan.tasks[task].concurrency
            if limit and self._running[task] >= limit:
                later.append(number)
                self._queued[task].add(node)
            else:
                self._running[task] += 1
                self._queued[task].discard(node)
                found = number
        for number in later:
            heapq.heappush(heap, number)
        return found

    def take_open(self, number: int) -> bool:
        """Take an instance of which an attempt is under way already, whatever holds others back; ``False`` if it has ended."""
        instance = self.instances[number]
        if self._complete[number] or instance.node in self.failed_nodes or not self.must_run(number):
            return False
        heap = self._ready[instance.node]
        if number in heap:
            heap.remove(number)
            heapq.heapify(heap)
        else:
            self._missing[number] = -1
        self._running[instance.task] += 1
        return True

    def put_back(self, number: int) -> None:
        """A taken instance does not run after all, because nothing new starts."""
        self._leave(number)

    def finish(self, number: int) -> None:
        """A running instance succeeded."""
        self._leave(number)
        self.remaining[self.instances[number].node] -= 1
        self._advance(self._completed(number))

    def fail(self, number: int) -> None:
        """A running instance failed for good: its node is out."""
        self._leave(number)
        self.fail_node(self.instances[number].node)

    def _leave(self, number: int) -> None:
        task = self.instances[number].task
        self._running[task] -= 1
        self.woken |= self._queued.pop(task, set())

    def fail_node(self, node: int) -> None:
        """A node runs nothing further; barriers go on without it, unless too many nodes of a role failed."""
        if node in self.failed_nodes:
            return
        self.failed_nodes.add(node)
        self.woken.add(node)
        if self.exceeded():
            self.halt()
            return
        freed: list[int] = []
        for task, number in self._index[node].items():
            if not self._complete[number]:
                for barrier in self._watching.get(task, ()):
                    freed.extend(self._reached(barrier, node, absent=True))
        self._advance(freed)

    def halt(self) -> None:
        """Let nothing new start; everybody looks up."""
        self.halted = True
        self.woken.update(range(len(self.plan.nodes)))

    def exceeded(self) -> str:
        """The first role of which too many nodes failed, as a sentence with their names; empty if all is within tolerance."""
        roles = [node.roles for node in self.plan.nodes]
        leaving = {number for number, node in enumerate(self.plan.nodes) if node.left_out and node.removing}
        first = next(tolerance.exceeded(roles, self.failed_nodes - leaving, self.plan.tolerance), None)
        if first is None:
            return ""
        names = [self.plan.nodes[node].name for node in first.missing]
        return f"{first} ({listed(names)})"

    def idle(self, node: int) -> bool:
        """Whether a node has nothing more to do in this deployment."""
        return self.halted or node in self.failed_nodes or not self.remaining[node]

    @property
    def unfinished(self) -> int:
        """How many instances have still to run, failed nodes' included."""
        return sum(self.remaining)
