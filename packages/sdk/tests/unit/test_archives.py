# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Packages of package managers are read with distrust, and a plugin's list of them is made from what they say."""

import contextlib
import io
import lzma
import shutil
import struct
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stoker_sdk import Plugin
from stoker_sdk.archives import ArchiveError, deb, read_archive
from stoker_sdk.bundle import open_bundle
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points.node_packages import NodePackages, Repository, RepositoryPackage
from stoker_sdk.source import build_bundle
from stoker_sdk.source.repositories import list_packages
from stoker_sdk.validation import check_plugin

CONTROL = "Package: hello\nVersion: 1:2.0-3\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: says hello\n to all\n"


def member(name, data):
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)


def tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def made_deb(control=CONTROL, *, name="control.tar.xz", pack=lzma.compress, files=None):
    packed = pack(tar(files or {"./control": control.encode()}))
    return b"!<arch>\n" + member("debian-binary", b"2.0\n") + member(name, packed) + member("data.tar.xz", lzma.compress(tar({})))


def made_rpm(words, *, source=True, kind=6):
    store, index = b"", []
    for tag, word in words.items():
        index.append((tag, kind, len(store), 1))
        store += word.encode() + b"\0"
    if source:
        index.append((1044, 6, len(store), 1))
        store += b"x.src.rpm\0"
    header = b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack("!II", len(index), len(store))
    header += b"".join(struct.pack("!IIII", *entry) for entry in index) + store
    signature = b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack("!II", 0, 3) + b"abc" + b"\0" * 5
    return b"\xed\xab\xee\xdb" + b"\0" * 92 + signature + header


def read(tmp_path, data, family="debian"):
    path = tmp_path / "package"
    path.write_bytes(data)
    return read_archive(path, family)


def test_a_deb_says_what_it_is_and_keeps_every_field(tmp_path):
    found = read(tmp_path, made_deb())
    assert (found.name, found.version, found.architecture) == ("hello", "1:2.0-3", "all")
    assert dict(found.control)["Description"] == "says hello\n to all"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine")
@pytest.mark.parametrize("packing", ["xz", "gzip", "zstd", "none"])
def test_what_dpkg_deb_builds_is_read(tmp_path, packing):
    (tmp_path / "hello/DEBIAN").mkdir(parents=True)
    (tmp_path / "hello/DEBIAN/control").write_text(CONTROL)
    built = tmp_path / "hello.deb"
    subprocess.run(["dpkg-deb", f"-Z{packing}", "-b", tmp_path / "hello", built], check=True, capture_output=True)
    assert read_archive(built, "debian").version == "1:2.0-3"


@pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="rpmbuild is not on this machine")
def test_what_rpmbuild_builds_is_read(tmp_path):
    spec = tmp_path / "hello.spec"
    spec.write_text(
        "Name: hello\nVersion: 2.0\nRelease: 3\nEpoch: 1\nSummary: s\nLicense: x\nBuildArch: noarch\n%description\nx\n%files\n"
    )
    subprocess.run(["rpmbuild", "--define", f"_topdir {tmp_path}", "-bb", spec], check=True, capture_output=True)
    (built,) = (tmp_path / "RPMS").rglob("*.rpm")
    found = read_archive(built, "redhat")
    assert (found.name, found.version, found.architecture) == ("hello", "1:2.0-3", "noarch")


def bomb(data):
    return lzma.compress(tar({"./control": b"Package: hello\n" + b"\n" * deb.MAX_UNPACKED}))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "no Debian package", id="empty"),
        pytest.param(b"!<arch>\n", "ends too early", id="cut"),
        pytest.param(made_deb()[:200], "ends too early", id="cut in the control archive"),
        pytest.param(made_deb(name="data.tar.xz"), "instead of the control archive", id="another order"),
        pytest.param(made_deb(pack=lambda _: b"no xz"), "cannot be unpacked", id="damaged"),
        pytest.param(made_deb(pack=bomb), "unpacks to more than", id="bomb"),
        pytest.param(made_deb(name="control.tar.lz"), "unknown way", id="packed otherwise"),
        pytest.param(made_deb(files={"./md5sums": b""}), "no control file", id="no control file"),
        pytest.param(made_deb(CONTROL + "Version: 1\n"), "stands twice", id="version twice"),
        pytest.param(made_deb(CONTROL + "\nPackage: other\nVersion: 1\n"), "is no field", id="two paragraphs"),
        pytest.param(made_deb(CONTROL.replace("hello\n", "../hello\n", 1)), "no valid field Package", id="name is a path"),
        pytest.param(made_deb(CONTROL.replace("1:2.0-3", "1 2")), "no valid field Version", id="no version"),
        pytest.param(made_deb(CONTROL.replace("says", "sa\rys")), "control characters", id="carriage return"),
        pytest.param(made_deb(files={"./control": b"x" * (deb.MAX_CONTROL + 1)}), "larger than", id="large control file"),
    ],
)
def test_a_deb_that_is_broken_or_hostile_is_refused(tmp_path, data, reason):
    with pytest.raises(ArchiveError, match=reason) as caught:
        read(tmp_path, data)
    assert caught.value.remedy


