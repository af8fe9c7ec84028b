# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins with package repositories: checked and signed when they are installed, gone without a trace when uninstalled."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from stoker.domain.repository import label_of
from stoker.errors import StokerError
from stoker.plugin_host import openpgp
from stoker.plugin_host.repositories import RepositoryStore, debian_index
from stoker.services import plugin_removal, plugins, repositories
from stoker_sdk import Plugin
from stoker_sdk.extension_points.node_packages import NodePackages, Repository, RepositoryPackage
from stoker_sdk.source.repositories import list_packages

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not on this machine")


def entry(name, version, data, **more):
    fields = {"name": name, "version": version, "architecture": "all", "file": f"{name}.deb"}
    return RepositoryPackage(**{**fields, "sha256": hashlib.sha256(data).hexdigest(), **more})


@pytest.fixture
def tool(make_deb):
    return make_deb("tool", "1:2.0-3")


def carrying(make_bundle, packages, files, **more):
    return make_bundle(
        Repository(path="repository", packages=packages),
        NodePackages(roles=["*"], packages=["tool"]),
        name="store",
        files={f"repository/{name}": data for name, data in files.items()},
        **more,
    )


def test_the_index_is_made_anew_and_signed_with_the_servers_own_key(server_context, make_bundle, tool, tmp_path):
    plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    folder = server_context.repositories.folder("store", "1.0.0") / "debian"
    assert (folder / "pool/tool.deb").read_bytes() == tool
    key = repositories.show_key(server_context)
    (tmp_path / "key.asc").write_text(key.public_key)
    subprocess.run(["gpg", "--dearmor", "-o", tmp_path / "key.gpg", tmp_path / "key.asc"], check=True, capture_output=True)
    verify = ["gpgv", "--keyring", tmp_path / "key.gpg", "--output", tmp_path / "Release", folder / "InRelease"]
    subprocess.run(verify, check=True, capture_output=True)
    release = (tmp_path / "Release").read_text()
    assert f"Origin: Stoker\nLabel: {label_of('store', '1.0.0')}\n" in release
    assert hashlib.sha256((folder / "Packages").read_bytes()).hexdigest() in release
    (listed,) = repositories.list_all(server_context)
    assert listed.address == "http://stoker.invalid/repositories/store/1.0.0/debian/"
    assert [package.name for package in listed.packages] == ["tool"]


def test_the_key_is_encrypted_in_the_database_and_nowhere_else(server_context, make_bundle, tool):
    plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    with server_context.database.read() as connection:
        row = repositories.find_key(connection)
    assert b"PRIVATE KEY" in server_context.vault.decrypt(row.private_key)
    private = server_context.vault.decrypt(row.private_key).splitlines()[14]
    for path in server_context.config.data_dir.rglob("*"):
        assert not (path.is_file() and private in path.read_bytes()), path
    assert not list((server_context.config.data_dir / "signing").glob("*"))


def test_the_second_plugin_is_signed_with_the_same_key(server_context, make_bundle, tool):
    for version in ("1.0.0", "2.0.0"):
        bundle = carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}, version=version)
        plugins.install(server_context, bundle)
    signed = {server_context.repositories.signed_with("store", version) for version in ("1.0.0", "2.0.0")}
    assert signed == {repositories.show_key(server_context).fingerprint}


@pytest.mark.parametrize(
    ("entries", "files", "rule"),
    [
        pytest.param(lambda tool: [], ["tool.deb"], "A020", id="no list"),
        pytest.param(lambda tool: [entry("tool", "1:2.0-3", tool)], ["tool.deb", "other.deb"], "A021", id="not named"),
        pytest.param(lambda tool: [entry("tool", "1:2.0-3", tool)], [], "A022", id="not there"),
        pytest.param(lambda tool: [entry("tool", "1:2.0-3", b"x")], ["tool.deb"], "A022", id="other bytes"),
        pytest.param(lambda tool: [entry("tool", "9", tool)], ["tool.deb"], "A022", id="other version"),
        pytest.param(lambda tool: [entry("libc6", "1:2.0-3", tool, file="tool.deb")], ["tool.deb"], "A022", id="other name"),
        pytest.param(
            lambda tool: [entry("tool", "1:2.0-3", tool, architecture="amd64")], ["tool.deb"], "A022", id="architecture"
        ),
    ],
)
def test_packages_that_are_not_those_of_the_manifest_are_refused(server_context, make_bundle, tool, entries, files, rule):
    bundle = carrying(make_bundle, entries(tool), dict.fromkeys(files, tool))
    with pytest.raises(StokerError) as caught:
        plugins.install(server_context, bundle)
    assert [finding.rule for finding in caught.value.data["findings"]] == [rule]
    assert not list(server_context.store.root.rglob("*"))
    assert not list(server_context.config.repositories.rglob("*"))


