# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny Debian packages, and plugins that carry them."""

import subprocess
import sys
from pathlib import Path


def make_deb(folder, name, version, *, depends="", says=""):
    """Build ``NAME_VERSION.deb``; it puts a file into ``/usr/share/NAME``."""
    tree = folder / f"tree-{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / f"usr/share/{name}").mkdir(parents=True)
    (tree / f"usr/share/{name}/word").write_text(says or f"{name} {version}\n")
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: {name}\n"
    (tree / "DEBIAN/control").write_text(control + (f"Depends: {depends}\n" if depends else ""))
    built = folder / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, built], check=True, capture_output=True)
    return built


def build_plugin(folder, name, version, wanted, debs):
    """Build the bundle of a plugin that installs packages of its own repository on all nodes."""
    source = folder / f"{name}-{version}"
    (source / "repository").mkdir(parents=True)
    for deb in debs:
        (source / "repository" / deb.name).write_bytes(deb.read_bytes())
    (source / "plugin.yaml").write_text(
        f"name: {name}\nversion: '{version}'\ntitle: Packages of its own\ncontributions:\n"
        f"  - {{point: roles, name: {name}}}\n"
        "  - {point: node_packages.repository, path: repository}\n"
        f"  - {{point: node_packages, roles: ['{name}'], packages: [{wanted}]}}\n"
    )
    command = [Path(sys.executable).with_name("stoker-plugin"), "build", str(source), "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / f"{name}-{version}.stoker"
