# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repositories in a plugin's folder: their package files are read, and the manifest's list of them is filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from stoker_sdk.archives import ArchiveError, read_archive
from stoker_sdk.extension_points.node_packages import SUFFIXES, Repository, RepositoryPackage
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin


def list_packages(plugin: Plugin, folder: Path) -> tuple[Plugin, list[Finding]]:
    """The plugin with the list of packages of each repository, and what is wrong with their files."""
    findings: list[Finding] = []
    contributions: list[Contribution] = []
    for item in plugin.contributions:
        if isinstance(item, Repository) and not any(item.check()):
            packages, found = _read(item, folder)
            findings += [msgspec.structs.replace(finding, plugin=plugin.name, contribution=item.label) for finding in found]
            item = msgspec.structs.replace(item, packages=packages)  # noqa: PLW2901  filled in, else as it was
        contributions.append(item)
    return msgspec.structs.replace(plugin, contributions=contributions), findings


def _read(repository: Repository, folder: Path) -> tuple[list[RepositoryPackage], list[Finding]]:
    files = sorted(_files(repository, folder))
    if not files:
        ending = SUFFIXES[repository.os_family]
        return [], [
            Finding(
                rule="A010",
                field="path",
                message=f"the folder {repository.path} has no file that ends in {ending}.",
                remedy="Put the packages into it, or correct the path.",
            )
        ]
    packages: list[RepositoryPackage] = []
    findings: list[Finding] = []
    for path in files:
        try:
            found = read_archive(path, repository.os_family)
        except ArchiveError as error:
            findings.append(
                Finding(rule="A011", file=f"{repository.path}/{path.name}", message=f"{error.reason}.", remedy=error.remedy)
            )
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        packages.append(
            RepositoryPackage(
                name=found.name, version=found.version, architecture=found.architecture, file=path.name, sha256=digest
            )
        )
    packages.sort(key=lambda package: (package.name, package.version, package.architecture, package.file))
    findings += [] if findings else msgspec.structs.replace(repository, packages=packages).check()
    if repository.packages and not findings and _rows(repository.packages) != _rows(packages):
        findings.append(
            Finding(
                rule="A012",
                field="packages",
                message="the list is not what the folder holds.",
                remedy="Leave it out: 'stoker-plugin build' fills it in.",
            )
        )
    return packages, findings


def _files(repository: Repository, folder: Path) -> Iterator[Path]:
    root, home = folder.resolve(), folder / repository.path
    for path in home.iterdir() if home.is_dir() else ():
        if path.name.endswith(SUFFIXES[repository.os_family]) and path.is_file() and path.resolve().is_relative_to(root):
            yield path


def _rows(packages: Sequence[RepositoryPackage]) -> list[RepositoryPackage]:
    return sorted(packages, key=lambda package: package.file)
