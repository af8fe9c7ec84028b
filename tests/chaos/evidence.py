# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes' own logs and the history say, and the promises that they must keep."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

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


def committed(database, deployment):
    """The attempts whose end the database knows: (node id, task, number)."""
    rows = database.execute(
        "select node, task, attempt from deployment_events where deployment_id = ? and kind in ('finished', 'unknown')",
        (deployment,),
    )
    return set(rows.fetchall())


def dispatched(database, deployment):
    """Every dispatched attempt: id -> (node, task, number)."""
    found = {}
    rows = database.execute(
        "select node, task, attempt, data from deployment_events where deployment_id = ? and kind = 'dispatched'", (deployment,)
    )
    for node, task, number, data in rows.fetchall():
        identity = json.loads(data).get("id") or json.loads(data).get("attempt_id") or ""
        found[(node, task, number)] = identity
    return found


def moment_of(lines, moment, ends_known):
    """What the nodes did at one moment: ``running``, ``between`` (ended, not committed) or ``elsewhere``, and which attempt."""
    ended = {line.attempt: line.moment for line in lines if line.word == "end"}
    between = running = ""
    for line in lines:
        if line.word != "start" or line.moment > moment:
            continue
        end = ended.get(line.attempt)
        if end is None or end > moment:
            running = running or line.attempt
        elif line.attempt not in ends_known:
            between = line.attempt
    if between:
        return "between", between
    return ("running", running) if running else ("elsewhere", "")


def judge(lines, history, unknowns):
    """The promises that one chain of deployments broke.

    Args:
        lines: all log lines of the chain.
        history: finished attempts: (deployment, node, task, attempt number, ok).
        unknowns: (deployment, node, task, attempt number) that were reported as unknown.
    """
    broken = []
    starts = Counter((line.node, line.attempt) for line in lines if line.word == "start")
    broken += [f"attempt {attempt} started {count} times on {node}" for (node, attempt), count in starts.items() if count > 1]
    succeeded = Counter((node, task) for _, node, task, _, ok in history if ok)
    broken += [f"task {task} finished {count} times on {node}" for (node, task), count in succeeded.items() if count > 1]
    ends = defaultdict(set)
    for line in lines:
        if line.word == "end":
            ends[line.node].add(line.attempt)
    finished = {(deployment, node, task, number) for deployment, node, task, number, _ in history}
    reported = set(unknowns)
    broken += [f"attempt {key} is finished and unknown at once" for key in finished & reported]
    return broken
