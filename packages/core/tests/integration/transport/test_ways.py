# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to a node over SSH: its own port, jump hosts, and who is named when somebody on the way says no."""

from __future__ import annotations

import asyncio
import getpass
import socket

import asyncssh
import msgspec
import pytest
from stoker.domain.action import CommandAction
from stoker.domain.node import NodeTarget
from stoker.errors import HostKeyChangedError, NodeAuthenticationError, NodeUnreachableError
from stoker.services import credentials, nodes
from stoker.transport.ssh import SshTransport

replace = msgspec.structs.replace


class JumpHost(asyncssh.SSHServer):
    """An SSH server in this process that only passes connections on, and writes down where to."""

    def __init__(self, name, key, port=0):
        self.name = name
        self.key = key
        self.port = port
        self.passed = []
        self.users = []
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.server = None

    async def start(self):
        self.server = await asyncssh.listen("127.0.0.1", self.port, server_factory=lambda: self, server_host_keys=[self.host_key])
        self.port = self.server.get_port()
        return self

    def begin_auth(self, username):
        self.users.append(username)
        return True

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return key == self.key.convert_to_public()

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        self.passed.append((dest_host, dest_port))
        return True

    def target(self, jump=None, key=None):
        return NodeTarget(
            id=self.name,
            name=self.name,
            address="127.0.0.1",
            port=self.port,
            user="passer-by",
            private_key=(key or self.key).export_private_key().decode(),
            jump=jump,
        )


@pytest.fixture
async def jump_host():
    """Makes jump hosts, each with a key of its own."""
    made = []

    async def make(name):
        made.append(await JumpHost(name, asyncssh.generate_private_key("ssh-ed25519")).start())
        return made[-1]

    yield make
    for host in made:
        host.server.close()
        await host.server.wait_closed()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def hello(place, target, given):
    link = await place.transport.connect(target)
    try:
        outcome = await link.execute("1.0.0.1", CommandAction(run="echo hello"), given(), 20)
        return outcome.output, link.identity.host_key
    finally:
        await link.close()


async def test_a_port_of_its_own(ssh, given):
    assert ssh.target.port != 22
    assert (await hello(ssh, ssh.target, given))[0] == "hello\n"
    elsewhere = replace(ssh.target, port=free_port())
    with pytest.raises(
        NodeUnreachableError, match=rf"@127.0.0.1:{elsewhere.port}: Connection refused\. .*stoker nodes set here"
    ) as failed:
        await ssh.transport.connect(elsewhere)
    assert failed.value.node == "here"


async def test_through_a_jump_host(ssh, jump_host, given):
    door = await jump_host("door")
    output, host_key = await hello(ssh, replace(ssh.target, jump=door.target()), given)
    assert output == "hello\n"
    assert door.passed == [("127.0.0.1", ssh.port)]
    assert door.users == ["passer-by"]
    # the node's own key is told, not that of the door
    assert host_key.split()[1] == ssh.host_key.export_public_key().decode().split()[1]


async def test_through_a_chain_of_jump_hosts(ssh, jump_host, given):
    outer, inner = await jump_host("outer"), await jump_host("inner")
    target = replace(ssh.target, jump=inner.target(jump=outer.target()))
    assert (await hello(ssh, target, given))[0] == "hello\n"
    assert outer.passed == [("127.0.0.1", inner.port)]
    assert inner.passed == [("127.0.0.1", ssh.port)]


async def test_a_node_that_refuses_the_key_is_named_with_user_and_remedy(ssh):
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    with pytest.raises(NodeAuthenticationError) as refused:
        await ssh.transport.connect(replace(ssh.target, private_key=other, credential="lab"))
    way = f"{ssh.target.user}@127.0.0.1:{ssh.port}"
    assert str(refused.value).startswith(f"node here: {way} refuses the key of credential lab.")
    assert "authorized_keys" in refused.value.remedy
    with pytest.raises(NodeAuthenticationError, match="nobody-here@"):
        await ssh.transport.connect(replace(ssh.target, user="nobody-here"))


async def test_the_one_who_says_no_on_the_way_is_named(ssh, jump_host):
    door = await jump_host("door")
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(NodeAuthenticationError, match="node door: passer-by@") as refused:
        await ssh.transport.connect(replace(ssh.target, jump=door.target(key=stranger)))
    assert refused.value.node == "door"
    assert door.passed == []

    beyond = replace(ssh.target, jump=door.target(), private_key=stranger.export_private_key().decode())
    with pytest.raises(NodeAuthenticationError, match=r"node here: .*@.* refuses"):
        await ssh.transport.connect(beyond)

    with pytest.raises(NodeUnreachableError, match=r"node here: .*@127\.0\.0\.1:\d+: Connection refused"):
        await ssh.transport.connect(replace(ssh.target, jump=door.target(), port=free_port()))

    with pytest.raises(NodeUnreachableError, match=r"node door: .*@127\.0\.0\.1"):
        await ssh.transport.connect(replace(ssh.target, jump=replace(door.target(), port=free_port())))

    changed = replace(door.target(), host_key=ssh.host_key.export_public_key().decode().strip())
    with pytest.raises(HostKeyChangedError, match="node door: it shows another host key"):
        await ssh.transport.connect(replace(ssh.target, jump=changed))