def test_a_file_that_is_no_package_is_refused(server_context, make_bundle):
    with pytest.raises(StokerError, match="refused"):
        plugins.install(server_context, carrying(make_bundle, [entry("tool", "1", b"x")], {"tool.deb": b"x"}))


def test_uninstalling_leaves_nothing(server_context, make_bundle, tool):
    plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    plugin_removal.uninstall(server_context, "store", "1.0.0")
    assert not list(server_context.config.repositories.rglob("*"))
    assert repositories.list_all(server_context) == []


def test_a_machine_without_gpg_is_told_what_to_install(server_context, make_bundle, tool, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert openpgp.missing_programs(rpm=True) == ["createrepo-c", "gnupg", "rpm (Debian) or rpm-sign (Red Hat)"]
    with pytest.raises(StokerError, match="no gpg") as caught:
        plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    assert "gnupg" in caught.value.remedy
    assert not list(server_context.store.root.rglob("*"))


def test_a_start_sweeps_leftovers_and_makes_anew_what_is_missing(server_context, make_bundle, tool):
    plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    root = server_context.config.repositories
    (root / "gone/1.0/debian").mkdir(parents=True)
    shutil.rmtree(root / "store")
    repositories.remake(server_context)
    assert not (root / "gone").exists()
    assert (root / "store/1.0.0/debian/InRelease").is_file()
    (root / "store/1.0.0/key").write_text("another\n")
    repositories.remake(server_context)
    assert server_context.repositories.signed_with("store", "1.0.0") == repositories.show_key(server_context).fingerprint


def test_a_new_key_signs_every_repository_anew(server_context, make_bundle, tool):
    with pytest.raises(StokerError, match="no key yet"):
        repositories.renew_key(server_context)
    plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    before = repositories.show_key(server_context).fingerprint
    after = repositories.renew_key(server_context).fingerprint
    assert after != before
    assert server_context.repositories.signed_with("store", "1.0.0") == after


def test_a_server_starts_though_a_repository_cannot_be_made(server_context, make_bundle, tool, monkeypatch, tmp_path, caplog):
    plugins.install(server_context, carrying(make_bundle, [entry("tool", "1:2.0-3", tool)], {"tool.deb": tool}))
    shutil.rmtree(server_context.config.repositories / "store")
    monkeypatch.setenv("PATH", str(tmp_path))
    repositories.remake(server_context)
    assert "store 1.0.0 are missing" in caplog.text


def test_a_package_cannot_say_in_the_index_where_it_is_or_what_its_bytes_are(tmp_path):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: d\n"
    (tree / "DEBIAN/control").write_text(f"{control}Filename: pool/other.deb\nSHA256: {'0' * 64}\nSize: 1\n")
    (tmp_path / "store").mkdir()
    subprocess.run(["dpkg-deb", "-b", tree, tmp_path / "store/tool.deb"], check=True, capture_output=True)
    data = (tmp_path / "store/tool.deb").read_bytes()
    text = debian_index(Repository(path="store", packages=[entry("tool", "1", data)]), tmp_path / "store")
    assert text.count("Filename: ") == 1
    assert f"Filename: pool/tool.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n" in text


@pytest.mark.skipif(shutil.which("apt-ftparchive") is None, reason="apt-ftparchive is not on this machine")
def test_the_index_says_what_the_distributions_own_tool_says(tool, tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/tool.deb").write_bytes(tool)
    ours = debian_index(Repository(path="pool", packages=[entry("tool", "1:2.0-3", tool)]), tmp_path / "pool")
    theirs = subprocess.run(["apt-ftparchive", "packages", "pool"], cwd=tmp_path, capture_output=True, text=True, check=True)
    fields = dict(line.split(": ", 1) for line in theirs.stdout.splitlines() if ": " in line)
    assert dict(line.split(": ", 1) for line in ours.splitlines()).items() <= fields.items()


needs_rpm = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("rpmbuild", "createrepo_c", "rpmsign", "gpgv")), reason="tools of RPM are needed"
)


