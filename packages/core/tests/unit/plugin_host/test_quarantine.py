# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Quarantine of hooks: what is kept and told when a state changes, and what never is."""

from __future__ import annotations

import asyncio

import pytest
from stoker.plugin_host.breaker import FAILURES, FIRST_PAUSE
from stoker.plugin_host.quarantine import Guarded, HookQuarantinedError, Kept, Quarantine, redacted

HOOK = Guarded("inventory", "1.0.0", "events", "told", "env-1")


class Notebook:
    """Keeps what a quarantine wants kept."""

    def __init__(self) -> None:
        self.kept: dict[Guarded, Kept] = {}
        self.changes: list[str] = []

    def load(self) -> list[Kept]:
        return list(self.kept.values())

    def keep(self, kept: Kept, change: str) -> None:
        self.changes.append(change)
        self.kept[kept.guarded] = kept
        if kept.state.phase == "closed":
            del self.kept[kept.guarded]


def fail(quarantine: Quarantine, times: int, hook: Guarded = HOOK) -> None:
    for _ in range(times):
        asyncio.run(quarantine.failed(quarantine.enter(hook, 10), "ValueError: no", "Traceback ...", settings={}))


def test_it_skips_tries_again_and_survives_the_server() -> None:
    now, notebook = [1000.0], Notebook()
    quarantine = Quarantine(notebook, lambda: now[0])
    asyncio.run(quarantine.succeeded(quarantine.enter(HOOK, 10)))
    assert notebook.changes == []
    fail(quarantine, FAILURES)
    other = Guarded("inventory", "1.0.0", "events", "told", "env-2")
    quarantine.abandoned(quarantine.enter(other, 10))  # another environment's is its own
    with pytest.raises(
        HookQuarantinedError, match=r"inventory 1\.0\.0: events told is in quarantine, it failed 5 times; lastly: V"
    ):
        quarantine.enter(HOOK, 10)
    again = Quarantine(notebook, lambda: now[0])
    with pytest.raises(HookQuarantinedError):
        again.enter(HOOK, 10)
    now[0] += FIRST_PAUSE
    trial = again.enter(HOOK, 10)
    with pytest.raises(HookQuarantinedError):
        again.enter(HOOK, 10)
    asyncio.run(again.failed(trial, "it died"))
    now[0] += 2 * FIRST_PAUSE
    asyncio.run(again.succeeded(again.enter(HOOK, 10)))
    assert notebook.changes == ["opened", "still open", "closed"]
    assert notebook.kept == {}
    assert again.standing(HOOK).failures == 0


def test_armed_again_by_hand_a_result_from_before_does_no_harm() -> None:
    notebook = Notebook()
    quarantine = Quarantine(notebook, lambda: 1000.0)
    fail(quarantine, FAILURES - 1)
    late = quarantine.enter(HOOK, 10)
    fail(quarantine, 1)
    assert quarantine.rearm(lambda hook: hook.plugin == "inventory") == [HOOK]
    asyncio.run(quarantine.failed(late, "late"))
    quarantine.enter(HOOK, 10)
    assert quarantine.rearm(lambda hook: True) == []


def test_values_of_settings_are_not_kept() -> None:
    settings = {"address": "db.example.org", "many": [{"token": "t0psecret"}], "short": "abc", "size": 3}
    text = redacted("KeyError: 't0psecret' at db.example.org, abc", settings)
    assert text == "KeyError: '[a setting]' at [a setting], abc"