async def test_the_first_key_of_every_node_on_the_way_is_kept_and_another_one_is_refused(ssh, jump_host, given):
    kept = {}

    async def trust_first(target, key):
        return kept.setdefault(target.id, key)

    trusting = SshTransport(str(ssh.root), trust_first)
    outer, inner = await jump_host("outer"), await jump_host("inner")
    target = replace(ssh.target, jump=inner.target(jump=outer.target()))
    await (await trusting.connect(target)).close()
    shown = {key: text.split()[1] for key, text in kept.items()}
    assert shown == {
        host: key.export_public_key().decode().split()[1]
        for host, key in (("outer", outer.host_key), ("inner", inner.host_key), (ssh.target.id, ssh.host_key))
    }
    await (await trusting.connect(target)).close()
    kept["outer"] = inner.host_key.export_public_key().decode()
    passed = len(outer.passed)
    with pytest.raises(HostKeyChangedError, match="node outer: it shows another host key"):
        await trusting.connect(target)
    assert len(outer.passed) == passed


async def test_the_server_keeps_the_first_key_of_a_jump_host_that_was_never_refreshed(ssh, jump_host, server_context):
    door, behind = await jump_host("door"), await jump_host("behind")
    context = server_context
    credentials.add(context, "door", door.key.export_private_key().decode())
    nodes.add(context, nodes.NewNode(name="door", address="127.0.0.1", port=door.port, user="passer-by", credential="door"))
    nodes.add(context, nodes.NewNode(name="n", address="127.0.0.1", port=behind.port, credential="door", jump="door"))
    with pytest.raises(NodeAuthenticationError):
        await asyncio.to_thread(nodes.refresh, context, "n")
    kept = nodes.show(context, "door").host_key
    assert kept.split()[1] == door.host_key.export_public_key().decode().split()[1]
    door.server.close()
    await door.server.wait_closed()
    door.host_key = asyncssh.generate_private_key("ssh-ed25519")
    await door.start()
    with pytest.raises(HostKeyChangedError, match="node door"):
        await asyncio.to_thread(nodes.refresh, context, "n")
    assert nodes.show(context, "door").host_key == kept
    nodes.forget_host_key(context, "door")
    with pytest.raises(NodeAuthenticationError):
        await asyncio.to_thread(nodes.refresh, context, "n")
    assert nodes.show(context, "door").host_key.split()[1] == door.host_key.export_public_key().decode().split()[1]


async def test_the_server_tells_of_a_refused_key_and_remembers_it(ssh, simulation):
    """Only refusals go through the server here: a node that lets it in would be this machine itself."""
    words = ("nodes", "add", "refuser", "127.0.0.1", "--port", ssh.port, "--user", getpass.getuser())
    said = simulation.cli(*words, status=1)
    way = f"{getpass.getuser()}@127.0.0.1:{ssh.port}"
    assert f"error: node refuser: it was added, but it cannot be used yet: {way} refuses the key of credential default." in said
    assert "remedy: 'stoker credentials list' shows the public key that belongs into" in said
    node = simulation.client.node("refuser")
    assert (node["status"], node["port"], node["host_key"]) == ("error", ssh.port, "")
    assert f"{way} refuses" in node["status_reason"]

    simulation.client.add_node("behind", "10.0.0.9", jump="refuser")
    said = simulation.cli("nodes", "refresh", "behind", status=1)
    assert "node refuser: " in said
    assert "refuses the key" in simulation.client.node("behind")["status_reason"]

    said = simulation.cli("nodes", "add", "refuser", "127.0.0.1", status=2)
    assert "stoker nodes set refuser" in said
    said = simulation.cli("nodes", "set", "refuser", "--port", free_port(), status=1)
    assert "Connection refused" in said
    assert simulation.client.node("refuser")["port"] != ssh.port
    said = simulation.cli("nodes", "set", "refuser", "--jump", "behind", status=2)
    assert "lead back to itself" in said
    simulation.cli("nodes", "set", "behind", "--jump", "", "--address", "192.0.2.7", "--no-refresh")
    assert [simulation.client.node("behind")[key] for key in ("jump", "address", "status")] == ["", "192.0.2.7", "new"]
