# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Venvs: each plugin version with code has its own, made offline from its bundle and the server's wheelhouse."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import uv
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from stoker_sdk.plugin import Code, Plugin
from stoker_sdk.source.wheels import present_platform

from stoker.errors import InvalidInputError, NotFoundError, StokerError
from stoker.plugin_host import wheelhouse
from stoker.plugin_host.wheel_checks import refuse_collisions, refuse_hostile

_LOG = logging.getLogger(__name__)
_SECONDS: Final = 300
_UNUSED: Final = 86_400.0
"""After so many seconds nobody uses a template that is not this server's."""
_MARK: Final = ".stoker.json"
_OWN: Final = "_server"
"""No plugin can be called that."""


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a venv was made of."""

    base: str
    digest: str


class Venvs:
    """``ROOT/NAME/VERSION/`` is a plugin version's venv; ``ROOT/_server/``, or ``template``, holds what all are made of."""

    def __init__(self, root: Path, template: Path | None = None) -> None:
        """Use the folder ``root``; it is made when the first plugin with code comes.

        Args:
            root: for the venvs.
            template: for what all are made of; several servers on one file system may share it.
        """
        self.root = root
        self._home = template or root / _OWN
        self._making = threading.Lock()
        self._changing = threading.Lock()
        self._base = ""

    def folder(self, name: str, version: str) -> Path:
        """Where a plugin version's venv is."""
        return self.root / name / version

    def python(self, name: str, version: str) -> Path:
        """The venv's interpreter.

        Raises:
            NotFoundError: there is no venv, or it was made for another Python or another version of the SDK.
        """
        if not self.is_ready(name, version):
            raise NotFoundError(
                f"plugin {name} {version} has no venv for this server's Python.",
                remedy=f"'stoker plugins doctor {name}' shows why; a restart of the server makes it anew.",
            )
        return self.folder(name, version) / "bin" / "python"

    def is_ready(self, name: str, version: str) -> bool:
        """Whether there is a venv, made for this Python and this SDK."""
        try:
            mark = msgspec.json.decode((self.folder(name, version) / _MARK).read_bytes(), type=_Mark)
        except (OSError, msgspec.DecodeError):
            return False
        return mark.base == self.base

    @property
    def base(self) -> str:
        """What venvs are made of at present: the Python, and the SDK with what it needs."""
        if not self._base:
            self._base = wheelhouse.identity()
        return self._base

    def ensure(self, bundle_folder: Path, plugin: Plugin, digest: str = "") -> None:
        """Make a plugin version's venv, unless it is there; complete or not at all.

        Args:
            bundle_folder: the plugin version's unpacked files, with its wheels.
            plugin: as its manifest says.
            digest: of the bundle.

        Raises:
            InvalidInputError: its code is not for this Python or platform, or a wheel is missing or hostile.
            StokerError: the venv cannot be made.
        """
        if plugin.code is None:
            return
        with self._changing:
            if not self.is_ready(plugin.name, plugin.version):
                self._make(bundle_folder, plugin, plugin.code, digest)

    def _make(self, bundle_folder: Path, plugin: Plugin, code: Code, digest: str) -> None:
        _refuse_misfit(plugin, code)
        _refuse_strange(plugin, code, bundle_folder)
        wheels = [bundle_folder / wheel.file for wheel in code.wheels]
        for wheel in wheels:
            refuse_hostile(plugin, wheel)
        template = self.prepare()
        refuse_collisions(plugin, wheels, packages_of(template))
        final = self.folder(plugin.name, plugin.version)
        temporary = final.with_name(f"{final.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(template, temporary, symlinks=True, copy_function=os.link)
            given = {item.name for item in packages_of(temporary).iterdir()}
            self._install(plugin, code, bundle_folder, temporary)
            _keep_interpreter(temporary)
            _compile([item for item in packages_of(temporary).iterdir() if item.name not in given])
            (temporary / _MARK).write_bytes(msgspec.json.encode(_Mark(base=self.base, digest=digest)))
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)  # noqa: PTH105  says that it replaces
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            _remove_if_empty(final.parent)
            raise

    def prepare(self) -> Path:
        """The template of all venvs, made if this Python and this SDK have none yet.

        Raises:
            StokerError: it cannot be made.
        """
        with self._making, _locked(self._home):
            home = self._home / self.base
            template, wheels = home / "template", home / "wheels"
            if template.is_dir():
                os.utime(home)
                return template
            shutil.rmtree(home, ignore_errors=True)  # left by an interruption
            for old in self._home.glob("*/"):  # of another Python or SDK; who shares the folder may still use it
                if self._home == self.root / _OWN or old.stat().st_mtime < time.time() - _UNUSED:
                    shutil.rmtree(old, ignore_errors=True)
            wheelhouse.make(wheels)
            temporary, cache = home / "template.tmp", home / "cache"
            _uv("venv", "-q", "--no-project", "--python", sys.executable, str(temporary), cache=cache)
            for name in ("_virtualenv.pth", "_virtualenv.py"):  # for old programs; each start of a worker would read it
                (packages_of(temporary) / name).unlink(missing_ok=True)
            self._pip(temporary, ["--find-links", str(wheels), "stoker-sdk"], cache)
            for done in (cache, wheels):
                shutil.rmtree(done, ignore_errors=True)
            _keep_interpreter(temporary)
            _compile([packages_of(temporary)])
            os.replace(temporary, template)  # noqa: PTH105
            _LOG.info("what plugins' venvs are made of is ready")
            return template

    def _install(self, plugin: Plugin, code: Code, bundle_folder: Path, venv: Path) -> None:
        links = ["--find-links", str(bundle_folder / "wheels")]
        cache = venv.with_name(f"{venv.name}-cache")  # of its own: what another plugin brought under the same name is not taken
        try:
            self._pip(venv, [*links, code.distribution, "stoker-sdk"], cache)
        except StokerError as error:
            raise InvalidInputError(
                f"plugin {plugin.name} {plugin.version}: its wheels do not fit together on this server: {error.detail}",
                remedy="Build the bundle with the wheels that are named, for this server's platform and Python"
                f" ({present_platform()}).",
            ) from error
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    def _pip(self, venv: Path, words: Sequence[str], cache: Path) -> None:
        python = str(venv / "bin" / "python")
        _uv("pip", "install", "-q", "--no-index", "--no-build", "--python", python, *words, cache=cache)

    def remove(self, name: str, version: str) -> None:
        """Delete a plugin version's venv; nothing happens if there is none."""
        folder = self.folder(name, version)
        with self._changing:
            for doomed in (folder, folder.with_name(f"{folder.name}.tmp")):
                shutil.rmtree(doomed, ignore_errors=True)
            _remove_if_empty(folder.parent)

    def sweep(self, installed: Collection[tuple[str, str]]) -> list[str]:
        """Delete what no installed version owns; answers what that was."""
        swept = []
        for plugin in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if plugin.name == _OWN:
                continue
            for version in sorted(plugin.iterdir()):
                if (plugin.name, version.name) not in installed:
                    shutil.rmtree(version)
                    swept.append(f"{plugin.name}/{version.name}")
            _remove_if_empty(plugin)
        return swept


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among the processes that share a folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _refuse_misfit(plugin: Plugin, code: Code) -> None:
    present = ".".join(str(part) for part in sys.version_info[:3])
    try:
        fits = SpecifierSet(code.requires_python).contains(present)
    except InvalidSpecifier:
        fits = False
    if not fits:
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version}: it wants Python {code.requires_python[:80]}; this server has {present}.",
            remedy="Install a build of the plugin for this Python.",
        )
    here = present_platform()
    python, _, system = here.partition("-")
    architecture = system.split("_", 3)[-1] if system.startswith("manylinux") else system
    if code.platforms and not any(name.startswith(f"{python}-") and name.endswith(architecture) for name in code.platforms):
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version}: its wheels are for {', '.join(code.platforms)[:200]}, not {here}.",
            remedy=f'Build it with platforms = ["{here}"] in [tool.stoker] of its pyproject.toml.',
        )


