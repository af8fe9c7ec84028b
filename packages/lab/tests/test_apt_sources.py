# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Mirrors are read from this machine's own apt configuration, in both of its formats."""

import pytest
from stoker_lab import apt_sources
from stoker_lab.errors import LabMissingError

MODERN = """\
Types: deb
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main contrib
"""
CLASSIC = """\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] https://other.example/debian bookworm main contrib # trailing
deb https://other.example/security bookworm-security main
"""
FOREIGN = "Types: deb\nURIs: https://tools.example/node\nSuites: nodistro\nComponents: main\n"
DISABLED = "Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n\n"


@pytest.fixture
def read(tmp_path):
    def make(*, codename="bookworm", **files):
        (tmp_path / "sources.list.d").mkdir()
        for name, text in files.items():
            path = {"classic": "sources.list"}.get(name, f"sources.list.d/{name}.sources")
            (tmp_path / path).write_text(text)
        (tmp_path / "os-release").write_text(f"ID=debian\nVERSION_CODENAME={codename}\n")
        return apt_sources.read_archives(tmp_path, tmp_path / "os-release")

    return make


def test_modern_sources(read):
    archives = read(debian=DISABLED + MODERN, aaa=FOREIGN)
    assert archives.mirrors == {"debian": "http://mirror.example/debian", "debian-security": "http://mirror.example/security"}


def test_classic_sources(read):
    archives = read(classic=CLASSIC)
    assert archives.mirrors == {"debian": "https://other.example/debian", "debian-security": "https://other.example/security"}


def test_a_machine_without_a_debian_mirror_is_told_so(read):
    with pytest.raises(LabMissingError, match=r"trixie.*Debian"):
        read(debian=MODERN, codename="trixie")
