# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The store: installed bundles, unpacked below the data folder, one folder a version."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO

from stoker_sdk import bundle
from stoker_sdk.bundle import Bundle

from stoker.errors import InvalidInputError, NotFoundError

BUNDLE_FILE = "bundle.stoker"
FILES = "files"


class PluginStore:
    """Files of installed plugins: ``ROOT/NAME/VERSION/`` holds the bundle and its unpacked members."""

    def __init__(self, root: Path) -> None:
        """Use the folder ``root``; it is made when the first plugin comes."""
        self.root = root
        self.incoming = root.with_name("incoming")

    def receive(self) -> IO[bytes]:
        """A file with a name for a bundle that comes in; it is gone when it is closed."""
        self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.NamedTemporaryFile(dir=self.incoming)

    def folder(self, name: str, version: str) -> Path:
        """Where a plugin version is."""
        return self.root / name / version

    def open(self, source: Path | bytes) -> Bundle:
        """Check a bundle completely.

        Raises:
            InvalidBundleError: it is broken, was tampered with, or is hostile.
        """
        return bundle.open_bundle(source, name="upload")

    def install(self, opened: Bundle) -> None:
        """Unpack a bundle that was opened; complete or not at all.

        Raises:
            InvalidBundleError: it was changed since it was opened.
        """
        final = self.folder(opened.plugin.name, opened.plugin.version)
        temporary = final.with_name(f"{final.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            opened.extract(temporary)
            if isinstance(opened.source, bytes):
                (temporary / BUNDLE_FILE).write_bytes(opened.source)
            else:
                shutil.copyfile(opened.source, temporary / BUNDLE_FILE)
            if final.exists():
                shutil.rmtree(final)  # left over from an installation that never reached the database
            os.replace(temporary, final)  # noqa: PTH105  says that it replaces
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            self._remove_if_empty(final.parent)
            raise

    def blob(self, name: str, version: str, path: str) -> bytes:
        """A shipped file of a plugin, by its path in the plugin's folder.

        Raises:
            NotFoundError: the plugin version does not have it.
            InvalidInputError: the path leaves the plugin's folder.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise InvalidInputError(
                f"plugin {name} {version}: {path!r} leaves the plugin's folder.", remedy="Use a path inside it."
            )
        try:
            return (self.folder(name, version) / FILES / pure).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFoundError(
                f"plugin {name} {version} has no file {path}.", remedy="Build the bundle again with the file in its folder."
            ) from error

    def remove(self, name: str, version: str) -> None:
        """Delete a plugin version's files; nothing happens if there are none."""
        folder = self.folder(name, version)
        if folder.exists():
            doomed = folder.with_name(f"{folder.name}.tmp")
            shutil.rmtree(doomed, ignore_errors=True)
            os.replace(folder, doomed)  # noqa: PTH105
            shutil.rmtree(doomed)
        self._remove_if_empty(folder.parent)

    def sweep(self, installed: Collection[tuple[str, str]]) -> list[str]:
        """Delete what an interrupted installation or removal left: every folder that no row names."""
        swept = []
        shutil.rmtree(self.incoming, ignore_errors=True)
        for plugin in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            for version in sorted(plugin.iterdir()):
                if (plugin.name, version.name) not in installed:
                    shutil.rmtree(version)
                    swept.append(f"{plugin.name}/{version.name}")
            self._remove_if_empty(plugin)
        return swept

    @staticmethod
    def _remove_if_empty(folder: Path) -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
