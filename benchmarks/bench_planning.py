# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Planning at 1,000 nodes: a whole plan in a fresh process, the graph alone, and how the graph grows."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time

import msgspec
from stoker.domain.node import Facts, Observation, ObservedFile, ObservedService
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Applied, AppliedFile, AppliedPackage, NodeInput, PluginInput, Snapshot
from stoker.planning.plans import make_plan
from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.extension_points import config_files, node_packages, roles, settings, tasks
from stoker_sdk.extension_points.tasks import Anchor
from stoker_sdk.manifest import to_manifest
from stoker_sdk.model.contribution import Contribution

from benchmarks.result import Result

NAMES = ("plan-1000", "graph-1000", "graph-growth")

PLUGINS = 10
TASKS = 204
ON_COMPUTES = 54
_ALL = ("controller", "compute")
_MEMORY = 4 * 1024**3


def _files(number: int) -> list[Contribution]:
    """One file of this plugin, with options for each node, and something for the neighbour's file."""
    path, other = f"/etc/part{number}/part.conf", f"/etc/part{(number + 1) % PLUGINS}/part.conf"
    found: list[Contribution] = [config_files.ConfigFile(path=path, format="ini", roles=_ALL, header=f"Part {number}")]
    found += [
        config_files.Option(path=path, roles=_ALL, section=f"s{i % 4}", key=f"key{i}", value=f"value {i}") for i in range(24)
    ]
    found += [
        config_files.Option(path=path, roles=_ALL, section="DEFAULT", key="host", value=ref.node.name),
        config_files.Option(path=path, roles=_ALL, section="DEFAULT", key="address", value="tcp://" + ref.node.address),
        config_files.Option(path=path, roles=_ALL, section="DEFAULT", key="workers", value=ref.settings.workers),
        config_files.Option(path=path, roles=_ALL, section="DEFAULT", key="debug", value=False, level="default"),
        config_files.Option(path=path, roles=_ALL, section="DEFAULT", key="debug", value=True, when="'controller' in node.roles"),
        config_files.ListItem(
            path=path, roles=_ALL, section="DEFAULT", key="servers", items=ref("by_role.controller.map(n, n.address)")
        ),
        config_files.ListItem(
            path=other, roles=_ALL, section="DEFAULT", key="backends", items=[f"b{number}", "shared"], weight=number
        ),
        config_files.Option(path=other, roles=_ALL, section=f"from{number}", key="enabled", value=True),
    ]
    return found


def _tasks(number: int, files: bool) -> list[Contribution]:
    """This plugin's part of the tasks: some on every node, the rest on controllers; a barrier among them."""
    # packages and files; the last one's file is written by its neighbour, the first that says something of it
    generated = (1 if number == PLUGINS - 1 else 2) if files else 0
    everywhere = (ON_COMPUTES * (number + 1)) // PLUGINS - (ON_COMPUTES * number) // PLUGINS - generated
    wanted = (TASKS * (number + 1)) // PLUGINS - (TASKS * number) // PLUGINS - generated
    found: list[Contribution] = []
    if files:
        found.append(
            tasks.Service(
                name=f"part{number}", roles=_ALL, restart_on=[f"file:/etc/part{number}/part.conf", f"package:part{number}"]
            )
        )
        everywhere, wanted = everywhere - 1, wanted - 1
    for index in range(everywhere):
        after: list[str | Dependency] = [f"all{index - 1}"] if index else []
        if index == 1 and number:
            after.append(Dependency(f"part{number - 1}.only0", role="controller"))
        phase: Anchor | None = None if after else "configure"
        found.append(tasks.Shell(id=f"all{index}", roles=_ALL, phase=phase, after=after, run=f"echo {number} {index}"))
    for index in range(wanted - everywhere):
        earlier = [f"only{index - 1}"] if index else []
        own_phase: Anchor | None = None if earlier else "configure"
        found.append(
            tasks.Shell(
                id=f"only{index}", roles=["controller"], phase=own_phase, after=earlier, run=f"echo {number} only {index}"
            )
        )
    return found


def _plugin(number: int, files: bool) -> PluginInput:
    contributions: list[Contribution] = _tasks(number, files)
    if number == 0:
        contributions += [roles.Role(name="controller", min=1), roles.Role(name="compute", tolerance="5%")]
    if files:
        schema = {"type": "object", "properties": {"workers": {"type": "integer"}}}
        contributions += [settings.Settings(json_schema=schema)]
        contributions += [node_packages.NodePackages(roles=_ALL, packages=[f"part{number}", f"part{number}-data", "shared-base"])]
        contributions += _files(number)
    plugin = Plugin(name=f"part{number}", version="1.0.0", title="A part", contributions=contributions)
    return PluginInput(
        name=plugin.name,
        version=plugin.version,
        digest=f"{number:064x}",
        contributions=msgspec.json.decode(msgspec.json.encode(to_manifest(plugin)["contributions"])),
        settings={"workers": 4} if files else {},
    )


