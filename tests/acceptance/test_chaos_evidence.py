# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The judge of the chaos runs finds every broken promise that it is there for."""

import pytest

from tests.chaos import evidence

TASKS = ["chaos.a", "chaos.b"]
NODES = ["n1", "n2"]
NAMES = evidence.Names(TASKS, NODES)


def lines(*attempts, end=True):
    found = []
    for moment, attempt in enumerate(attempts):
        node = NAMES.key(attempt)[0]
        found.append(evidence.Line(node, "start", attempt, moment))
        if end:
            found.append(evidence.Line(node, "end", attempt, moment + 0.5))
    return found


def finished(*attempts, ok=True):
    return [(attempt.split(".")[0], *NAMES.key(attempt), ok) for attempt in attempts]


ALL = ("d.0.0.1", "d.0.1.1", "d.1.0.1", "d.1.1.1")


def judge(log, history, unknowns=()):
    return evidence.judge(log, history, list(unknowns), TASKS, NODES, NAMES.key)


def test_a_clean_run_is_clean():
    assert judge(lines(*ALL), finished(*ALL)) == []


def test_an_unknown_may_run_again_once():
    log = [*lines("d.0.0.1", end=False), *lines("d.0.0.2", *ALL[1:])]
    assert judge(log, finished("d.0.0.2", *ALL[1:]), [("d", "n1", "chaos.a", 1)]) == []


@pytest.mark.parametrize(
    ("log", "history", "unknowns", "word"),
    [
        (lines(*ALL, "d.0.0.1"), finished(*ALL), [], "started 2 times"),
        (lines(*ALL, "d.0.0.2"), finished(*ALL, "d.0.0.2"), [], "finished 2 times"),
        (lines(*ALL, "d.0.0.2"), finished(*ALL), [], "neither finished nor unknown"),
        (lines(*ALL), finished(*ALL), [("d", "n1", "chaos.a", 1)], "finished and unknown at once"),
        (lines(*ALL[1:]), finished(*ALL), [], "never ended there"),
        (lines(*ALL[1:]), finished(*ALL[1:]), [], "started 0 times on n1"),
        ([line._replace(node="n2") for line in lines(*ALL)], finished(*ALL), [], "ran on n2"),
    ],
)
def test_each_broken_promise_is_found(log, history, unknowns, word):
    assert any(word in text for text in judge(log, history, unknowns))


@pytest.mark.parametrize(
    ("moment", "committed", "expected"),
    [
        (10.2, set(), ("running", "d.0.0.1")),
        (10.7, set(), ("between", "d.0.0.1")),
        (10.7, {"d.0.0.1"}, ("elsewhere", "")),
        (9.0, set(), ("elsewhere", "")),
    ],
)
def test_the_moment_of_a_kill_is_told_from_the_logs(moment, committed, expected):
    log = [evidence.Line("n1", "start", "d.0.0.1", 10.0), evidence.Line("n1", "end", "d.0.0.1", 10.5)]
    assert evidence.moment_of(log, moment, committed.__contains__) == expected


def test_a_line_that_a_reboot_cut_off_is_left_out():
    assert evidence.read_lines("n1", "start d.0.0.1 10.0\nend d.0.0.1 1") == [evidence.Line("n1", "start", "d.0.0.1", 10.0)]
