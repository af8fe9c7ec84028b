# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Scripts: each action as the files of an attempt's folder on the node: what runs, what is copied, what is secret."""

from __future__ import annotations

import shlex
from typing import Final

import msgspec

from stoker.domain.action import (
    Action,
    CommandAction,
    FileChange,
    FilesAction,
    Materials,
    PackageChange,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)


class AttemptFiles(msgspec.Struct, kw_only=True):
    """The files that an attempt's folder is made of."""

    run: str
    """Shell text, run with ``set -e``."""
    before: str = ""
    """Shell text that runs first and may end the attempt or run ``run`` itself."""
    environment: str = ""
    """Assignments, secrets among them; deleted before the command starts."""
    contents: dict[str, bytes] = {}
    """``c.N`` (deleted at the end, may be secret) or ``script``."""


_APT: Final = """\
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt_get() {
  apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \\
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
if [ -n "$(dpkg --audit 2>/dev/null)" ]; then dpkg --configure -a; fi
"""


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
        case FilesAction():
            return _files(action, materials, root)
        case PackagesAction():
            return AttemptFiles(run=_packages(action))
        case ServiceAction():
            return AttemptFiles(run=_service(action))
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


def _command(action: CommandAction, materials: Materials) -> AttemptFiles:
    environment = "".join(f"export {name}={shlex.quote(materials.text(text))}\n" for name, text in action.environment.items())
    before = 'd=${0%/*}\nif [ -f "$d/env" ]; then . "$d/env"; rm -f "$d/env"; fi\n'
    before += f"cd {shlex.quote(action.directory)} || exit 1\n" + _guard(action.unless, action.creates)
    contents: dict[str, bytes] = {}
    if action.script:
        contents["script"] = materials.content(action.script)
        before += f'chmod 700 "$d/script"\nexec "$d/script" {shlex.join(action.arguments)}\n'
    else:
        before += 'exec sh -e "$d/run"\n'
    return AttemptFiles(run=action.run, before=before, environment=environment, contents=contents)


_FILES: Final = """\
d=${0%/*}
key() { printf '%s' "$1" | sed 's/%/%25/g; s,/,%2F,g'; }
keep() { # PATH: what was there before us is kept once
  k=$originals/$(key "$1")
  if [ ! -e "$k" ] && [ ! -L "$k" ] && [ ! -e "$k.none" ]; then
    if [ -e "$1" ] || [ -L "$1" ]; then cp -aT -- "$1" "$k.new" && mv -T -- "$k.new" "$k"; else : >"$k.none"; fi
  fi
}
put() { # CONTENT PATH OWNER GROUP MODE
  mkdir -p -- "${2%/*}"
  keep "$2"
  t=${2%/*}/.${2##*/}.stoker-new
  cat -- "$d/$1" >"$t"
  chown -- "$3:$4" "$t"
  chmod -- "$5" "$t"
  mv -fT -- "$t" "$2"
  rm -f -- "$d/$1"
}
folder() { # PATH OWNER GROUP MODE
  keep "$1"
  mkdir -p -- "$1"
  chown -- "$2:$3" "$1"
  chmod -- "$4" "$1"
}
take() { # PATH
  keep "$1"
  rm -f -- "$1"
}
restore() { # PATH
  k=$originals/$(key "$1")
  if [ -e "$k" ] || [ -L "$k" ]; then
    if [ -d "$k" ]; then rm -rf -- "$k"; else mv -fT -- "$k" "$1"; fi
  elif [ -d "$1" ] && [ ! -L "$1" ]; then
    rmdir -- "$1" 2>/dev/null || echo "left alone, because it is not empty: $1"
  else
    rm -f -- "$1"
  fi
  rm -f -- "$k.none"
}
mkdir -p "$originals"
chmod 700 "$originals"
"""


def _files(action: FilesAction, materials: Materials, root: str) -> AttemptFiles:
    contents: dict[str, bytes] = {}
    lines = [f"originals={shlex.quote(root)}/originals\n", _FILES]
    lines += [_file_line(change, contents, materials) for change in action.files]
    return AttemptFiles(run="".join(lines), contents=contents)


