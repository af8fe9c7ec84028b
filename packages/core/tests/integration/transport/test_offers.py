# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A held connection lets its node fetch the server's package repositories, as long as it is held."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest
from stoker.domain.action import PackageChange, PackagesAction
from stoker.domain.node import Watch
from stoker.errors import NodeError
from stoker.plugin_host.repository_server import serving
from stoker.transport.ssh import SshTransport


async def test_the_node_keeps_the_way_under_its_name(place):
    root = str(getattr(place, "root", "/var/lib/stoker"))
    place.transport = offering(place, Path("/tmp/there-is-none.sock"))
    link = await place.connect()
    await link.offer("0123456789abcdef")
    seen = await link.observe(Watch(files=[f"{root}/ways/0123456789abcdef"]))
    assert (seen.files[f"{root}/ways/0123456789abcdef"].content or "").strip().isdigit()
    await link.close()


def offering(place, socket):
    if isinstance(place.transport, SshTransport):
        return SshTransport(str(getattr(place, "root", "/var/lib/stoker")), repositories=socket)
    return place.transport


async def test_files_come_through_the_connection_and_end_with_it(ssh, tmp_path):
    root = tmp_path / "repositories"
    (root / "motd/1.0/debian").mkdir(parents=True)
    (root / "motd/1.0/debian/InRelease").write_text("signed\n")
    socket = tmp_path / "r.sock"
    async with serving(root, socket):
        transport = SshTransport(str(ssh.root), repositories=socket)
        first, second = await transport.connect(ssh.target), await transport.connect(ssh.target)
        await first.offer("one")
        await second.offer("two")
        ports = [int((Path(ssh.root) / "ways" / name).read_text()) for name in ("one", "two")]
        assert ports[0] != ports[1]
        async with httpx.AsyncClient(trust_env=False) as client:
            for port in ports:
                answer = await client.get(f"http://127.0.0.1:{port}/repositories/motd/1.0/debian/InRelease")
                assert (answer.status_code, answer.text) == (200, "signed\n")
            await first.close()
            with pytest.raises(httpx.HTTPError):
                for _ in range(100):
                    await asyncio.sleep(0.05)
                    await client.get(f"http://127.0.0.1:{ports[0]}/repositories/motd/1.0/debian/InRelease")
            assert (await client.get(f"http://127.0.0.1:{ports[1]}/repositories/x")).status_code == 404
        await second.close()


async def test_an_sshd_that_forwards_nothing_is_told_with_the_remedy(ssh, tmp_path):
    ssh.process.terminate()
    ssh.process.wait()
    with (ssh.home / "sshd_config").open("a") as config:
        config.write("AllowTcpForwarding no\n")
    ssh.process = ssh.start()
    link = await SshTransport(str(ssh.root), repositories=tmp_path / "r.sock").connect(ssh.target)
    with pytest.raises(NodeError, match="AllowTcpForwarding") as caught:
        await link.offer("way")
    assert "repository_url" in caught.value.remedy
    await link.close()


async def test_a_server_that_serves_no_repositories_says_so(ssh):
    link = await ssh.connect()
    with pytest.raises(NodeError, match="serves no package repositories"):
        await link.offer("way")
    await link.close()


async def test_a_modelled_node_without_the_way_cannot_install_what_comes_by_it(simulated, given):
    link = await simulated.connect()
    action = PackagesAction(install=[PackageChange("tool", "1.0")], repositories=["stoker-store"], way="0123")
    assert (await link.execute("1.0.0.1", action, given(), 20)).exit_status == 1
    await link.offer("0123")
    assert (await link.execute("1.0.0.2", action, given(), 20)).ok
    with contextlib.suppress(NodeError):
        await link.close()
