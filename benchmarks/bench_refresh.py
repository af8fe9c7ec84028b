# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The refresh of plugins' data: 1,000 nodes change, and the hooks of 100 plugins make their data anew, in real workers."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
from sqlalchemy import create_engine, select, text
from stoker.config import load_config
from stoker.db import tables
from stoker_sdk.source import build_bundle

from benchmarks import bench_server
from benchmarks.result import Result

NAMES = ("refresh-100",)

_PLUGINS = 100
_WITH_FLASK = 10
_PATIENCE = 600.0
_EACH = 0.25
_BOUND = 1024
_AIM = 614
_PROJECT = """\
[project]
name = "stoker-plugin-{name}"
version = "1.0.0"
description = "For a benchmark"
requires-python = ">=3.11"
dependencies = ["stoker-sdk"{flask}]

[project.entry-points."stoker.plugins"]
{name} = "{module}:plugin"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""
_MODULE = '''\
"""For a benchmark."""

from stoker_sdk import Plugin, code
from stoker_sdk.extension_points import rest_api, serializer_hooks
{application}

def data(objects):
    """What is added to nodes."""
    return {{item.id: {{"kernel": item.columns["facts"]["kernel"], "of": item.columns["name"]}} for item in objects}}


plugin = Plugin(name="{name}", version="1.0.0", title="{name}", contributions=[
    serializer_hooks.SerializerHook(name="data", target="node", call=code(data), reads=["name", "facts"],
                                    json_schema={{"type": "object", "required": ["kernel"]}}),
    {contribution}
])
'''
_APPLICATION = '''
from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    """An answer."""
    return {"plugin": __name__}


class Api(rest_api.RESTAPIPlugin):
    """A Flask application."""

    application = app

'''


def _bundles(folder: Path) -> Iterator[tuple[str, Path]]:
    for number in range(_PLUGINS):
        name = f"plugin-{number:02}"
        module = f"stoker_plugin_{name.replace('-', '_')}"
        flask = number % (_PLUGINS // _WITH_FLASK) == 0
        project = folder / name
        package = project / "src" / module
        package.mkdir(parents=True)
        needed = ', "flask"' if flask else ""
        project.joinpath("pyproject.toml").write_text(_PROJECT.format(name=name, module=module, flask=needed))
        contribution = "rest_api.RestApi(call=code(Api))," if flask else ""
        source = _MODULE.format(name=name, application=_APPLICATION if flask else "", contribution=contribution)
        package.joinpath("__init__.py").write_text(source)
        yield name, build_bundle(project, folder)


class _Memory:
    """Looks at the memory of a process and all that descend from it, each page counted once."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._end = threading.Event()
        self.most = self.processes = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(_EACH):
            sizes = [self._size(pid) for pid in self._family()]
            if sum(sizes) > self.most:
                self.most, self.processes = sum(sizes), len(sizes)

    def _family(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        found = [self._pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def _size(self, pid: int) -> int:
        """Bytes: shared pages in equal parts."""
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        return 0


def _fresh(client: httpx.Client, word: str) -> None:
    """Wait until every node shows the data of every plugin, made of what is there now."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        hooks = client.get("/api/environments/fleet/serializer-hooks").raise_for_status().json()["items"]
        if len(hooks) == _PLUGINS and all(hook["state"] == "fresh" for hook in hooks):
            items = client.get("/api/nodes").raise_for_status().json()["items"]
            shown = [item.get("ext", {}) for item in items]
            if not all(len(ext) == _PLUGINS and all(part["data"]["kernel"] == word for part in ext.values()) for ext in shown):
                raise RuntimeError("data are called fresh, and are not")
            return
        if failed := next((hook for hook in hooks if hook["failures"]), None):
            sys.stderr.write(f"bench: {failed['plugin']}: {failed['reason']}\n")
        time.sleep(_EACH)
    raise RuntimeError("the data do not become fresh")


def run() -> Iterator[Result]:
    """Memory of server and workers while the data are made anew, and how long that takes."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        data = folder / "data"
        bench_server.fill(data, installed=0)
        with bench_server.running(data) as (process, url, _):
            headers = {"Authorization": f"Bearer {(data / 'admin-token').read_text().strip()}"}
            with httpx.Client(base_url=url, headers=headers, timeout=600) as client:
                names = []
                for plugin, bundle in _bundles(folder):
                    names.append(plugin)
                    kind = {"Content-Type": "application/octet-stream"}
                    client.post("/api/plugins", content=bundle.read_bytes(), headers=kind).raise_for_status()
                client.post("/api/environments", json={"name": "fleet", "plugins": dict.fromkeys(names, "")}).raise_for_status()
                nodes = [node["name"] for node in client.get("/api/nodes").raise_for_status().json()["items"]]
                begun = time.monotonic()
                given = {"assignments": [{"node": node, "roles": []} for node in nodes]}
                client.post("/api/environments/fleet/nodes:assign", json=given).raise_for_status()
                _fresh(client, "6.1.0-29-amd64")
                first = time.monotonic() - begun
                with _Memory(process.pid) as memory:
                    begun = time.monotonic()
                    _change(data)
                    _fresh(client, "6.1.0-30-amd64")
                    again = time.monotonic() - begun
    note = (
        f"most of {memory.processes} processes; {len(nodes):,} changed nodes fresh after {again:.0f} s (first time {first:.0f} s), "
        f"{_PLUGINS} plugins, {_WITH_FLASK} of them with Flask"
    )
    value = round(memory.most / 1024**2)
    yield Result(name="refresh-100", value=value, unit="MB", bound=_BOUND, aim=_AIM, note=note)


def _change(data: Path) -> None:
    """Every node's facts are others, in one transaction."""
    engine = create_engine(load_config(None, flags={"data_dir": str(data)}).database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE nodes SET facts = replace(facts, '6.1.0-29-amd64', '6.1.0-30-amd64')"))
        if not connection.execute(select(tables.refresh_queue.c.id).limit(1)).first():
            raise RuntimeError("the change was not queued")
    engine.dispose()
