# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repositories of installed plugins: their packages checked against the manifest, the index made anew and signed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import msgspec
from stoker_sdk.archives import ArchiveError, Identity, read_archive
from stoker_sdk.extension_points.node_packages import SUFFIXES, Repository, RepositoryPackage
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin

from stoker.domain.repository import ORIGIN, label_of
from stoker.plugin_host.openpgp import Keyring, SigningKey, keyring, run_program

POOL: Final = "pool"
_KEY: Final = "key"
"""The file that names the key that signed a plugin version's repositories."""
_DATE: Final = "Tue, 01 Jan 1980 00:00:00 UTC"
"""Of every index: apt asks for a date, and the same packages shall give the same index on any day."""
_NOT_FROM_THE_PACKAGE: Final = frozenset({"filename", "size", "md5sum", "sha1", "sha256", "sha512"})
"""Fields of an index that say where a file is and what its bytes are: the index's maker says them, never the package."""
_AGAIN: Final = "Build the bundle again with 'stoker-plugin build'."


def repositories_of(plugin: Plugin) -> list[Repository]:
    """The repositories that a plugin carries."""
    return [item for item in plugin.contributions if isinstance(item, Repository)]


class RepositoryStore:
    """Signed repositories: ``ROOT/NAME/VERSION/FAMILY/`` is what nodes fetch; nothing else is below ``ROOT``."""

    def __init__(self, root: Path, signing: Path) -> None:
        """Use the folder ``root``; ``signing`` is where gpg's home is made for as long as it signs."""
        self.root = root
        self._signing = signing

    def folder(self, name: str, version: str) -> Path:
        """Where the repositories of a plugin version are."""
        return self.root / name / version

    def new_key(self) -> SigningKey:
        """A new key pair. Raises MissingProgramError, RepositoryError."""
        with keyring(self._signing) as opened:
            return opened.generate()

    def check(self, plugin: Plugin, files: Path, shipped: Collection[str]) -> list[Finding]:
        """What is wrong with a plugin's packages.

        Args:
            plugin: with the list that its manifest holds.
            files: the folder of the bundle's files.
            shipped: the paths of all of them.
        """
        return [
            msgspec.structs.replace(finding, plugin=plugin.name, contribution=repository.label)
            for repository in repositories_of(plugin)
            for finding in _faults(repository, files, shipped)
        ]

    def make(self, plugin: Plugin, files: Path, key: SigningKey) -> None:
        """Make and sign the repositories of a plugin that was checked; complete or not at all.

        Raises:
            MissingProgramError: gpg, or what RPM needs, is not installed.
            RepositoryError: one of them fails.
        """
        final = self.folder(plugin.name, plugin.version)
        temporary = final.with_name(f"{final.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            with keyring(self._signing, key) as opened:
                for repository in repositories_of(plugin):
                    folder = temporary / repository.os_family
                    _fill_pool(repository, files, folder / POOL)
                    if repository.os_family == "debian":
                        _write_debian(plugin, repository, files, folder, opened)
                    else:
                        _write_redhat(folder, opened)
            (temporary / _KEY).write_text(f"{key.fingerprint}\n")
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)  # noqa: PTH105  says that it replaces
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            self._tidy(final.parent)
            raise

    def signed_with(self, name: str, version: str) -> str:
        """The fingerprint of the key that signed; empty if there is nothing."""
        file = self.folder(name, version) / _KEY
        return file.read_text().strip() if file.is_file() else ""

    def remove(self, name: str, version: str) -> None:
        """Delete a plugin version's repositories; nothing happens if there are none."""
        shutil.rmtree(self.folder(name, version), ignore_errors=True)
        self._tidy(self.root / name)

    def sweep(self, installed: Collection[tuple[str, str]]) -> None:
        """Delete what an interrupted installation or removal left, and every home that gpg was given."""
        shutil.rmtree(self._signing, ignore_errors=True)
        for plugin in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            for version in sorted(plugin.iterdir()):
                if (plugin.name, version.name) not in installed:
                    shutil.rmtree(version)
            self._tidy(plugin)

    @staticmethod
    def _tidy(folder: Path) -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _faults(repository: Repository, files: Path, shipped: Collection[str]) -> Iterator[Finding]:
    if not repository.packages:
        yield Finding(
            rule="A020", field="packages", message="the manifest does not say what the repository holds.", remedy=_AGAIN
        )
        return
    named = {f"{repository.path}/{package.file}": package for package in repository.packages}
    for path in sorted(shipped):
        if path.startswith(f"{repository.path}/") and path.endswith(SUFFIXES[repository.os_family]) and path not in named:
            yield Finding(rule="A021", file=path, message="the manifest does not name this package.", remedy=_AGAIN)
    for path, package in named.items():
        reason = "it is not in the bundle" if path not in shipped else _differs(package, files / path, repository.os_family)
        if reason:
            yield Finding(rule="A022", file=path, message=f"{reason}.", remedy=_AGAIN)


