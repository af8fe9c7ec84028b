# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Quarantine where it acts: calls of a real worker's functions that fail, are skipped, and work again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from stoker.errors import HookFailedError
from stoker.plugin_host.breaker import FAILURES
from stoker.plugin_host.quarantine import HookQuarantinedError
from stoker_sdk.context.values import Environment
from worker_venvs import CALLER, hook, venv, workers_of

SOURCE = """
import os, pathlib
from stoker_sdk import Plugin
from stoker_sdk.context import Problem

plugin = Plugin(name="hello", version="1.0.0", title="Hello")

def raises(settings, context):
    raise ValueError(f"no {settings['address']}")

def quits(settings):
    os._exit(3)

def good(settings):
    return []
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory):
    return venv(tmp_path_factory.mktemp("hello"), "hello_module", SOURCE)


def test_a_hook_that_fails_is_skipped_and_the_others_are_not(tmp_path: Path, code) -> None:
    async def run() -> None:
        async with workers_of(tmp_path, {("hello", "1.0.0"): code}) as (_, _, dispatcher):
            settings = {"address": "db.example.org"}

            async def call(function: str, environment: str, accept=None) -> bytes:
                return await dispatcher.call(
                    hook(f"hello_module:{function}", name=function),
                    {"settings": b'{"address": "db.example.org"}'},
                    environment=Environment(id=environment, name=environment),
                    caller=CALLER,
                    settings=settings,
                    accept=accept,
                )

            for _ in range(FAILURES):
                with pytest.raises(HookFailedError):
                    await call("raises", "a")
            with pytest.raises(HookQuarantinedError, match="raises is in quarantine, it failed 5 times"):
                await call("raises", "a")
            with pytest.raises(HookFailedError):  # another environment's state is its own
                await call("raises", "b")
            standing = dispatcher._quarantine.standing
            (state,) = [standing(guarded) for guarded in dispatcher._quarantine._states if guarded.environment == "a"]
            assert "in raises" in state.traceback
            assert "db.example.org" not in state.reason + state.traceback
            assert "[a setting]" in state.reason

            for _ in range(FAILURES):
                with pytest.raises(HookFailedError) as caught:
                    await call("quits", "a")
            assert caught.value.reason == "died"
            began = time.monotonic()
            with pytest.raises(HookQuarantinedError):
                await call("quits", "a")
            assert time.monotonic() - began < 0.1  # nothing is started for it
            assert await call("good", "a") == b"[]"
            with pytest.raises(HookFailedError, match="too little"):
                await call("good", "a", lambda answer: "too little" if answer == b"[]" else "")

    asyncio.run(run())