def _node(number: int) -> NodeInput:
    name = f"node{number:05d}"
    return NodeInput(
        id=f"id{number:05d}",
        name=name,
        address=f"10.{number // 65536}.{number // 256 % 256}.{number % 256}",
        roles=["controller"] if number < 3 else ["compute"],
        facts=Facts(
            hostname=name, os_id="debian", os_family="debian", os_version="12", cpus=16, memory_bytes=2**36, boot_id=name
        ),
        observed=Observation(),
    )


def make_snapshot(nodes: int, *, files: bool) -> Snapshot:
    """Three controllers and so many computes on which nothing was deployed yet."""
    return Snapshot(
        environment_id="bench",
        environment_name="bench",
        plugins=[_plugin(number, files) for number in range(PLUGINS)],
        nodes=[_node(number) for number in range(nodes + 3)],
        marker="\x02bench\x02",
    )


def _deployed(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot after the plan was carried out, with a setting of three plugins changed since."""
    files: list[dict[str, ObservedFile]] = [{} for _ in snapshot.nodes]
    applied: list[dict[str, AppliedFile]] = [{} for _ in snapshot.nodes]
    packages: list[dict[str, str]] = [{} for _ in snapshot.nodes]
    done: list[dict[str, str]] = [{} for _ in snapshot.nodes]
    for file in plan.files:
        content = plan.contents[file.content]
        text = content.text if isinstance(content.text, str) else None
        files[file.node][file.path] = ObservedFile("file", content.sha256, "root", "root", "0644", text)
        applied[file.node][file.path] = AppliedFile(content.sha256, [plan.tasks[file.task].plugin])
    for package in plan.packages:
        packages[package.node][package.name] = "1.0"
    for instance in plan.instances:
        done[instance.node][plan.tasks[instance.task].name] = instance.inputs
    units = {f"part{number}": ObservedService(active=True, enabled=True) for number in range(PLUGINS)}
    nodes = [
        msgspec.structs.replace(
            node,
            observed=Observation(files=files[i], packages=packages[i], services=units),
            applied=Applied(files=applied[i], packages={name: AppliedPackage(["part0"]) for name in packages[i]}, tasks=done[i]),
        )
        for i, node in enumerate(snapshot.nodes)
    ]
    plugins = [
        msgspec.structs.replace(plugin, settings={"workers": 8}) if number < 3 else plugin
        for number, plugin in enumerate(snapshot.plugins)
    ]
    return msgspec.structs.replace(snapshot, plugins=plugins, nodes=nodes)


def _plan_1000() -> list[Result]:
    snapshot = make_snapshot(1000, files=True)
    payload = msgspec.json.encode(_deployed(snapshot, make_plan(snapshot)))
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target, tempfile.TemporaryFile() as notes:
        source.write(payload)
        source.seek(0)
        notes.truncate(4096)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "stoker.planning", "plan", str(_MEMORY), "600", str(notes.fileno())],
            stdin=source,
            stdout=target,
            pass_fds=(notes.fileno(),),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"the planning process ended with {process.returncode}")
        size = target.tell() or os.fstat(target.fileno()).st_size
        target.seek(0)
        plan = msgspec.json.decode(target.read(), type=Plan)
    changed = sum(1 for file in plan.files if file.status == "change")
    note = f"{len(plan.instances):,} instances of {len(plan.tasks)} tasks, {len(plan.files):,} files, {changed:,} of them change"
    seconds, memory, stored = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size / 1e6
    return [
        Result(name="plan-1000", value=seconds, unit="s", bound=8, aim=3, note=f"{note}; processor time of a fresh process"),
        Result(name="plan-1000-memory", value=memory, unit="MB", bound=500, note="resident at most"),
        Result(name="plan-1000-stored", value=stored, unit="MB", bound=60, note="the plan as JSON, before compression"),
    ]


def _graph_seconds(snapshot: Snapshot, tries: int) -> float:
    best = float("inf")
    for _ in range(tries):
        gc.collect()
        before = time.process_time()
        plan = make_plan(snapshot)
        best = min(best, time.process_time() - before)
        del plan
    return best


def run() -> list[Result]:
    """Measure all three."""
    results = _plan_1000()
    small = _graph_seconds(make_snapshot(1000, files=False), 5)
    large = _graph_seconds(make_snapshot(10_000, files=False), 3)
    results.append(Result(name="graph-1000", value=small, unit="s", bound=2, aim=0.7, note=f"{TASKS} tasks, best of 5"))
    growth = large / small
    results.append(
        Result(name="graph-growth", value=growth, unit="times", bound=12, aim=10.5, note=f"10,000 nodes: {large:.2f} s")
    )
    return results
