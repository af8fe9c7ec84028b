# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin's own packages on a real node: signed by the controller, fetched through SSH, and nothing else of it is believed.

The tests of this file are one story and run in order.
"""

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from stoker.db.database import Database
from stoker.db.repository_keys import find_key
from stoker.db.vault import Vault
from stoker.plugin_host.openpgp import SigningKey, keyring

from tests.acceptance.packages import build_plugin, make_deb
from tests.acceptance.server import add_nodes, deploy, finish

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None or shutil.which("gpg") is None, reason="dpkg-deb and gpg are needed"),
]

NODE = "n1"
SOURCE = "/etc/apt/sources.list.d/stoker-greeting.sources"
ENABLED = f"mkdir -p /tmp/on && sed 's/^Enabled: no/Enabled: yes/' {SOURCE} >/tmp/on/greeting.sources"
OURS = "-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/tmp/on"


@pytest.fixture(scope="module")
def node(lab, lab_nodes):
    lab_nodes(1)
    yield lab_nodes(1)[0]
    lab.run(NODE, "dpkg --purge greet greet-words || true; rm -rf /tmp/on")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("greeting")


def version(lab, package="greet"):
    return lab.run(NODE, f"dpkg-query -W -f '${{Version}}' {package} 2>/dev/null || true")


def bundle(folder, number):
    made = folder / number
    made.mkdir()
    debs = [make_deb(made, "greet", f"{number}-1", depends="greet-words"), make_deb(made, "greet-words", number)]
    return build_plugin(made, "greeting", number, "greet", debs)


def test_a_package_comes_from_a_plugins_own_repository_through_ssh(lab, server, client, node, folder):
    server.cli("plugins", "install", bundle(folder, "1.0"))
    assert "greet 1.0-1 (all)" in server.cli("plugins", "show", "greeting")
    add_nodes(client, [node])
    client.create_environment("greeting")
    client.enable_plugin("greeting", "greeting")
    client.assign_node("greeting", NODE, ["greeting"])
    plan, _ = deploy(client, "greeting")
    (package,) = client.plan_packages(plan["id"])
    assert (package["status"], package["version"]) == ("install", "1.0-1")
    assert (version(lab), version(lab, "greet-words")) == ("1.0-1", "1.0")
    source = lab.run(NODE, f"cat {SOURCE}")
    assert "Signed-By: /etc/apt/keyrings/stoker-greeting.asc" in source
    assert "Enabled: no" in source
    explained = client.explain(plan["id"], node=NODE, path=SOURCE, line=2)
    assert explained["origins"][0]["contribution"] == "node_packages.repository repository"


def test_nothing_is_left_to_do_and_apt_on_the_node_is_not_disturbed(lab, client):
    plan = client.create_plan("greeting")
    assert (plan["counts"]["files"], plan["counts"]["packages"], plan["counts"]["tasks"]) == (0, 0, 0)
    lab.run(NODE, "apt-get check && ! apt-cache policy greet | grep -q stoker.invalid")


def test_a_newer_bundle_upgrades_its_packages(lab, server, client, folder):
    server.cli("plugins", "install", bundle(folder, "2.0"))
    client.enable_plugin("greeting", "greeting", version="2.0")
    plan, _ = deploy(client, "greeting")
    (package,) = client.plan_packages(plan["id"])
    assert (package["status"], package["installed"], package["version"]) == ("upgrade", "1.0-1", "2.0-1")
    assert version(lab) == "2.0-1"


@pytest.fixture
def served(server):
    """The folder that is served, as it was before afterwards; its files are copies, so that the installed plugin stays whole."""
    place = server.data / "repositories/greeting/2.0/debian"
    kept = place.with_name("kept")
    shutil.copytree(place, kept)
    for path in place.rglob("*"):
        if path.is_file():
            path.unlink()
            shutil.copyfile(kept / path.relative_to(place), path)
    yield place
    shutil.rmtree(place)
    kept.rename(place)


def change(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    os.utime(path)


def refused(lab, client):
    """Take the packages away by hand, deploy, and give what the task said when it failed."""
    lab.run(NODE, "dpkg --purge greet greet-words; rm -f /var/lib/apt/lists/stoker.invalid* /var/cache/apt/archives/greet*")
    _, ended = deploy(client, "greeting", state="failed")
    assert version(lab) == ""
    (attempt,) = client.attempts(ended["id"], node=NODE, task="greeting.packages")
    assert attempt["exit_status"] != 0
    return attempt["output"]


def right_key(server):
    database = Database(f"sqlite:///{server.data / 'stoker.db'}")
    with database.read() as connection:
        found = find_key(connection)
    database.close()
    private = Vault.open(server.data / "master.key").decrypt(found.private_key).decode()
    return SigningKey(fingerprint=found.fingerprint, public=found.public_key, private=private)


def signed_again(place, key, folder):
    text = (place / "InRelease").read_text()
    release = text.split("\n\n", 1)[1].split("-----BEGIN PGP SIGNATURE")[0]
    index = (place / "Packages").read_bytes()
    head = release.split("SHA256:")[0]
    release = f"{head}SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    with keyring(folder / "gpg", key) as opened:
        if key is None:
            made = opened.generate()
            opened.take(made)
        (place / "InRelease").write_bytes(opened.clearsigned(release))
    os.utime(place / "InRelease")


def test_a_changed_byte_in_the_signed_index_is_refused(lab, client, served):
    change(served / "InRelease", b"Suite: greeting", b"Suite: greetinh")
    assert "signature" in refused(lab, client)


def test_a_changed_byte_in_the_list_of_packages_is_refused(lab, client, served):
    change(served / "Packages", b"Description: greet\n", b"Description: treat\n")
    assert "Hash Sum mismatch" in refused(lab, client)


def test_a_changed_byte_in_a_package_is_refused(lab, client, served):
    path = served / "pool/greet_2.0-1_all.deb"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path)
    assert "Hash Sum mismatch" in refused(lab, client)


def test_an_index_signed_with_another_key_is_refused(lab, client, served, tmp_path):
    signed_again(served, None, tmp_path)
    said = refused(lab, client)
    assert "NO_PUBKEY" in said or "couldn't be verified" in said


def test_a_package_that_the_manifest_does_not_name_cannot_be_installed(lab, server, client, served, tmp_path):
    """Even where the index lists it and our own key has signed that."""
    sneaky = make_deb(tmp_path, "sneaky", "1.0")
    needy = make_deb(tmp_path, "needy", "1.0", depends="sneaky")
    with (served / "Packages").open("a") as index:
        for deb in (sneaky, needy):
            shutil.copy(deb, served / "pool")
            control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout
            digest = hashlib.sha256(deb.read_bytes()).hexdigest()
            index.write(f"\n{control}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    os.utime(served / "Packages")
    signed_again(served, right_key(server), tmp_path)
    lab.run(NODE, "rm -f /var/lib/apt/lists/stoker.invalid*")
    deploy(client, "greeting")
    assert version(lab) == "2.0-1"
    lab.run(NODE, ENABLED)
    known = lab.run(NODE, f"apt-cache {OURS} policy sneaky")
    assert "Candidate: (none)" in known
    assert "1.0 -1" in known
    for name in ("sneaky", "needy"):
        said = lab.run(NODE, f"apt-get {OURS} -s install {name} 2>&1 || true")
        assert "no installation candidate" in said
    assert "Inst greet" in lab.run(NODE, f"dpkg --purge greet >/dev/null; apt-get {OURS} -s install greet 2>&1")


def test_a_controller_that_dies_meanwhile_keeps_nobody_from_the_packages(lab, server, client, node):
    lab.run(NODE, "dpkg --purge greet greet-words; rm -f /var/lib/apt/lists/stoker.invalid* /var/cache/apt/archives/greet*")
    plan = client.create_plan("greeting")
    hold = "import fcntl,time; f=open('/var/lib/apt/lists/lock','w'); fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(4)"
    lab.run(NODE, f'nohup setsid python3 -c "{hold}" >/dev/null 2>&1 </dev/null & sleep 0.3')
    deployment = client.deploy("greeting", plan["id"])
    end = time.monotonic() + 20
    while "asking again" not in lab.run(NODE, "cat /var/lib/stoker/spool/*/out 2>/dev/null || true"):
        assert time.monotonic() < end
        time.sleep(0.05)
    server.kill()
    time.sleep(5)
    assert version(lab) == ""
    server.start()
    assert finish(client, deployment)["state"] == "ready"
    assert version(lab) == "2.0-1"


def test_an_sshd_that_forwards_no_ports_is_told_with_the_remedy(lab, client):
    lab.run(NODE, "echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/no.conf; systemctl restart ssh")
    try:
        assert "repository_url" in refused(lab, client)
    finally:
        lab.run(NODE, "rm /etc/ssh/sshd_config.d/no.conf; systemctl restart ssh")


def test_what_no_longer_belongs_to_anybody_leaves_the_node_and_the_server(lab, server, client):
    deploy(client, "greeting")
    client.disable_plugin("greeting", "greeting")
    deploy(client, "greeting")
    assert version(lab) == ""
    assert lab.run(NODE, "find /etc/apt -name '*stoker*'") == ""
    for number in ("1.0", "2.0"):
        client.uninstall_plugin("greeting", number)
    assert not list(Path(server.data / "repositories").rglob("*"))
