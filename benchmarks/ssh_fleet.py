# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Clients that bring packages and files to SSH servers, each in a process of its own: ``python -m benchmarks.ssh_fleet KIND FOLDER``.

A client works several times: after the first there is nothing to change. It prints the seconds of the processor, children included,
and of the clock, for each time.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

ON_NODE = "/mnt"
"""On every server a folder of its own."""
FILES = 5
OPTIONS = 20
PACKAGES = ("coreutils", "dpkg", "grep", "sed", "tar")
"""What every Debian has: nothing is installed, but both look."""
TEMPLATE = "[part]\n" + "".join(f"key{index} = value {index}\n" for index in range(OPTIONS)) + "host = {{ host.name }}\n"
"""For pyinfra; ours come of options, each with its provenance."""
AT_ONCE = 50
ROUNDS = 3
Found = dict[str, list[dict[str, float]]]


def _used() -> tuple[float, float]:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in both), time.monotonic()


def _measured(work: Callable[[], None]) -> dict[str, float]:
    before = _used()
    work()
    after = _used()
    return {"cpu": after[0] - before[0], "wall": after[1] - before[1]}


def stoker(folder: Path) -> Found:
    """A server's own services on these nodes: plan, deploy, wait; and, after both, only the nodes' facts."""
    return asyncio.run(_Stoker(folder).run())


class _Stoker:
    """The parts of a server without HTTP."""

    def __init__(self, folder: Path) -> None:
        from stoker.app import build_context, open_vault  # noqa: PLC0415  pyinfra's process must not load it
        from stoker.config import load_config  # noqa: PLC0415
        from stoker.services import observation  # noqa: PLC0415
        from stoker.transport.ssh import SshTransport  # noqa: PLC0415

        observation.CONNECT_SECONDS = 120.0  # client and servers share one machine
        config = load_config(None, environment={}, flags={"data_dir": str(folder / "data")})
        self.context = build_context(config, open_vault(config))
        self.context.transports["ssh"] = SshTransport(f"{ON_NODE}/stoker")
        self._folder = folder

    async def run(self) -> Found:
        context = self.context
        context.loop = asyncio.get_running_loop()
        assert context.orchestrator is not None
        await context.orchestrator.recover()
        try:
            await asyncio.to_thread(self._prepare)
            await asyncio.to_thread(self._facts)  # the first host keys are kept, programs are warm
            found = {"first": [await asyncio.to_thread(_measured, self._deploy)], "again": [], "facts": []}
            for _ in range(ROUNDS):
                found["again"].append(await asyncio.to_thread(_measured, self._deploy))
                found["facts"].append(await asyncio.to_thread(_measured, self._facts))
            return found
        finally:
            await context.orchestrator.close()
            context.database.close()

    def _prepare(self) -> None:
        from stoker.services import credentials, enablement, environments, nodes, plugins, roles  # noqa: PLC0415
        from stoker_sdk import Plugin, ref  # noqa: PLC0415
        from stoker_sdk.bundle import write_bundle  # noqa: PLC0415
        from stoker_sdk.extension_points import config_files, node_packages  # noqa: PLC0415
        from stoker_sdk.extension_points.roles import Role  # noqa: PLC0415
        from stoker_sdk.manifest import to_manifest  # noqa: PLC0415

        context = self.context
        contributions = [Role(name="all"), node_packages.NodePackages(roles=["all"], packages=list(PACKAGES))]
        for number in range(FILES):
            path = f"{ON_NODE}/part{number}.conf"
            contributions.append(config_files.ConfigFile(path=path, format="ini", roles=["all"]))
            contributions += [
                config_files.Option(path=path, roles=["all"], section="part", key=f"key{index}", value=f"value {index}")
                for index in range(OPTIONS)
            ]
            contributions.append(config_files.Option(path=path, roles=["all"], section="part", key="host", value=ref.node.name))
        plugin = Plugin(name="bench", version="1.0.0", title="Packages and files", contributions=contributions)
        plugins.install(context, write_bundle(to_manifest(plugin), {}, self._folder).read_bytes())
        environments.create(context, "bench")
        enablement.enable(context, "bench", "bench", None, None)
        credentials.add(context, "bench", (self._folder / "key").read_text())
        for number, port in enumerate(json.loads((self._folder / "ports.json").read_text())):
            nodes.add(context, nodes.NewNode(name=f"n{number}", address="127.0.0.1", port=port, credential="bench"))
            roles.assign(context, "bench", f"n{number}", ["all"])

    def _deploy(self) -> None:
        from stoker.db import deployments  # noqa: PLC0415
        from stoker.services import starting  # noqa: PLC0415

        identity = starting.start(self.context, "bench", None).id
        state = "pending"
        while state in deployments.UNFINISHED:
            time.sleep(0.02)
            with self.context.database.read() as connection:
                row = deployments.find_deployment(connection, identity)
                state = str(row.state)
        if state != "ready":
            raise RuntimeError(f"the deployment ended as {state}: {row.reason}")

    def _facts(self) -> None:
        """Connect to all nodes and read what they are, as a plan does whose facts are old."""
        from stoker.services import snapshots  # noqa: PLC0415
        from stoker.services.observation import Watchers  # noqa: PLC0415

        with self.context.database.read() as connection:
            stored = snapshots.read_stored(self.context, connection, "bench")

        async def look() -> None:
            watchers = Watchers(self.context, stored.targets)
            try:
                await watchers.connect({})
            finally:
                await watchers.close()
            snapshots.keep_seen(self.context, stored, watchers)
            if failed := [seen.failure for seen in watchers.seen.values() if seen.failure is not None]:
                raise failed[0]

        self.context.wait(look())


def pyinfra(folder: Path) -> Found:
    """The same packages and files with pyinfra's API, in this process."""
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    from pyinfra.api import Config, Inventory, State  # noqa: PLC0415
    from pyinfra.api.connect import connect_all, disconnect_all  # noqa: PLC0415
    from pyinfra.api.operation import add_op  # noqa: PLC0415
    from pyinfra.api.operations import run_ops  # noqa: PLC0415
    from pyinfra.operations import apt, files  # noqa: PLC0415

    ports = json.loads((folder / "ports.json").read_text())
    names = [
        (
            f"n{number}",
            {
                "ssh_hostname": "127.0.0.1",
                "ssh_port": port,
                "ssh_user": "root",
                "ssh_key": str(folder / "key"),
                "ssh_strict_host_key_checking": "off",
                "ssh_known_hosts_file": "/dev/null",
            },
        )
        for number, port in enumerate(ports)
    ]

    def deploy() -> None:
        state = State(Inventory((names, {})), Config(PARALLEL=AT_ONCE))
        connect_all(state)
        add_op(state, apt.packages, packages=list(PACKAGES))
        for number in range(FILES):
            add_op(
                state,
                files.template,
                src=io.StringIO(TEMPLATE),
                dest=f"{ON_NODE}/part{number}.conf",
                mode="644",
                user="root",
                group="root",
            )
        run_ops(state)
        if state.failed_hosts or len(state.active_hosts) != len(ports):
            raise RuntimeError(f"pyinfra lost {len(state.failed_hosts)} hosts")
        disconnect_all(state)

    return {"first": [_measured(deploy)], "again": [_measured(deploy)]}


KINDS = {"stoker": stoker, "pyinfra": pyinfra}


def main(kind: str, folder: Path) -> None:
    """Run one client and print what it took."""
    found = KINDS[kind](folder)
    sys.stdout.write("\n" + msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()
    os._exit(0)  # no thread of a library holds up the end


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
