# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes' own logs and the history say, and the promises that they must keep."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select
from stoker.db.deployments import find_deployment
from stoker.db.plans import load_plan
from stoker.db.tables import deployment_events

LOG = "/var/log/chaos.log"

# $0 is the attempt's own file in the spool: its folder is the attempt's id, whoever started it.
STEP = (
    "id=${0%/*}; id=${id##*/}; "
    'log() { echo "$1 $id $(date +%s.%N)" >>' + LOG + "; sync " + LOG + "; }; "
    "log start; sleep SECONDS; log end"
)  # fmt: skip


class Line(NamedTuple):
    """One line of a node's log."""

    node: str
    word: str
    attempt: str
    moment: float


class Kill(NamedTuple):
    """One kill of the server, and what the logs prove of its moment."""

    number: int
    aim: str
    moment: float
    deployment: str
    seen: str
    attempt: str


@dataclass
class Evidence:
    """Everything gathered in one run."""

    kills: list = field(default_factory=list)
    others: list = field(default_factory=list)
    """What else was killed: (what, seconds until it was back)."""
    reboots: list = field(default_factory=list)
    violations: list = field(default_factory=list)


def read_lines(node, text):
    """The log of one node; a line that a reboot cut off is left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] in {"start", "end"} and words[2].count(".") == 1:
            found.append(Line(node, words[0], words[1], float(words[2])))
    return found


class Names(NamedTuple):
    """The names behind the numbers of an attempt's id: DEPLOYMENT.TASK.NODE.N."""

    tasks: list
    nodes: list

    def key(self, attempt):
        """(node, task, number), as the history names an attempt."""
        _, task, node, number = attempt.rsplit(".", 3)
        return self.nodes[int(node)], self.tasks[int(task)], int(number)


def names(connection, deployment):
    """Read the names from the deployment's plan."""
    plan = load_plan(connection, str(find_deployment(connection, deployment).plan_id)).plan
    return Names([task.name for task in plan.tasks], [node.name for node in plan.nodes])


def committed(connection, deployment):
    """The attempts whose end the database knows: (node, task, number)."""
    events = deployment_events.c
    query = select(events.node, events.task, events.attempt).where(
        events.deployment_id == deployment, events.kind.in_(("finished", "unknown"))
    )
    return {tuple(row) for row in connection.execute(query)}


def moment_of(lines, moment, is_committed):
    """What was under way: ``between`` (ended, not committed), ``running`` or ``elsewhere``, and which attempt it was."""
    ended = {line.attempt: line.moment for line in lines if line.word == "end"}
    between = running = ""
    for line in lines:
        if line.word != "start" or line.moment > moment:
            continue
        end = ended.get(line.attempt)
        if end is None or end > moment:
            running = running or line.attempt
        elif not is_committed(line.attempt):
            between = line.attempt
    if between:
        return "between", between
    return ("running", running) if running else ("elsewhere", "")


def judge(lines, history, unknowns, tasks, nodes, key_of):
    """The promises that a chain of deployments (one, and its retries) broke.

    Args:
        lines: the chain's log lines.
        history: (deployment, node, task, number, ok) of every finished attempt.
        unknowns: (deployment, node, task, number) of every attempt that was reported as unknown.
        tasks: the tasks that every node must have run.
        nodes: the nodes' names.
        key_of: gives (node, task, number) of an attempt's id.
    """
    starts = Counter(line.attempt for line in lines if line.word == "start")
    broken = [f"attempt {attempt} started {count} times" for attempt, count in starts.items() if count > 1]
    broken += [f"{line.attempt} ran on {line.node}" for line in lines if key_of(line.attempt)[0] != line.node]
    succeeded = Counter((node, task) for _, node, task, _, ok in history if ok)
    broken += [f"{task} finished {count} times on {node}" for (node, task), count in succeeded.items() if count > 1]
    finished = {entry[:4] for entry in history}
    broken += [f"attempt {key} is finished and unknown at once" for key in finished & set(unknowns)]
    ended = {line.attempt for line in lines if line.word == "end"}
    known = finished | set(unknowns)
    for attempt in starts:
        deployment = attempt.split(".", 1)[0]
        if (deployment, *key_of(attempt)) not in known:
            broken.append(f"attempt {attempt} started and the history says neither finished nor unknown")
    for deployment, node, task, number, ok in history:
        mine = [attempt for attempt in ended if attempt.startswith(f"{deployment}.") and key_of(attempt) == (node, task, number)]
        if ok and task in tasks and not mine:
            broken.append(f"{task} on {node} (attempt {number}) is reported as done and never ended there")
    for node in nodes:
        for task in tasks:
            ran = sum(key_of(attempt)[:2] == (node, task) for attempt in starts)
            doubtful = sum(key[1:3] == (node, task) for key in unknowns)
            if not 1 <= ran <= 1 + doubtful:
                broken.append(f"{task} started {ran} times on {node}, with {doubtful} reported as unknown")
    return broken
