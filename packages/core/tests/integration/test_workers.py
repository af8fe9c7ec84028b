# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers: a plugin's code is called and asks back, its application answers, and idle ones make place."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import msgspec
import pytest
from stoker.errors import HookFailedError, WorkerError
from stoker_sdk.context.values import Environment
from stoker_sdk.worker.protocol import APPLICATION, CONTEXT_HEADER, ROOT_HEADER, CallContext
from worker_venvs import CALLER, hook, venv, workers_of

SOURCE = """
    import json

    from stoker_sdk import Plugin, RESTAPIPlugin, code
    from stoker_sdk.context import Problem, current
    from stoker_sdk.extension_points.rest_api import RestApi


    class Api(RESTAPIPlugin):
        @staticmethod
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            seen = {key: value for key, value in environ.items() if isinstance(value, str)}
            seen["caller"] = current().caller.name
            return [json.dumps(seen).encode()]


    def check(settings, context):
        return [Problem(field="port", message=f"{settings['port']} for {context.caller.name}", remedy=context.environment.name)]


    def labels(objects):
        return {one.id: {"n": len(one.columns["name"])} for one in objects}


    def ask(settings, context):
        answer = context.records.count("labels")
        api = context.api.request("GET", "/api/nodes")
        return [Problem(field=str(answer), message=str(api.status), remedy="")]


    def wrong(settings):
        return "nothing"


    def raises(settings):
        raise LookupError("here")


    plugin = Plugin(name="hello", version="1.0.0", title="Hello", contributions=[RestApi(call=code(Api))])
"""


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    return venv(tmp_path_factory.mktemp("hello"), "hello_plugin", SOURCE)


async def _call(dispatcher, made, **arguments):
    given = {name: json.dumps(value).encode() for name, value in arguments.items()}
    here = Environment(id="e1", name="prod")
    return json.loads(await dispatcher.call(made, given, environment=here, caller=CALLER, settings={"port": 1}))


def test_a_worker_calls_functions_answers_requests_and_asks_back(tmp_path, hello):
    async def run():
        async with workers_of(tmp_path, {("hello", "1.0.0"): hello}) as (workers, back, dispatcher):
            asked = []

            async def count(scope, body):
                asked.append((scope.plugin, scope.environment_id, scope.permissions, json.loads(body)))
                return b"7"

            back.register("records.count", count)
            problems = await _call(dispatcher, hook("hello_plugin:check"), settings={"port": 80})
            assert problems == [{"field": "port", "message": "80 for ada", "remedy": "prod", "severity": "error"}]
            objects = [{"id": "n1", "columns": {"name": "web"}}]
            assert await _call(dispatcher, hook("hello_plugin:labels", "serializer_hooks"), objects=objects) == {"n1": {"n": 3}}
            (back_again,) = await _call(dispatcher, hook("hello_plugin:ask"), settings={})
            assert (back_again["field"], back_again["message"]) == ("7", "403")
            assert asked == [("hello", "e1", ("write",), {"collection": "labels", "where": {}})]

            for function, reason, told in (
                ("hello_plugin:wrong", "shape", "array"),
                ("hello_plugin:raises", "raised", "LookupError: here"),
                ("hello_plugin:absent", "missing", "absent"),
            ):
                with pytest.raises(HookFailedError) as failed:
                    await _call(dispatcher, hook(function), settings={})
                assert failed.value.reason == reason
                assert told in failed.value.detail
            (worker,) = workers.alive()
            assert worker.hello.application == "wsgi"

            about = CallContext(caller=CALLER, token="none")
            headers = {
                CONTEXT_HEADER: base64.b64encode(msgspec.json.encode(about)).decode(),
                ROOT_HEADER: "/api/plugins/hello",
                "X-Own": "1",
            }
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(worker.socket))) as client:
                seen = (await client.get(f"http://worker{APPLICATION}/a%20b?q=1", headers=headers)).json()
                assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/api/plugins/hello", "/a b", "q=1")
                assert seen["caller"] == "ada"
                assert seen["HTTP_X_OWN"] == "1"
                assert not [key for key in seen if key.startswith("HTTP_STOKER")]

    asyncio.run(run())


