# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of plugins' code, in every place where it runs: the call fails with a reason, the next is good, nothing is left."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from pathlib import Path

import httpx
import msgspec
import pytest
from stoker.errors import HookFailedError
from stoker.plugin_host.worker_output import MOST_KEPT, MOST_LINE
from stoker_sdk.context.values import Environment
from stoker_sdk.worker.protocol import APPLICATION, CONTEXT_HEADER, CallContext
from worker_venvs import CALLER, hook, venv, workers_of

VERSION = "1.0.0"
HERE = Environment(id="e1", name="prod")
PLACES = {
    "validate_settings": ("check", lambda fault: {"settings": {"fault": fault}}),
    "events": ("event", lambda fault: {"event": {"id": 1, "name": fault, "at": 1.0}}),
    "serializer_hooks": ("labels", lambda fault: {"objects": [{"id": fault}]}),
    "records": ("migrate", lambda fault: {"documents": {"fault": fault}}),
}
FAULTS = {
    "raise": "raised",
    "exit by exception": "raised",
    "shape": "shape",
    "loop": "deadline",
    "sleep": "deadline",
    "memory": "memory",
    "exit": "died",
    "segfault": "died",
    "close": "protocol",
    "flood": "deadline",
    "fork": "died",
}
PATIENT = {"loop", "sleep", "flood"}


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """One venv, in which the same code is a plugin of its own for each place."""
    source = Path(__file__).with_name("faulty_plugin.py").read_text()
    made = venv(tmp_path_factory.mktemp("faulty"), "faulty_plugin", source, "faulty")
    made = msgspec.structs.replace(made, memory=96)
    packages = next((made.python.parents[1] / "lib").glob("python*")) / "site-packages"
    found = {}
    for place in [*PLACES, "rest_api"]:
        name = place.replace("_", "-")
        (packages / f"faulty_{place}.py").write_text(
            f"import msgspec, faulty_plugin\nplugin = msgspec.structs.replace(faulty_plugin.plugin, name={name!r})\n"
        )
        with (packages / "faulty_plugin-1.0.0.dist-info" / "entry_points.txt").open("a") as file:
            file.write(f"{name} = faulty_{place}:plugin\n")
        found[name, VERSION] = msgspec.structs.replace(made, entry=name)
    return found


def _processes(mark):
    """Processes of this machine that have a mark in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


async def _none_left(mark):
    async with asyncio.timeout(3):
        while _processes(mark):
            await asyncio.sleep(0.01)


async def _at(dispatcher, place, fault, deadline):
    function, given = PLACES[place]
    arguments = {name: json.dumps(value).encode() for name, value in given(fault).items()}
    made = hook(f"faulty_plugin:{function}", place, deadline=deadline, plugin=place.replace("_", "-"), required=True)
    return await dispatcher.call(made, arguments, environment=HERE, caller=CALLER, settings={})


async def _rest(workers, fault, patience):
    about = base64.b64encode(msgspec.json.encode(CallContext(caller=CALLER, token="none"))).decode()
    async with workers.using("rest-api", VERSION) as worker:
        transport = httpx.AsyncHTTPTransport(uds=str(worker.socket))
        async with httpx.AsyncClient(transport=transport, timeout=patience) as client:
            answer = await client.get(f"http://worker{APPLICATION}/{fault}", headers={CONTEXT_HEADER: about})
            return answer.status_code, answer.text


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_stays_where_it_is(tmp_path, codes, fault) -> None:
    mark = f"fork-{uuid.uuid4().hex}"
    given = mark if fault == "fork" else fault
    deadline = 1.0 if fault in PATIENT else 20.0

    async def run():
        async with workers_of(tmp_path, codes, most=len(codes), share=1.0) as (workers, _, dispatcher):
            await asyncio.gather(*(_at(dispatcher, place, "none", 20) for place in PLACES))
            faults = [_at(dispatcher, place, given, deadline) for place in PLACES]
            *failed, rest = await asyncio.gather(*faults, _rest(workers, given, deadline), return_exceptions=True)
            for place, error in zip(PLACES, failed, strict=True):
                assert isinstance(error, HookFailedError), (place, error)
                assert error.reason == FAULTS[fault], (place, error)
                assert place.replace("_", "-") in error.detail
            if fault in ("raise", "exit by exception"):
                assert rest == (500, "Internal Server Error")
                assert "LookupError" in failed[0].traceback or fault != "raise"
            elif fault != "memory":
                assert isinstance(rest, httpx.HTTPError)
            await _none_left(mark)
            if fault == "flood":
                kept = workers.outputs.lines("validate-settings", VERSION)
                assert kept
                assert sum(len(line.text) for line in kept) <= MOST_KEPT + MOST_LINE
            good = await asyncio.gather(*(_at(dispatcher, place, "none", 20) for place in PLACES))
            assert [json.loads(one) for one in good] == [[], None, {}, {}]
            if fault not in PATIENT:
                assert await _rest(workers, "none", 20) == (200, "good")
            workers_alive = workers.alive()
            begun = time.monotonic()
        assert time.monotonic() - begun < 15  # they ignore SIGTERM
        for worker in workers_alive:
            assert not Path(f"/proc/{worker.pid}").exists()

    asyncio.run(run())


def test_what_a_worker_forked_lives_beside_it_and_ends_with_it(tmp_path, codes) -> None:
    async def run():
        async with workers_of(tmp_path, codes) as (workers, _, _dispatcher):
            mark = f"fork-{uuid.uuid4().hex}"
            asked = asyncio.create_task(_rest(workers, mark, 20))
            async with asyncio.timeout(10):
                while len(_processes(mark)) < 3:
                    await asyncio.sleep(0.005)
                with pytest.raises(httpx.HTTPError):
                    await asked
            await _none_left(mark)

    asyncio.run(run())
