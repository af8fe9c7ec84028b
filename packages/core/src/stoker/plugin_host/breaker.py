# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The states of a circuit breaker: closed, open after too many failures, half open for one trial; pure functions of a clock."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

FAILURES: Final = 5
CALLS: Final = 10
WINDOW: Final = 3600.0
"""So many failures among the last so many calls of so many seconds open it."""
FIRST_PAUSE: Final = 30.0
MOST_PAUSE: Final = 3600.0
"""Seconds until a trial; each trial that fails doubles them."""


class Failure(msgspec.Struct, frozen=True):
    """Why a call failed."""

    reason: str
    traceback: str = ""


class Admission(msgspec.Struct, frozen=True):
    """How a call was let through: ordinarily (0), or as the trial of this number."""

    trial: int = 0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one hook's calls."""

    phase: Literal["closed", "open", "half-open"] = "closed"
    outcomes: tuple[tuple[float, bool], ...] = ()
    """When the last calls ended, and whether well; nothing before the first failure."""
    failures: int = 0
    """Failed calls since it last worked."""
    since: float = 0
    """When it was opened."""
    openings: int = 0
    """How often in a row it was opened: each makes the pause longer."""
    next_try: float = 0
    """When a trial may be made; while one is under way, when another one may."""
    trial: int = 0
    """The number of the last trial."""
    reason: str = ""
    traceback: str = ""
    """Of the last failure."""


def admit(state: State, now: float, patience: float) -> tuple[State, Admission | None]:
    """Whether a call may be made.

    Args:
        state: the present one.
        now: seconds since any fixed moment.
        patience: seconds after which the result of a trial is not waited for any more.
    """
    if state.phase == "closed":
        return state, Admission()
    if now < state.next_try:
        return state, None
    number = state.trial + 1
    return msgspec.structs.replace(state, phase="half-open", trial=number, next_try=now + patience), Admission(number)


def succeed(state: State, admission: Admission, now: float) -> State:
    """A call ended well: a trial closes; a late result of a call from before the opening says nothing."""
    if state.phase == "closed":
        outcomes = _with(state.outcomes, now, ok=True)
        return State() if all(ok for _, ok in outcomes) else msgspec.structs.replace(state, outcomes=outcomes, failures=0)
    return State() if admission.trial and admission.trial == state.trial else state


def fail(state: State, admission: Admission, now: float, failure: Failure) -> State:
    """A call failed: too many of them open, a failed trial opens for longer."""
    told = msgspec.structs.replace(state, failures=state.failures + 1, reason=failure.reason, traceback=failure.traceback)
    if state.phase == "closed":
        outcomes = _with(state.outcomes, now, ok=False)
        if sum(not ok for _, ok in outcomes) < FAILURES:
            return msgspec.structs.replace(told, outcomes=outcomes)
        return msgspec.structs.replace(told, phase="open", outcomes=(), since=now, openings=1, next_try=now + pause(1))
    if state.phase == "half-open" and admission.trial == state.trial:
        openings = state.openings + 1
        return msgspec.structs.replace(told, phase="open", openings=openings, next_try=now + pause(openings))
    return told


def abandon(state: State, admission: Admission, now: float) -> State:
    """A call ended without a result: a trial can be made anew at once."""
    if state.phase == "half-open" and admission.trial == state.trial:
        return msgspec.structs.replace(state, phase="open", next_try=now)
    return state


def after_restart(state: State) -> State:
    """A state that was kept: whatever trial was under way is lost."""
    return msgspec.structs.replace(state, phase="open") if state.phase == "half-open" else state


def pause(openings: int) -> float:
    """Seconds until the next trial after so many openings in a row."""
    return min(MOST_PAUSE, FIRST_PAUSE * 2.0 ** min(openings - 1, 20))


def _with(outcomes: tuple[tuple[float, bool], ...], now: float, *, ok: bool) -> tuple[tuple[float, bool], ...]:
    return tuple(item for item in (*outcomes, (now, ok)) if item[0] > now - WINDOW)[-CALLS:]
