# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment's progress: how long a task took is what its node says."""

from __future__ import annotations

from stoker.cli.progress import Progress

DISPATCHED = {"kind": "dispatched", "node": "n1", "task": "t", "at": 100.0}


def test_the_time_that_the_server_was_away_is_not_the_task_s():
    progress = Progress()
    progress.apply(DISPATCHED)
    finished = {"kind": "finished", "node": "n1", "task": "t", "at": 216.0, "started_at": 100.5, "finished_at": 102.0}
    assert progress.apply({**finished, "exit_status": 0}) == "n1: t done in 1.5 s"


def test_without_the_node_s_own_times_the_events_are_what_is_known():
    progress = Progress()
    progress.apply(DISPATCHED)
    finished = {"kind": "finished", "node": "n1", "task": "t", "at": 104.0, "started_at": 0.0, "exit_status": 0}
    assert progress.apply(finished) == "n1: t done in 4.0 s"
