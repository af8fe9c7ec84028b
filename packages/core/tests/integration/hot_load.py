# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to a plugin's application without a pause, while its versions come and go; each answer is held against what may be."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx

NONE = "none"
"""Nothing answers: 404 with a reason."""
SERVER = "/api/plugins/probe"
ENVIRONMENT = "/api/environments/prod/plugins/probe"


class Expected:
    """What an address may answer when: a change has happened somewhere between its request and its answer."""

    def __init__(self, first: str) -> None:
        self._states = [[first, 0.0, float("inf")]]

    def change(self, to: str, begun: float, ended: float) -> None:
        """Something was changed between these two moments."""
        self._states[-1][2] = ended
        self._states.append([to, begun, float("inf")])

    def begin(self, to: str) -> Callable[[], None]:
        """A change begins now; call what is given when it has ended."""
        before = self._states[-1]
        self._states.append([to, time.monotonic(), float("inf")])

        def end() -> None:
            before[2] = time.monotonic()

        return end

    def allows(self, answer: str, begun: float, ended: float) -> bool:
        """Whether this answer is right for a request that was sent and answered at these moments."""
        return any(state == answer and since <= ended and until >= begun for state, since, until in self._states)


class HotLoad:
    """The load and its judgement."""

    def __init__(self, url: str, token: str, at_once: int = 16) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}
        self.at_once = at_once
        self.expected = {SERVER: Expected(NONE), ENVIRONMENT: Expected(NONE)}
        self.answers: list[tuple[str, str, float, float]] = []
        """Address, answer, when the request began and ended."""
        self.wrong: list[str] = []
        self.stopping = False

    async def run(self, act: Callable[[HotLoad], Awaitable[None]]) -> None:
        """Ask as long as ``act`` changes things."""
        limits = httpx.Limits(max_connections=self.at_once, max_keepalive_connections=self.at_once)
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, limits=limits, timeout=60) as client:
            asking = [asyncio.create_task(self._ask(client, number)) for number in range(self.at_once)]
            try:
                await act(self)
            finally:
                self.stopping = True
                await asyncio.gather(*asking)

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        count = number
        while not self.stopping:
            count += 1
            address = (SERVER, ENVIRONMENT)[count % 2]
            begun = time.monotonic()
            try:
                if count % 97 == 0:
                    answer = await client.get(f"{address}/slow", params={"seconds": "0.5"})
                elif count % 5 == 0:
                    answer = await client.post(f"{address}/x", content=b"a" * 5000)
                else:
                    answer = await client.get(f"{address}/x")
                told = _told(answer)
            except httpx.HTTPError as error:
                told = f"lost: {error!r}"
            ended = time.monotonic()
            self.answers.append((address, told, begun, ended))
            if not self.expected[address].allows(told, begun, ended):
                self.wrong.append(f"{address}: {told} after {ended - begun:.3f} s")

    async def enough(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        until = len(self.answers) + more
        while len(self.answers) < until:
            await asyncio.sleep(0.01)

    async def change(self, work: Callable[[], httpx.Response], *changes: tuple[str, str]) -> float:
        """Change something, after which these addresses give these answers; gives the seconds that it took."""
        begun = time.monotonic()
        ends = [self.expected[address].begin(answer) for address, answer in changes]
        done = await asyncio.to_thread(work)
        assert done.is_success, done.text
        for end in ends:
            end()
        return time.monotonic() - begun

    @property
    def counts(self) -> Counter[str]:
        """How often each answer was given."""
        return Counter(answer for _, answer, _, _ in self.answers)

    def mixed(self, address: str, old: str, new: str, since: float) -> float:
        """Seconds during which requests began of which some were answered by the old and some by the new version.

        ``since`` is a moment between the change before and this one: what began earlier may have met the version before the old.
        """
        asked = [(told, begun) for where, told, begun, _ in self.answers if where == address and begun >= since]
        first = min((begun for told, begun in asked if told == new), default=None)
        last = max((begun for told, begun in asked if told == old), default=None)
        return 0.0 if first is None or last is None else max(0.0, last - first)


def _told(answer: httpx.Response) -> str:
    if answer.status_code == httpx.codes.OK:
        return str(json.loads(answer.content)["version"])
    if answer.status_code == httpx.codes.NOT_FOUND and answer.json()["type"] in _NOT_THERE:
        return NONE
    return f"{answer.status_code}: {answer.text[:300]}"


_NOT_THERE = ("urn:stoker:problem:not-found", "urn:stoker:problem:plugin-gone")


async def whole_life(load: HotLoad, admin: httpx.Client, bundles: dict[str, bytes], pause: int) -> None:
    """Install, upgrade, roll back, upgrade again, uninstall: for the server and for an environment, ``pause`` requests apart."""

    def install(version: str) -> Callable[[], httpx.Response]:
        return lambda: admin.post("/api/plugins", content=bundles[version])

    def uninstall(version: str) -> Callable[[], httpx.Response]:
        return lambda: admin.delete(f"/api/plugin-versions/probe/{version}")

    def default(version: str) -> Callable[[], httpx.Response]:
        return lambda: admin.put("/api/plugin-defaults/probe", json={"version": version})

    def enable(version: str) -> Callable[[], httpx.Response]:
        return lambda: admin.put("/api/environments/prod/plugins/probe", json={"version": version})

    steps = [
        (install("1.0.0"), [(SERVER, "1.0.0")]),
        (enable("1.0.0"), [(ENVIRONMENT, "1.0.0")]),
        (install("2.0.0"), [(SERVER, "2.0.0")]),
        (enable("2.0.0"), [(ENVIRONMENT, "2.0.0")]),
        (default("1.0.0"), [(SERVER, "1.0.0")]),
        (enable("1.0.0"), [(ENVIRONMENT, "1.0.0")]),
        (default("2.0.0"), [(SERVER, "2.0.0")]),
        (enable("2.0.0"), [(ENVIRONMENT, "2.0.0")]),
        (uninstall("1.0.0"), []),
        (lambda: admin.delete("/api/environments/prod/plugins/probe"), [(ENVIRONMENT, NONE)]),
        (uninstall("2.0.0"), [(SERVER, NONE)]),
    ]
    await load.enough(pause)
    for work, changes in steps:
        await load.change(work, *changes)
        await load.enough(pause)