RPM = {1000: "hello", 1001: "2.0", 1002: "3", 1022: "x86_64"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "no RPM package", id="empty"),
        pytest.param(made_rpm(RPM)[:150], "ends too early|a header is missing", id="cut"),
        pytest.param(made_rpm(RPM, source=False), "source package", id="source"),
        pytest.param(made_rpm({**RPM, 1000: "../x"}), "no valid tag 1000", id="name is a path"),
        pytest.param(made_rpm(RPM, kind=4), "no valid tag", id="another type"),
        pytest.param(made_rpm(RPM)[:120] + b"\x8e\xad\xe8\x01\0\0\0\0" + b"\xff" * 8, "more than packages have", id="huge"),
    ],
)
def test_an_rpm_that_is_broken_or_hostile_is_refused(tmp_path, data, reason):
    with pytest.raises(ArchiveError, match=reason):
        read(tmp_path, data, "redhat")
    assert read(tmp_path, made_rpm(RPM), "redhat").version == "0:2.0-3"


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=40), place=st.integers(0, 400), family=st.sampled_from(["debian", "redhat"]))
def test_no_bytes_bring_anything_but_an_answer_or_a_refusal(tmp_path_factory, data, place, family):
    whole = made_deb() if family == "debian" else made_rpm(RPM)
    with contextlib.suppress(ArchiveError):
        read(tmp_path_factory.getbasetemp(), whole[:place] + data + whole[place + len(data) :], family)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/hello.deb").write_bytes(made_deb())
    (tmp_path / "plugin.yaml").write_text(
        "name: greeting\nversion: 1.0.0\ntitle: Greets\ncontributions:\n"
        "  - {point: node_packages.repository, path: repository}\n"
        "  - {point: node_packages, roles: ['*'], packages: [hello]}\n"
    )
    return tmp_path


def test_build_fills_in_the_list_and_packs_the_files(folder):
    bundle = open_bundle(build_bundle(folder, folder / "dist"))
    (repository,) = [item for item in bundle.plugin.contributions if isinstance(item, Repository)]
    assert [(item.name, item.version, item.file) for item in repository.packages] == [("hello", "1:2.0-3", "hello.deb")]
    assert bundle.sums["repository/hello.deb"] == repository.packages[0].sha256
    assert check_plugin(bundle.plugin) == []


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({}, "A010"),
        ({"broken.deb": b"x"}, "A011"),
        ({"hello.deb": made_deb(), "again.deb": made_deb()}, "A005"),
        ({"he llo.deb": made_deb()}, "A006"),
    ],
)
def test_a_folder_that_is_no_repository_is_told(folder, files, rule):
    (folder / "repository/hello.deb").unlink()
    for name, data in files.items():
        (folder / "repository" / name).write_bytes(data)
    with pytest.raises(InvalidPluginError) as caught:
        build_bundle(folder, folder / "dist")
    assert {finding.rule for finding in caught.value.findings} == {rule}
    assert all(finding.remedy for finding in caught.value.findings)


def test_a_list_by_hand_must_be_what_the_folder_holds(folder):
    entry = RepositoryPackage(name="hello", version="9", architecture="all", file="hello.deb", sha256="0" * 64)
    plugin = Plugin(name="greeting", version="1", title="x", contributions=[Repository(path="repository", packages=[entry])])
    assert [finding.rule for finding in list_packages(plugin, folder)[1]] == ["A012"]
    assert "A012" in [finding.rule for finding in check_plugin(plugin, folder)]


ENTRY = {"name": "hello", "version": "1", "architecture": "all", "file": "hello.deb", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("fields", "entry", "rule"),
    [
        ({"path": "../x"}, {}, "A001"),
        ({"path": "/x"}, {}, "A001"),
        ({"path": "a//b"}, {}, "A001"),
        ({"os_family": "suse"}, {}, "A002"),
        ({"when": True}, {}, "A003"),
        ({}, {"version": "1\nPin-Priority: 1001"}, "A006"),
        ({}, {"name": "libc6:i386"}, "A006"),
        ({}, {"file": "../hello.deb"}, "A006"),
        ({}, {"file": "hello.rpm"}, "A006"),
        ({}, {"architecture": "../all"}, "A006"),
        ({}, {"sha256": "0"}, "A006"),
    ],
)
def test_what_cannot_stand_in_indexes_or_paths_is_refused(fields, entry, rule):
    repository = Repository(**{"path": "repository", "packages": [RepositoryPackage(**{**ENTRY, **entry})], **fields})
    assert [finding.rule for finding in repository.check()] == [rule]


def test_two_files_of_one_package_and_too_many_are_refused():
    entries = [RepositoryPackage(**ENTRY), RepositoryPackage(**{**ENTRY, "file": "again.deb"})]
    assert [finding.rule for finding in Repository(path="r", packages=entries).check()] == ["A005"]
    many = [RepositoryPackage(**{**ENTRY, "name": f"p{number}", "file": f"{number}.deb"}) for number in range(2001)]
    assert [finding.rule for finding in Repository(path="r", packages=many).check()] == ["A004"]


def test_the_condition_belongs_to_the_packages():
    assert not list(NodePackages(roles=["*"], packages=["hello"], when=True).check())


def test_a_family_has_one_repository():
    two = [Repository(path=path, packages=[RepositoryPackage(**ENTRY)]) for path in ("one", "two")]
    plugin = Plugin(name="greeting", version="1", title="x", contributions=two)
    assert [finding.rule for finding in check_plugin(plugin)] == ["A013"]
    other = Repository(path="two", os_family="redhat", packages=[RepositoryPackage(**{**ENTRY, "file": "hello.rpm"})])
    assert check_plugin(Plugin(name="greeting", version="1", title="x", contributions=[two[0], other])) == []