def _differs(package: RepositoryPackage, file: Path, os_family: str) -> str:
    """How a package file differs from what the manifest says; empty if it does not."""
    with file.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != package.sha256:
            return "its bytes are not those that the manifest names"
    try:
        found = read_archive(file, os_family)
    except ArchiveError as error:
        return error.reason
    said, is_it = _words(package), _words(found)
    return f"the manifest says {said}, the package says {is_it}" if said != is_it else ""


def _words(package: RepositoryPackage | Identity) -> str:
    return f"{package.name} {package.version} ({package.architecture})"


def _fill_pool(repository: Repository, files: Path, pool: Path) -> None:
    """The package files: for Debian the plugin's own, for RPM copies that get a signature of ours."""
    pool.mkdir(parents=True)
    for package in repository.packages:
        source, target = files / repository.path / package.file, pool / package.file
        if repository.os_family == "debian":
            try:
                os.link(source, target)
            except OSError:  # e.g. another file system
                shutil.copyfile(source, target)
        else:
            shutil.copyfile(source, target)


def _write_debian(plugin: Plugin, repository: Repository, files: Path, folder: Path, opened: Keyring) -> None:
    index = debian_index(repository, files / repository.path).encode()
    architectures = sorted({package.architecture for package in repository.packages})
    (folder / "Packages").write_bytes(index)
    release = (
        f"Origin: {ORIGIN}\nLabel: {label_of(plugin.name, plugin.version)}\nSuite: {plugin.name}\nVersion: {plugin.version}\n"
        f"Date: {_DATE}\nArchitectures: {' '.join(architectures)}\nDescription: Packages of the plugin {plugin.name}\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    )
    (folder / "InRelease").write_bytes(opened.clearsigned(release))


def debian_index(repository: Repository, folder: Path) -> str:
    """The file ``Packages``: each package's own fields, and what its file is."""
    paragraphs: list[str] = []
    for package in repository.packages:
        path = folder / package.file
        fields = [field for field in read_archive(path, "debian").control if field[0].lower() not in _NOT_FROM_THE_PACKAGE]
        fields += [("Filename", f"{POOL}/{package.file}"), ("Size", str(path.stat().st_size)), ("SHA256", package.sha256)]
        paragraphs.append("".join(f"{name}: {value}\n" for name, value in fields))
    return "\n".join(paragraphs)


def _write_redhat(folder: Path, opened: Keyring) -> None:
    for path in sorted((folder / POOL).iterdir()):
        opened.sign_rpm(path)
        os.utime(path, (0, 0))
    words = ["--quiet", "--no-database", "--simple-md-filenames", "--revision", "0", "--set-timestamp-to-revision"]
    run_program(["createrepo_c", *words, "--workers", "1", "--outputdir", str(folder), str(folder)])
    metadata = folder / "repodata" / "repomd.xml"
    metadata.with_name("repomd.xml.asc").write_bytes(opened.detached(metadata.read_bytes()))
