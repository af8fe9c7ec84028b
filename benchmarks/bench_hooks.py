# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Serializer hooks on the read path: what a list of 1,000 nodes costs with the data of 100 plugins in it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pluggy
import stevedore
from sqlalchemy import insert, select, update
from stevedore.extension import Extension
from stoker.app import build_context
from stoker.config import load_config
from stoker.db import tables
from stoker.db.serializer_hooks import publish, settle
from stoker.db.vault import Vault
from stoker_sdk import Plugin
from stoker_sdk.extension_points.serializer_hooks import SerializerHook
from stoker_sdk.manifest import to_manifest

from benchmarks import bench_server
from benchmarks.result import Result

NAMES = ("hooks-dense", "hooks-empty", "hooks-peers")

_PLUGINS = 100
_READS = 40
_ROUNDS = 3
_WARM = 10
_HOME = "e" * 32
_PEER_PASSES = 3
_REST_SECONDS = 120
_RESTING = 15e6
"""Nanoseconds of a second in which a server does nothing."""


def _names() -> list[str]:
    return [f"plugin-{number:02}" for number in range(_PLUGINS)]


def _fragment(plugin: str, node: str) -> dict[str, object]:
    return {"label": f"{plugin} of {node}", "rack": 17, "checked": True}


def _fill(folder: Path, kind: str) -> None:
    """1,000 nodes of an environment: with plugins that add data (``dense``) or add none (``empty``), or without any.

    Without (``same``), each node's facts hold what the plugins would add: the answer has the same bytes.
    """
    bench_server.fill(folder, installed=0)
    config = load_config(None, flags={"data_dir": str(folder)})
    context = build_context(config, Vault.open(config.data_dir / "master.key"))
    nodes = tables.nodes
    with context.database.transaction() as connection:
        connection.execute(insert(tables.environments).values(id=_HOME, name="fleet", created_at=0.0, revision=1))
        connection.execute(update(nodes).values(environment_id=_HOME))
        rows = connection.execute(select(nodes.c.id, nodes.c.name, nodes.c.facts)).all()
        added = {row.id: {plugin: {"data": _fragment(plugin, row.name)} for plugin in _names()} for row in rows}
        if kind == "same":
            for row in rows:
                document = msgspec.json.decode(row.facts) | {"ext": added[row.id]}
                text = msgspec.json.encode(document).decode()
                connection.execute(update(nodes).where(nodes.c.id == row.id).values(facts=text))
        if kind in ("dense", "empty"):
            for plugin in _names():
                _use(connection, plugin)
        if kind == "dense":
            given = {
                identity: {(plugin, "data"): msgspec.Raw(msgspec.json.encode(parts["data"])) for plugin, parts in found.items()}
                for identity, found in added.items()
            }
            publish(connection, _HOME, "node", given)
        # As after a refresh that ended well: nothing waits.
        connection.execute(update(tables.serializer_hooks).values(published_at=time.time()))
        connection.execute(tables.refresh_queue.delete())
    context.database.close()


def _use(connection: Any, plugin: str) -> None:  # noqa: ANN401  a connection
    hook = SerializerHook(name="data", target="node", call="code:data", json_schema={"type": "object"}, reads=["name"])
    manifest = to_manifest(Plugin(name=plugin, version="1.0.0", title=plugin, contributions=[hook]))
    values = {"name": plugin, "version": "1.0.0", "digest": plugin, "title": plugin, "path": plugin, "installed_at": 0.0}
    connection.execute(insert(tables.plugins).values(manifest=msgspec.json.encode(manifest).decode(), **values))
    used = {"environment_id": _HOME, "plugin": plugin, "version": "1.0.0", "settings": "{}"}
    connection.execute(insert(tables.environment_plugins).values(used))
    settle(connection, _HOME, plugin)


class _Reader:
    """Reads lists of one server, and measures the processor time that the server takes for them."""

    def __init__(self, pid: int, client: httpx.Client) -> None:
        self._threads = Path(f"/proc/{pid}/task")
        self.client = client
        self.size = 0

    def _spent(self) -> int:
        """Nanoseconds of all threads; they live as long as the requests go on."""
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in self._threads.iterdir())

    def rest(self) -> None:
        """Wait until the server has done what it does after its start."""
        for _ in range(_REST_SECONDS):
            before = self._spent()
            time.sleep(1)
            if self._spent() - before < _RESTING:
                return
        raise RuntimeError("the server does not come to rest")

    def read(self) -> float:
        """Milliseconds for one list."""
        before = self._spent()
        self.size = len(self.client.get("/api/nodes").content)
        return (self._spent() - before) / 1e6


@contextmanager
def _servers(folder: Path, *kinds: str) -> Iterator[list[_Reader]]:
    with ExitStack() as stack:
        readers = []
        for kind in kinds:
            process, url, _ = stack.enter_context(bench_server.running(folder / kind))
            headers = {"Authorization": f"Bearer {(folder / kind / 'admin-token').read_text().strip()}"}
            client = stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60))
            readers.append(_Reader(process.pid, client))
            for _ in range(_WARM):
                readers[-1].read()
        for reader in readers:
            reader.rest()
        yield readers


