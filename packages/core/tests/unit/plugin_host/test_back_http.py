# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Sockets of workers' ways back: for nobody else, and without changing what other threads make meanwhile."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from stoker.plugin_host.back_http import Answered, Asked, serving


async def _answer(_: Asked) -> Answered:
    return Answered(status=200, body=b"")


async def test_many_sockets_at_once_are_private_and_leave_the_umask_alone(tmp_path) -> None:
    seen = set()

    async def look() -> None:
        while True:
            before = os.umask(0o022)
            os.umask(before)
            seen.add(before)
            await asyncio.sleep(0)

    before = os.umask(0o022)
    looking = asyncio.create_task(look())
    try:
        async with AsyncExitStack() as stack:
            await asyncio.gather(*(stack.enter_async_context(serving(tmp_path / f"{n}.sock", _answer)) for n in range(20)))
            assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
        seen.add(os.umask(0o022))
        assert seen == {0o022}
        assert not [*tmp_path.iterdir()]
    finally:
        looking.cancel()
        os.umask(before)