@needs_rpm
def test_an_rpm_repository_is_signed_and_its_own_tools_accept_it(tmp_path):
    (tmp_path / "source/rpm").mkdir(parents=True)
    spec = "Name: tool\nVersion: 2.0\nRelease: 3\nSummary: s\nLicense: x\nBuildArch: noarch\n%description\nx\n%files\n"
    (tmp_path / "tool.spec").write_text(spec)
    build = ["rpmbuild", "--define", f"_topdir {tmp_path}/build", "-bb", tmp_path / "tool.spec"]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = (tmp_path / "build").rglob("*.rpm")
    shutil.copy(built, tmp_path / "source/rpm/tool.rpm")
    plugin = Plugin(name="store", version="1.0", title="x", contributions=[Repository(path="rpm", os_family="redhat")])
    plugin, findings = list_packages(plugin, tmp_path / "source")
    assert findings == []
    store = RepositoryStore(tmp_path / "repositories", tmp_path / "signing")
    assert store.check(plugin, tmp_path / "source", ["rpm/tool.rpm"]) == []
    key = store.new_key()
    store.make(plugin, tmp_path / "source", key)
    folder = tmp_path / "repositories/store/1.0/redhat"
    (tmp_path / "key.asc").write_text(key.public)
    subprocess.run(["gpg", "--dearmor", "-o", tmp_path / "key.gpg", tmp_path / "key.asc"], check=True, capture_output=True)
    metadata = folder / "repodata/repomd.xml"

    def verified():
        command = ["gpgv", "--keyring", tmp_path / "key.gpg", f"{metadata}.asc", metadata]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def package():
        command = ["rpmkeys", "--dbpath", tmp_path / "db", "--checksig", "-v", folder / "pool/tool.rpm"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.returncode == 0 and "Signature" in done.stdout and "OK" in done.stdout

    assert verified()
    subprocess.run(["rpmkeys", "--dbpath", tmp_path / "db", "--import", tmp_path / "key.asc"], check=True, capture_output=True)
    assert package()
    metadata.write_bytes(metadata.read_bytes().replace(b"<revision>0", b"<revision>1"))
    assert not verified()
    change_a_byte(folder / "pool/tool.rpm")
    assert not package()


def change_a_byte(path: Path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


@pytest.fixture
def store(simulation, make_deb):
    """An environment on modelled nodes whose plugin carries a package."""
    data = make_deb("tool", "2.0-1")
    files = {"repository/tool.deb": data}
    parts = [Repository(path="repository", packages=[entry("tool", "2.0-1", data)]), NodePackages(roles=["*"], packages=["tool"])]
    return simulation.environment("carrier", *parts, files=files, nodes=2)


def test_modelled_nodes_get_exact_versions_and_the_command_line_tells(simulation, store):
    plan = simulation.client.create_plan(store)
    assert {package["version"] for package in simulation.client.plan_packages(plan["id"])} == {"2.0-1"}
    text = simulation.cli("plan", "show", plan["id"])
    assert "carrier.repository" in text
    assert "2.0-1" in text
    simulation.behave({"match": "packages tool", "delay": 2})
    running = simulation.client.deploy(store, plan["id"])
    with pytest.raises(StokerError, match="under way"):
        simulation.client.renew_repository_key()
    simulation.finish(running, "ready")
    assert simulation.client.create_plan(store)["counts"]["tasks"] == 0
    listed = json.loads(simulation.cli("repositories", "list", "--json"))["items"]
    assert [item["plugin"] for item in listed] == ["carrier"]
    assert "carrier" in simulation.cli("repositories", "list")
    assert "BEGIN PGP PUBLIC KEY" in simulation.cli("repositories", "key")
    assert "tool 2.0-1 (all)" in simulation.cli("plugins", "show", "carrier")
    before = simulation.client.repository_key()["fingerprint"]
    assert "--yes" in simulation.cli("repositories", "renew-key", status=2)
    simulation.cli("repositories", "renew-key", "--yes")
    assert simulation.client.repository_key()["fingerprint"] != before
    files = [file["path"] for file in simulation.client.plan_files(simulation.client.create_plan(store)["id"])]
    assert "/etc/apt/keyrings/stoker-carrier.asc" in files
    simulation.deploy(store)


def test_no_source_of_ours_goes_round_a_signature():
    root = Path(__file__).parents[4]
    around = re.compile(r"trusted ?[=:] ?yes|allow-?unauthenticated|gpgcheck ?= ?0|--nogpgcheck", re.IGNORECASE)
    places = [*root.glob("packages/*/src/**/*"), *root.glob("plugins/*/src/**/*"), root / "dev"]
    files = [path for path in places if path.is_file() and path.suffix in {".py", ".sh", ""}]
    assert len(files) > 200
    assert [path.name for path in files if around.search(path.read_text(errors="replace"))] == []