def _file_line(change: FileChange, contents: dict[str, bytes], materials: Materials) -> str:
    path = shlex.quote(change.path)
    owner, group, mode = shlex.quote(change.owner), shlex.quote(change.group), shlex.quote(change.mode)
    match change.change:
        case "write":
            name = f"c.{len(contents)}"
            contents[name] = materials.content(change.content)
            return f"put {name} {path} {owner} {group} {mode}\n"
        case "directory":
            return f"folder {path} {owner} {group} {mode}\n"
        case "remove":
            return f"take {path}\n"
        case "restore":
            return f"restore {path}\n"


def _packages(action: PackagesAction) -> str:
    install = [f"{item.name}={item.version}" if item.version else item.name for item in action.install]
    names = [item.name for item in action.install]
    apt = _APT
    if install:
        command = f"apt_get install --no-install-recommends {shlex.join(install)}"
        apt += f"if ! {command} --simulate >/dev/null 2>&1; then apt_get update; fi\n"
        apt += f"{command} || {{ apt_get update && {command}; }}\n"
        apt += "".join(_constraint(item) for item in action.install if item.constraint)
    if action.remove:
        apt += f"apt_get purge {shlex.join(action.remove)}\n"
    dnf = ""
    if names:
        dnf += f"dnf -q -y install {shlex.join(names)}\n"
    if action.remove:
        dnf += f"dnf -q -y remove {shlex.join(action.remove)}\n"
    indented = "".join(f"  {line}\n" for line in dnf.splitlines())
    return (
        f"if command -v dnf >/dev/null 2>&1 && ! command -v apt-get >/dev/null 2>&1; then\n{indented}  exit 0\nfi\n"
        "if ! command -v apt-get >/dev/null 2>&1; then echo 'neither apt-get nor dnf is on this node'; exit 1; fi\n" + apt
    )


_OPERATORS: Final = {">=": "ge", "<=": "le", ">": "gt", "<": "lt", "==": "eq", "!=": "ne"}


def _constraint(item: PackageChange) -> str:
    """Shell text that fails if the installed upstream version does not fit."""
    name = shlex.quote(item.name)
    text = f"v=$(dpkg-query -W -f '${{Version}}' {name}); v=${{v#*:}}; v=${{v%-*}}\n"
    for part in item.constraint.split(","):
        operator = next((sign for sign in (">=", "<=", "==", "!=", ">", "<") if part.strip().startswith(sign)), "")
        if operator:
            wanted = shlex.quote(part.strip()[len(operator) :].strip())
            text += (
                f'dpkg --compare-versions "$v" {_OPERATORS[operator]} {wanted} || '
                f'{{ echo {name} "$v does not fit {part.strip()}"; exit 1; }}\n'
            )
    return text


def _service(action: ServiceAction) -> str:
    name = shlex.quote(action.name)
    lines = ["systemctl daemon-reload"]
    if action.state == "stopped":
        lines.append(f"if systemctl cat {name} >/dev/null 2>&1; then systemctl stop {name}; fi")
        if action.enabled is False:
            lines.append(f"if systemctl cat {name} >/dev/null 2>&1; then systemctl disable {name}; fi")
        elif action.enabled:
            lines.append(f"systemctl enable {name}")
        return "\n".join(lines) + "\n"
    if action.enabled is not None:
        lines.append(f"systemctl {'enable' if action.enabled else 'disable'} {name}")
    if action.restart:
        verb = "reload-or-restart" if action.restart == "reload" else "restart"
        lines.append(f"systemctl {verb} {name}")
    else:
        lines.append(f"systemctl start {name}")
    lines.append(f"systemctl is-active {name} || {{ systemctl status --no-pager -n 20 {name}; exit 1; }}")
    return "\n".join(lines) + "\n"


def _wait_for(action: WaitForAction) -> str:
    pause = f"{action.interval:g}"
    if action.file:
        return f"until [ -e {shlex.quote(action.file)} ]; do sleep {pause}; done\n"
    probe = shlex.quote(f": >/dev/tcp/{action.host}/{action.port}")
    return (
        "command -v bash >/dev/null || { echo 'waiting for a port needs bash on the node'; exit 1; }\n"
        f"until timeout 5 bash -c {probe} 2>/dev/null; do sleep {pause}; done\n"
    )
