# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Slices: everything arrives, in order, and the loop's other work comes between."""

from __future__ import annotations

import asyncio

from stoker.transport.slices import AT_ONCE, Slices


def test_others_are_answered_while_many_wait() -> None:
    told: list[object] = []

    async def scenario() -> None:
        slices = Slices(told.append)
        slices.add(range(3 * AT_ONCE))
        slices.add(["late"])
        for turn in "abc":
            await asyncio.sleep(0)
            told.append(turn)
        while len(told) < 3 * AT_ONCE + 4:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert [item for item in told if isinstance(item, int)] == list(range(3 * AT_ONCE))
    assert told.index("a") < told.index(3 * AT_ONCE - 1) < told.index("late")
