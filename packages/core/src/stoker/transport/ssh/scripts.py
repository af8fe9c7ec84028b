# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Scripts: each action as the files of an attempt's folder on the node: what runs, what is copied, what is secret."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from importlib import resources
from typing import Final
from urllib.parse import quote

import msgspec

from stoker.domain.action import (
    Action,
    CommandAction,
    FileChange,
    FilesAction,
    KindAction,
    Materials,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)
from stoker.domain.repository import HELD
from stoker.domain.secret import Text


class AttemptFiles(msgspec.Struct, kw_only=True):
    """The files that an attempt's folder is made of."""

    run: str
    """Shell text, run with ``set -e``."""
    before: str = ""
    """Shell text that runs first and may end the attempt or run ``run`` itself."""
    environment: str = ""
    """Assignments, secrets among them; deleted before the command starts."""
    contents: dict[str, bytes] = {}
    """``c.N``: deleted at the end, because they may be secret."""


_FOLDER: Final = resources.files("stoker.transport.ssh")
_LIBRARIES: Final = {name: (_FOLDER / f"{name}.sh").read_text() for name in ("files", "packages", "service", "wait")}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROXIED: Final = HELD.partition("//")[2]
_LOCK_SECONDS: Final = 600
"""How long apt waits for another package manager on the node."""
_PATIENCE: Final = 600
"""How long a node waits for the controller's repositories when nobody answers there, in seconds."""
_LONGEST_NAME: Final = 200


def build(action: Action, materials: Materials, root: str) -> AttemptFiles:
    """The files for one action.

    Args:
        action: what to do.
        materials: gives contents and secrets.
        root: Stoker's folder on the node, below which originals are kept.
    """
    match action:
        case CommandAction():
            return _command(action, materials)
        case KindAction():
            return _kind(action, materials)
        case FilesAction():
            return _files(action, materials, root)
        case PackagesAction():
            return AttemptFiles(run=_packages(action, root))
        case ServiceAction():
            return _service(action, materials)
        case RebootAction():
            return AttemptFiles(run="", before=_guard(action.unless, action.creates) + _REBOOT)
        case WaitForAction():
            return AttemptFiles(run=_wait_for(action))


_REBOOT: Final = """\
: >"$d/rebooting"
sync
systemctl reboot
sleep 120
echo 'the node did not reboot within 120 seconds'
exit 1
"""


def _guard(unless: str, creates: str) -> str:
    text = "d=${0%/*}\n"
    if creates:
        text += f'if [ -e {shlex.quote(creates)} ]; then : >"$d/unchanged"; exit 0; fi\n'
    if unless:
        text += f'if sh -c {shlex.quote(unless)} >/dev/null 2>&1; then : >"$d/unchanged"; exit 0; fi\n'
    return text


_READ_ENVIRONMENT: Final = 'd=${0%/*}\nif [ -f "$d/env" ]; then . "$d/env"; rm -f "$d/env"; fi\n'
_RUN: Final = 'exec sh -e "$d/run"\n'


def _exports(variables: Mapping[str, Text], materials: Materials) -> str:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is not a name for an environment variable")
    return "".join(f"export {name}={shlex.quote(materials.text(text))}\n" for name, text in variables.items())


def _command(action: CommandAction, materials: Materials) -> AttemptFiles:
    environment = _exports(action.environment, materials)
    before = _READ_ENVIRONMENT + f"cd {shlex.quote(action.directory)} || exit 1\n" + _guard(action.unless, action.creates)
    contents: dict[str, bytes] = {}
    if action.script:
        contents["c.script"] = materials.content(action.script)
        before += f'chmod 700 "$d/c.script"\nexec "$d/c.script" {shlex.join(action.arguments)}\n'
    else:
        before += _RUN
    return AttemptFiles(run=action.run, before=before, environment=environment, contents=contents)


def _kind(action: KindAction, materials: Materials) -> AttemptFiles:
    contents = {"c.program": materials.content(action.program), "c.input": materials.text(action.parameters).encode() + b"\n"}
    before = _guard(action.unless, action.creates)
    # The input is gone from the disk before the program starts: it may hold secrets.
    before += 'chmod 700 "$d/c.program"\nexec <"$d/c.input"\nrm -f "$d/c.input"\n'
    before += f'exec "$d/c.program"{" --dry-run" if action.dry_run else ""}\n'
    return AttemptFiles(run="", before=before, contents=contents)


def _files(action: FilesAction, materials: Materials, root: str) -> AttemptFiles:
    contents: dict[str, bytes] = {}
    lines = [f"FOLDER=${{0%/*}}\nORIGINALS={shlex.quote(root)}/originals\n", _LIBRARIES["files"]]
    lines += [_file_line(change, contents, materials) for change in action.files]
    lines += ["tidy\n"] if any(change.change == "restore" for change in action.files) else []
    return AttemptFiles(run="".join(lines), contents=contents)


def _key(path: str) -> str:
    """The name of a path's folder among the originals: one for each path, never too long."""
    name = quote(path, safe="")
    return name if len(name) <= _LONGEST_NAME else f"{name[:100]}-{hashlib.sha256(path.encode()).hexdigest()}"


def _file_line(change: FileChange, contents: dict[str, bytes], materials: Materials) -> str:
    name = f"c.{len(contents)}"
    words = [change.path, _key(change.path)]
    if change.change == "write":
        contents[name] = materials.content(change.content)
        words = ["put", *words, name, change.owner, change.group, change.mode]
    elif change.change == "directory":
        words = ["directory", *words, change.owner, change.group, change.mode]
    else:
        words = ["discard", change.path] if change.change == "discard" else [change.change, *words]
    return shlex.join(words) + "\n"


def _packages(action: PackagesAction, root: str) -> str:
    way = f"{root}/ways/{action.way}" if action.way else ""
    lines = [f"LOCK={_LOCK_SECONDS}\nFOLDER=${{0%/*}}\nPROXIED={shlex.quote(_PROXIED)}\nWAY={shlex.quote(way)}\n"]
    lines += [f"OWN={shlex.quote(' '.join(action.repositories))}\n", f"PATIENCE={_PATIENCE}\n", _LIBRARIES["packages"]]
    lines += ["own\nrecover\nwanted=\n"]
    lines += [shlex.join(["want", item.name, item.version, item.constraint]) + "\n" for item in action.install]
    lines.append("install_wanted\n")
    lines += [shlex.join(["check", item.name, item.version, item.constraint]) + "\n" for item in action.install]
    if action.remove:
        lines.append(shlex.join(["purge", *action.remove]) + "\n")
    return "".join(lines)


def _service(action: ServiceAction, materials: Materials) -> AttemptFiles:
    enabled = "" if action.enabled is None else "yes" if action.enabled else "no"
    words = ["service", action.name, action.state, enabled, action.restart, action.ready]
    run = _LIBRARIES["service"] + shlex.join(words) + "\n"
    environment = _exports(action.environment, materials)
    return AttemptFiles(run=run, before=_READ_ENVIRONMENT + _RUN if environment else "", environment=environment)


def _wait_for(action: WaitForAction) -> str:
    port = "" if action.port is None else str(action.port)
    return _LIBRARIES["wait"] + shlex.join(["wait_for", action.host, port, action.file, f"{action.interval:g}"]) + "\n"
