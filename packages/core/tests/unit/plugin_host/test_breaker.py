# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The states of quarantine, whatever the order of calls, results and time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stoker.plugin_host import breaker
from stoker.plugin_host.breaker import CALLS, FAILURES, FIRST_PAUSE, MOST_PAUSE, WINDOW, Admission, Failure, State

FAULT = Failure("ValueError: no", "Traceback ...")
CALL = Admission()


def failed(state: State, times: int, now: float = 0.0) -> State:
    for _ in range(times):
        state = breaker.fail(state, CALL, now, FAULT)
    return state


def test_enough_failures_open_it_and_one_less_does_not() -> None:
    assert failed(State(), FAILURES - 1).phase == "closed"
    opened = failed(State(), FAILURES, now=100.0)
    assert (opened.phase, opened.since, opened.failures, opened.next_try) == ("open", 100.0, FAILURES, 100.0 + FIRST_PAUSE)
    assert (opened.reason, opened.traceback) == ("ValueError: no", "Traceback ...")


def test_failures_of_long_ago_and_those_among_many_successes_do_not_count() -> None:
    assert breaker.fail(failed(State(), FAILURES - 1), CALL, WINDOW + 1, FAULT).phase == "closed"
    state = State()
    for number in range(50):  # one of three fails
        step = breaker.fail(state, CALL, 1.0, FAULT) if number % 3 == 0 else breaker.succeed(state, CALL, 1.0)
        state = step
        assert state.phase == "closed"
    for _ in range(CALLS):
        state = breaker.succeed(state, CALL, 2.0)
    assert state == State()


def test_one_trial_at_a_time_and_only_its_result_counts() -> None:
    state = failed(State(), FAILURES)
    assert breaker.admit(state, FIRST_PAUSE - 1, 10)[1] is None
    state, trial = breaker.admit(state, FIRST_PAUSE, 10)
    assert trial == Admission(1)
    assert breaker.admit(state, FIRST_PAUSE + 9, 10)[1] is None
    assert breaker.succeed(state, CALL, FIRST_PAUSE + 1) == state  # a call from before the opening
    state, second = breaker.admit(state, FIRST_PAUSE + 10, 10)  # the first one's result is lost
    assert second == Admission(2)
    assert breaker.succeed(state, trial, 50.0) == state
    assert breaker.succeed(state, second, 50.0) == State()


def test_each_failed_trial_doubles_the_pause_up_to_a_most() -> None:
    state, now, pauses = failed(State(), FAILURES), 0.0, []
    for _ in range(12):
        pauses.append(state.next_try - now)
        now = state.next_try
        state, trial = breaker.admit(state, now, 10)
        assert trial is not None
        state = breaker.fail(state, trial, now, FAULT)
        assert state.phase == "open"
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == MOST_PAUSE
    assert state.since == 0.0


def test_a_trial_that_nobody_waits_for_and_one_lost_with_the_server_can_be_made_anew() -> None:
    state, trial = breaker.admit(failed(State(), FAILURES), FIRST_PAUSE, 1000)
    assert trial is not None
    again, second = breaker.admit(breaker.abandon(state, trial, 40.0), 40.0, 10)
    assert second == Admission(2)
    assert again.phase == "half-open"
    assert breaker.after_restart(state).phase == "open"


STEPS = st.lists(st.tuples(st.sampled_from(["call", "good", "bad", "lost"]), st.floats(0, 500)), max_size=120)


@given(STEPS)
def test_whatever_happens_it_lets_a_call_through_again_in_bounded_time_and_a_success_closes(steps) -> None:
    state, now, tickets = State(), 0.0, []
    for what, passed in steps:
        now += passed
        if what == "call":
            state, admission = breaker.admit(state, now, 20)
            tickets += [admission] if admission is not None else []
            assert admission is not None or state.phase != "closed"
        elif tickets:
            ticket = tickets.pop()
            if what == "bad":
                state = breaker.fail(state, ticket, now, FAULT)
            else:
                state = (breaker.succeed if what == "good" else breaker.abandon)(state, ticket, now)
        assert len(state.outcomes) <= CALLS
        assert sum(not ok for _, ok in state.outcomes) < FAILURES
        assert state.next_try <= now + MOST_PAUSE
    state, admission = breaker.admit(state, now + MOST_PAUSE, 20)
    assert admission is not None
    assert breaker.succeed(state, admission, now + MOST_PAUSE).phase == "closed"
