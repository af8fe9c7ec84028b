# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins with code: how soon one that is installed answers, and what one that nobody uses costs."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from stoker_sdk.scaffold.files import new_plugin
from stoker_sdk.source import build_bundle

from benchmarks.bench_server import running
from benchmarks.result import Result

NAMES = ("hot-install", "idle-plugin")

_INSTALLS = 7
_IDLE = 40
_WARM = 10
_PATIENCE = 60


def _bundles(folder: Path, count: int) -> list[bytes]:
    """The plugin that ``stoker-plugin new --code`` begins with, under several names."""
    made = []
    for number in range(count):
        project = folder / f"plugin-{number}"
        for path, text in new_plugin(f"greeting{number}", with_code=True).items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        made.append(build_bundle(project, folder).read_bytes())
    return made


def _install(client: httpx.Client, bundle: bytes) -> None:
    client.post("/api/plugins", content=bundle).raise_for_status()


def _first_answer(client: httpx.Client, bundle: bytes, number: int) -> float:
    """Seconds from the request that installs a plugin to the first right answer of its application."""
    start = time.perf_counter()
    _install(client, bundle)
    answer = client.get(f"/api/plugins/greeting{number}/").raise_for_status().json()
    spent = time.perf_counter() - start
    if answer["version"] != "0.1.0" or not answer["greeting"].startswith("Hello, "):
        raise RuntimeError(f"the plugin answers {answer}")
    return spent


def _private_bytes(pid: int) -> int:
    """What the process has for itself alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))


def _children(pid: int) -> int:
    """How many processes stand below one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    below, found = {pid}, 0
    while below:
        below = {child for child, parent in parents.items() if parent in below}
        found += len(below)
    return found


def _prepared(folder: Path) -> None:
    """Wait until the server has made, in the background, what all venvs are made of."""
    end = time.monotonic() + _PATIENCE
    while not list(folder.glob("venvs/_server/*/template")):
        if time.monotonic() > end:
            raise TimeoutError("the server prepares no venv")
        time.sleep(0.2)


def _idle(client: httpx.Client, pid: int, bundles: list[bytes]) -> Result:
    for bundle in bundles[:_WARM]:
        _install(client, bundle)
    client.get("/api/plugins").raise_for_status()
    before = _private_bytes(pid)
    for bundle in bundles[_WARM:]:
        _install(client, bundle)
    client.get("/api/plugins").raise_for_status()
    each = (_private_bytes(pid) - before) / (len(bundles) - _WARM) / 1024
    processes = _children(pid)
    note = f"{len(bundles) - _WARM} more plugins, nobody asks them; {processes} processes below the server"
    return Result(name="idle-plugin", value=round(each, 1), unit="KB", bound=50, ok=each <= 50 and processes == 0, note=note)


def run() -> list[Result]:
    """Both, each on a server of its own."""
    os.environ.pop("STOKER_VENV_TEMPLATE", None)
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        bundles = _bundles(folder / "projects", _IDLE)
        results = []
        for topic in NAMES:
            data = folder / topic
            with running(data) as (process, url, _):
                _prepared(data)
                headers = {"Authorization": f"Bearer {(data / 'admin-token').read_text().strip()}"}
                with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                    if topic == "idle-plugin":
                        results.append(_idle(client, process.pid, bundles))
                        continue
                    times = [_first_answer(client, bundle, number) for number, bundle in enumerate(bundles[:_INSTALLS])]
                    note = f"median of {_INSTALLS}, slowest {max(times):.2f} s"
                    value = round(statistics.median(times), 2)
                    results.append(Result(name=topic, value=value, unit="s", bound=2.0, aim=1.0, note=note))
        return results