def _refuse_strange(plugin: Plugin, code: Code, bundle_folder: Path) -> None:
    """What the manifest says becomes words of a command line and paths: it is what it has to be."""
    if not _DISTRIBUTION.fullmatch(code.distribution):
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version}: {code.distribution[:80]!r} is no distribution.", remedy=_BUILD_AGAIN
        )
    for wheel in code.wheels:
        if not _WHEEL.fullmatch(wheel.file) or not (bundle_folder / wheel.file).is_file():
            raise InvalidInputError(
                f"plugin {plugin.name} {plugin.version}: the wheel {wheel.file[:120]!r} is not in its bundle.",
                remedy=_BUILD_AGAIN,
            )
    given = {wheel.file.removeprefix("wheels/") for wheel in code.wheels}
    strays = sorted(item.name for item in (bundle_folder / "wheels").iterdir() if item.name not in given)
    if strays:  # it would be installed without having been looked at
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version}: its manifest does not name 'wheels/{strays[0][:120]}' of its bundle.",
            remedy=_BUILD_AGAIN,
        )


_DISTRIBUTION: Final = re.compile(r"[A-Za-z0-9][\w.-]*==[A-Za-z0-9][\w.+!-]*", re.ASCII)
_WHEEL: Final = re.compile(r"wheels/[A-Za-z0-9][\w.+!-]*\.whl", re.ASCII)
_BUILD_AGAIN: Final = "Build the bundle with 'stoker-plugin build'."


def _uv(*words: str, cache: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(
            [uv.find_uv_bin(), "--offline", "--no-config", "--cache-dir", str(cache), "--no-progress", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            env=kept,
            umask=0o022,  # whoever runs a worker reads it
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StokerError(f"uv did not do its work: {error}.", remedy="Look at the free space of the data folder.") from error
    if done.returncode:
        shown = " ".join(done.stderr.split())
        raise StokerError(f"uv: {shown[-_SHOWN:]}", remedy="Look at the server's log and the free space of the data folder.")


_SHOWN: Final = 600


def packages_of(venv: Path) -> Path:
    """Where a venv's packages are."""
    return venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _keep_interpreter(venv: Path) -> None:
    """Nothing runs a venv's programs, and a plugin's could be called like the interpreter: there is the interpreter alone."""
    shutil.rmtree(venv / "bin")
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _compile(items: Sequence[Path]) -> None:
    """Bytecode for what has none yet: a worker cannot write it, and would start three times as slowly without."""
    # In a process of its own: to compile what strangers wrote can take all memory. What cannot be compiled is told when used.
    subprocess.run(
        [sys.executable, "-I", "-S", "-m", "compileall", "-qq", *(str(item) for item in items)],
        check=False,
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
