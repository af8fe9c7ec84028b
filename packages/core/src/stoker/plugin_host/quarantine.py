# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Quarantine: which hooks of plugins failed too often and are skipped for now; one state for each hook in each environment."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, Protocol

import msgspec

from stoker.errors import StokerError
from stoker.plugin_host import breaker
from stoker.plugin_host.breaker import Admission, Failure, State
from stoker.telemetry.metrics import METRICS

_LOG = logging.getLogger(__name__)
MOST_TRACEBACK: Final = 16 * 1024
"""Characters of a traceback that are kept: its end, which says what happened."""
_LEAST_HIDDEN: Final = 4
_ROUNDS: Final = 1.5
"""A trial may last this many times its deadline before another one may be made: its result got lost."""

Change = Literal["opened", "still open", "closed"]


class HookQuarantinedError(StokerError):
    """A plugin's hook failed too often and is not called for now."""

    status = 503
    kind = "hook-quarantined"


class Guarded(msgspec.Struct, frozen=True, order=True):
    """What one state of quarantine is about."""

    plugin: str
    version: str
    point: str
    hook: str
    """The contribution's name; empty where its point has one for a plugin."""
    environment: str = ""
    """The environment's id; empty where the plugin works for the whole server."""

    def __str__(self) -> str:
        """As messages name it."""
        return f"plugin {self.plugin} {self.version}: {f'{self.point} {self.hook}'.strip()}"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A hook in quarantine, as it is kept."""

    guarded: Guarded
    state: State


class Keeper(Protocol):
    """Keeps what is in quarantine beyond the server's end; it is called from threads."""

    def load(self) -> Iterable[Kept]:
        """All that are in quarantine."""
        ...

    def keep(self, kept: Kept, change: Change) -> None:
        """Keep a state; a closed one is no longer kept."""
        ...


class Ticket(msgspec.Struct, frozen=True):
    """One call that was let through; its result is told to the quarantine."""

    guarded: Guarded
    admission: Admission
    deadline: float


class Quarantine:
    """The states of all hooks that failed lately; safe for threads."""

    def __init__(self, keeper: Keeper, clock: Callable[[], float] = time.time) -> None:
        """Take over what was in quarantine when the server ended."""
        self._keeper, self._clock = keeper, clock
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._states: dict[Guarded, State] = {kept.guarded: breaker.after_restart(kept.state) for kept in keeper.load()}
        self._show_number()

    def enter(self, guarded: Guarded, deadline: float) -> Ticket:
        """Before a call. The result must be told: ``succeeded``, ``failed`` or ``abandoned``.

        Raises:
            HookQuarantinedError: it failed too often, and it is not yet time for another try.
        """
        with self._lock:
            if (state := self._states.get(guarded)) is None:
                return Ticket(guarded, Admission(), deadline)
            now = self._clock()
            state, admission = breaker.admit(state, now, deadline * _ROUNDS)
            self._states[guarded] = state
        if admission is None:
            METRICS.hooks_skipped.labels(guarded.plugin).inc()
            wait = max(0.0, state.next_try - now)
            raise HookQuarantinedError(
                f"{guarded} is in quarantine, it failed {state.failures} times; lastly: {state.reason}",
                remedy=f"'stoker plugins quarantine rearm {guarded.plugin}' arms it; by itself it is tried in {wait:.0f} s.",
                plugin=guarded.plugin,
                version=guarded.version,
                hook=f"{guarded.point} {guarded.hook}".strip(),
                next_try=state.next_try,
            )
        return Ticket(guarded, admission, deadline)

    async def succeeded(self, ticket: Ticket) -> None:
        """A call gave what it should."""
        if ticket.guarded in self._states:
            await self._after(ticket, lambda state: breaker.succeed(state, ticket.admission, self._clock()))

    async def failed(
        self, ticket: Ticket, reason: str, traceback: str = "", *, settings: Mapping[str, object] | None = None
    ) -> None:
        """A call failed by the plugin's fault.

        Args:
            ticket: of the call.
            reason: what happened, in a line.
            traceback: of the plugin's code, if there is one.
            settings: what was handed to it: values of it are not kept with the reason.
        """
        failure = Failure(reason=redacted(reason, settings), traceback=redacted(traceback[-MOST_TRACEBACK:], settings))
        METRICS.hook_failures.labels(ticket.guarded.plugin, ticket.guarded.point).inc()
        await self._after(ticket, lambda state: breaker.fail(state, ticket.admission, self._clock(), failure))

    def abandoned(self, ticket: Ticket) -> None:
        """A call ended without a result that says anything of the plugin: whoever asked went away, or no worker was free."""
        with self._lock:
            if (state := self._states.get(ticket.guarded)) is not None:
                self._states[ticket.guarded] = breaker.abandon(state, ticket.admission, self._clock())

    def rearm(self, wanted: Callable[[Guarded], bool]) -> list[Guarded]:
        """Call hooks again as if they had never failed; those that were in quarantine. What is kept, the caller changes."""
        with self._lock:
            chosen = sorted(guarded for guarded in self._states if wanted(guarded))
            states = [(guarded, self._states.pop(guarded)) for guarded in chosen]
        self._show_number()
        return [guarded for guarded, state in states if state.phase != "closed"]

    def standing(self, guarded: Guarded) -> State:
        """What is known of a hook."""
        with self._lock:
            return self._states.get(guarded, State())

    async def _after(self, ticket: Ticket, step: Callable[[State], State]) -> None:
        guarded = ticket.guarded
        with self._lock:
            before = self._states.get(guarded, State())
            after = step(before)
            if after == State():
                self._states.pop(guarded, None)
            else:
                self._states[guarded] = after
        if (change := _change(before, after)) is None:
            return
        self._show_number()
        if change == "opened":
            _LOG.warning("%s is in quarantine: %s", guarded, after.reason, extra={"plugin": guarded.plugin})
        elif change == "closed":
            _LOG.info("%s works again", guarded, extra={"plugin": guarded.plugin})
        await asyncio.to_thread(self._keep, guarded, change)

    def _keep(self, guarded: Guarded, change: Change) -> None:
        with self._writing:  # of two that are written at once, the later state stays
            self._keeper.keep(Kept(guarded=guarded, state=self.standing(guarded)), change)

    def _show_number(self) -> None:
        with self._lock:
            METRICS.hooks_quarantined.set(sum(state.phase != "closed" for state in self._states.values()))


def _change(before: State, after: State) -> Change | None:
    if after.phase == "closed":
        return None if before.phase == "closed" else "closed"
    if before.phase == "closed":
        return "opened"
    return "still open" if after.phase == "open" and after != before else None


def redacted(text: str, settings: Mapping[str, object] | None) -> str:
    """A text without the values of settings, which a plugin's exceptions may quote."""
    for value in sorted(set(_texts(settings or {})), key=len, reverse=True):
        text = text.replace(value, "[a setting]")
    return text


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) and len(value) >= _LEAST_HIDDEN:
        yield value