def test_a_deadline_ends_the_process_and_the_next_call_gets_a_new_one(tmp_path):
    source = """
        import time
        from stoker_sdk import Plugin

        def sleep(settings):
            time.sleep(60)

        def work(settings):
            time.sleep(0.5)
            return []

        plugin = Plugin(name="hello", version="1.0.0", title="Hello")
    """
    code = venv(tmp_path, "sleeping_plugin", source)

    async def run():
        async with workers_of(tmp_path, {("hello", "1.0.0"): code}) as (workers, _, dispatcher):
            await _call(dispatcher, hook("sleeping_plugin:work"), settings={})
            (first,) = workers.alive()
            late = asyncio.create_task(_call(dispatcher, hook("sleeping_plugin:sleep", deadline=0.3), settings={}))
            beside = asyncio.create_task(_call(dispatcher, hook("sleeping_plugin:work"), settings={}))
            required = asyncio.create_task(_call(dispatcher, hook("sleeping_plugin:work", required=True), settings={}))
            with pytest.raises(HookFailedError) as failed:
                await late
            assert failed.value.reason == "deadline"
            assert await beside == []  # best effort: once more in a new process
            with pytest.raises(HookFailedError, match="took more than"):
                await required
            (second,) = workers.alive()
            assert first.pid != second.pid
            assert first.gone.is_set()

    asyncio.run(run())


def test_the_least_recently_used_worker_makes_place(tmp_path, hello):
    async def run():
        source = "from stoker_sdk import Plugin\nplugin = Plugin(name='other', version='1.0.0', title='Other')\n"
        other = venv(tmp_path, "other_plugin", source, "other")
        codes = {("hello", "1.0.0"): hello, ("other", "1.0.0"): other}
        async with workers_of(tmp_path, codes, most=1, idle_seconds=0.4) as (workers, _, _dispatcher):
            async with workers.using("hello", "1.0.0") as first:
                waiting = asyncio.create_task(_enter(workers, "other"))
                await asyncio.sleep(0.1)
                assert workers.alive() == [first]
            assert await waiting == "other"
            assert first.gone.is_set()
            async with asyncio.timeout(5):
                while workers.alive():
                    await asyncio.sleep(0.05)

    async def _enter(workers, name):
        async with workers.using(name, "1.0.0") as worker:
            return worker.hello.plugin

    asyncio.run(run())


def test_who_holds_a_place_for_long_is_asked_to_give_it_and_nobody_starves(tmp_path, hello):
    """Two versions of one plugin hold streams and are asked again and again; another plugin comes in between."""

    async def run():
        source = "from stoker_sdk import Plugin\nplugin = Plugin(name='other', version='1.0.0', title='Other')\n"
        other = venv(tmp_path, "other_plugin", source, "other")
        codes = {("hello", "1.0.0"): hello, ("other", "1.0.0"): other}
        asked = 0

        async def stream():
            nonlocal asked
            while True:
                async with workers.using("hello", "1.0.0") as worker:
                    asked += 1
                    await worker.leaving.wait()

        async with workers_of(tmp_path, codes, most=1, press_seconds=0.2, wait_seconds=15) as (workers, _, _dispatcher):
            streams = [asyncio.create_task(stream()) for _ in range(3)]
            await asyncio.sleep(0.1)
            for _ in range(2):
                async with workers.using("other", "1.0.0") as worker:
                    assert worker.hello.plugin == "other"
                    assert len(workers.alive()) == 1
                before = asked
                async with asyncio.timeout(10):
                    while asked < before + 3:
                        await asyncio.sleep(0.02)
            for one in streams:
                one.cancel()
            await asyncio.wait(streams)

    asyncio.run(run())


def test_who_finds_no_place_in_time_is_told(tmp_path, hello):
    async def run():
        codes = {("hello", "1.0.0"): hello, ("other", "1.0.0"): hello}
        async with (
            workers_of(tmp_path, codes, most=1, wait_seconds=0.3) as (workers, _, _dispatcher),
            workers.using("hello", "1.0.0"),
        ):
            with pytest.raises(WorkerError) as failed:
                async with workers.using("other", "1.0.0"):
                    pass
            assert failed.value.reason == "busy"
            assert "workers_max" in failed.value.remedy

    asyncio.run(run())


def test_a_version_that_is_stopped_drains_and_its_processes_are_gone(tmp_path, hello):
    async def run():
        async with workers_of(tmp_path, {("hello", "1.0.0"): hello}) as (workers, _, _dispatcher):
            async with workers.using("hello", "1.0.0") as worker:
                stopping = asyncio.create_task(workers.stop("hello", drain=10))
                await worker.leaving.wait()
                assert worker.alive
            await stopping
            assert worker.gone.is_set()
            assert not workers.alive()

    asyncio.run(run())