def _pairs(one: _Reader, other: _Reader) -> tuple[float, float]:
    """One's cost over the other's, of reads that alternate; and one's cost.

    Of each the lower quartile: what else goes on in the machine makes reads dearer, never cheaper.
    """
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(_READS):
        for which in (0, 1) if number % 2 else (1, 0):
            spent[which].append((one, other)[which].read())
    first, second = (statistics.quantiles(costs, n=4)[0] for costs in spent)
    return first / second, first


def run() -> Iterator[Result]:
    """All three."""
    ratios, cost, size, nodes = _compare("dense", "same")
    note = f"{size / 1e6:.1f} MB, {cost:.1f} ms server CPU; median of {_ROUNDS} pairs of servers, {_READS} alternating reads each"
    yield Result(name="hooks-dense", value=round(ratios, 3), unit="x", bound=1.10, aim=1.05, note=note)
    ratios, own, size, _ = _compare("empty", "plain")
    note = f"{size / 1e6:.1f} MB, {own:.1f} ms server CPU; median of {_ROUNDS} pairs of servers, {_READS} alternating reads each"
    yield Result(name="hooks-empty", value=round(ratios, 3), unit="x", bound=1.03, aim=1.0, note=note)
    yield _peers(nodes, cost)


def _compare(one: str, other: str) -> tuple[float, float, int, list[dict[str, Any]]]:
    """One kind's cost over the other's, one's cost, the bytes of its list, and the nodes of the other's."""
    ratios, costs, size = [], [], 0
    nodes: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        for kind in (one, other):
            _fill(Path(name) / kind, kind)
        for _ in range(_ROUNDS):  # how a process lies in memory makes a difference of some percent
            with _servers(Path(name), one, other) as (first, second):
                shown, nodes = (reader.client.get("/api/nodes").json()["items"] for reader in (first, second))
                if any(len(item.get("ext", ())) != (_PLUGINS if one == "dense" else 0) for item in shown):
                    raise RuntimeError("the list does not show what plugins add")
                ratio, cost = _pairs(first, second)
                ratios.append(ratio)
                costs.append(cost)
                size = first.size
    return statistics.median(ratios), statistics.median(costs), size, nodes


def _peers(nodes: list[dict[str, Any]], ours: float) -> Result:
    """What frameworks that call each plugin for each object cost, over a whole request of ours."""
    stored = [msgspec.json.encode({**node, "facts": {**node["facts"], "ext": None}}) for node in nodes]
    callers = [_caller(plugin) for plugin in _names()]
    by_stevedore = stevedore.ExtensionManager.make_test_instance(
        [Extension(plugin, None, None, caller) for plugin, caller in zip(_names(), callers, strict=True)]
    )
    by_pluggy = pluggy.PluginManager("stoker_bench")
    by_pluggy.add_hookspecs(_Specification)
    for plugin, caller in zip(_names(), callers, strict=True):
        by_pluggy.register(_Implementation(caller), plugin)
    costs = {
        "stevedore": _page(stored, lambda node: by_stevedore.map(lambda extension: extension.obj(node))),
        "pluggy": _page(stored, lambda node: by_pluggy.hook.data(node=node)),
    }
    note = ", ".join(f"{peer} {cost:,.0f} ms" for peer, cost in costs.items()) + f", ours {ours:.1f} ms with HTTP; the faster one"
    value = round(min(costs.values()) / ours, 1)
    return Result(name="hooks-peers", value=value, unit="x", bound=0, ok=True, higher_is_better=True, note=note)


def _page(stored: list[bytes], ask: Callable[[dict[str, Any]], list[dict[str, object]]]) -> float:
    """Milliseconds of processor time for a page of decoded objects."""
    times = []
    for _ in range(_PEER_PASSES):
        begun = time.process_time()
        page = []
        for text in stored:
            node = msgspec.json.decode(text)
            for answer in ask(node):
                _merge(node, answer)
            page.append(node)
        msgspec.json.encode({"items": page})
        times.append((time.process_time() - begun) * 1000)
    return statistics.median(times)


def _merge(into: dict[str, Any], given: dict[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _caller(plugin: str) -> Callable[[dict[str, Any]], dict[str, object]]:
    def call(node: dict[str, Any]) -> dict[str, object]:
        return {"ext": {plugin: {"data": _fragment(plugin, node["name"])}}}

    return call


class _Specification:
    @pluggy.HookspecMarker("stoker_bench")
    def data(self, node: dict[str, Any]) -> dict[str, object]:  # type: ignore[empty-body]
        """Data of a node."""


class _Implementation:
    def __init__(self, call: Callable[[dict[str, Any]], dict[str, object]]) -> None:
        self._call = call

    @pluggy.HookimplMarker("stoker_bench")
    def data(self, node: dict[str, Any]) -> dict[str, object]:
        """Data of a node."""
        return self._call(node)
