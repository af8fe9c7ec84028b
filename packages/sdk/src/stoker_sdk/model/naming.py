# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Names: what plugins, roles, tasks, units, accounts and packages may be called, and which known name somebody meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from stoker_sdk.model.finding import Finding
from stoker_sdk.model.selector import ONCE, read_selector

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""The name of a plugin."""
MAX_NAME: Final = 64

_CANDIDATES: Final = 200

_ROLE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_TASK = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._@-]*[A-Za-z0-9_])?")
# systemd.unit(5): letters, digits and ":-_.\@"; at most 255 characters with the type
_UNIT = re.compile(r"[A-Za-z0-9:_\\@][A-Za-z0-9:_.\\@-]*")
_MAX_UNIT: Final = 247
_KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MODE = re.compile(r"[0-7]{3,4}")
# useradd(8) and adduser(8): a number is an id
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,30}[a-z0-9_$-]?|[0-9]{1,10}")
# Debian Policy 5.6.1 with an architecture (libc6:i386), and what RPM takes besides: capitals and underscores
_PACKAGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*(:[a-z0-9-]+)?")
# An operator (none means "exactly", and then a digit follows) and a version as Debian or RPM writes it
_CONSTRAINT = re.compile(r"((>=|<=|==|!=|>|<|=)[A-Za-z0-9]|[0-9])[A-Za-z0-9.+~^_:-]*")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'? `` with a blank at its end, or nothing if no known name is close."""
    candidates = sorted(known)
    # Comparing takes time with the square of what a plugin brings; nobody brings that many names and mistypes one.
    close = difflib.get_close_matches(name, candidates, n=1) if len(candidates) <= _CANDIDATES else []
    return f"Did you mean {close[0]!r}? " if close else ""


def check_role(name: str, field: str) -> Iterable[Finding]:
    """A role's name, where a role is declared or selected."""
    if name == ONCE:
        yield Finding(
            rule="R008",
            field=field,
            message=f"{name!r} is a selector, so no role can be called that.",
            remedy="Choose another name.",
        )
    elif not _ROLE.fullmatch(name) or len(name) > MAX_NAME:
        yield Finding(
            rule="R003",
            field=field,
            message=f"{name!r} is not a role's name.",
            remedy="Use lower case letters, digits and dashes, at most 64.",
        )


def check_service(name: str, field: str) -> Iterable[Finding]:
    """A service's name, where a service is declared or selected."""
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        yield Finding(
            rule="J003",
            field=field,
            message=f"{name!r} is not a service's name.",
            remedy="Use lower case letters, digits and dashes, at most 64; begin with a letter.",
        )


def check_selector(roles: Iterable[str], field: str = "roles") -> Iterable[Finding]:
    """Which nodes something is for: at least one selector, and each of them is one."""
    roles = list(roles)
    if not roles:
        yield Finding(
            rule="S002",
            field=field,
            message="it names no role, so it is for no node.",
            remedy="Name a role, or write '*' for all.",
        )
    for index, role in enumerate(roles):
        yield from check_one_selector(role, f"{field}[{index}]")


def check_one_selector(text: str, field: str) -> Iterable[Finding]:
    """One selector: ``*``, ``ROLE``, ``primary(ROLE)``, ``once`` or ``service(NAME)``."""
    selector = read_selector(text)
    if selector.kind == "service":
        yield from check_service(selector.name, field)
    elif selector.kind == "primary":
        yield from check_role(selector.name, field)
    elif selector.kind == "role" and ("(" in text or ")" in text):
        yield Finding(
            rule="S004",
            field=field,
            message=f"{text!r} is not a selector.",
            remedy="Write *, ROLE, primary(ROLE), once or service(NAME), without blanks.",
        )
    elif selector.kind == "role":
        yield from check_role(text, field)


def check_command(text: str, field: str = "run") -> Iterable[Finding]:
    """Shell text that does something."""
    if not text.strip():
        yield Finding(rule="T004", field=field, message="there is no command.", remedy="Write the shell text that it runs.")


def check_task_id(name: str, field: str = "id") -> Iterable[Finding]:
    """The id of a task or a check."""
    if not _TASK.fullmatch(name):
        yield Finding(
            rule="T005",
            field=field,
            message=f"{name!r} is not an id.",
            remedy="Use letters, digits, dots, dashes and underscores.",
        )


def check_kind(name: str, field: str) -> Iterable[Finding]:
    """The name of a kind of task."""
    if not _KIND.fullmatch(name) or len(name) > MAX_NAME:
        yield Finding(
            rule="Q001",
            field=field,
            message=f"{name!r} is not the name of a kind of task.",
            remedy="Use lower case letters, digits and underscores, at most 64.",
        )


def check_unit(name: str, field: str = "name") -> Iterable[Finding]:
    """The name of a systemd unit, with or without its type."""
    if not _UNIT.fullmatch(name) or len(name) > _MAX_UNIT:
        yield Finding(
            rule="T006",
            field=field,
            message=f"{name!r} is not the name of a systemd unit.",
            remedy="Write e.g. chrony or getty@tty1.service: letters, digits and : - _ . @ alone.",
        )


def check_mode(mode: str, field: str = "mode") -> Iterable[Finding]:
    """Permissions of a file."""
    if not _MODE.fullmatch(mode):
        yield Finding(
            rule="F006",
            field=field,
            message=f"{mode!r} is not a file mode.",
            remedy="Write octal digits from 0000 to 7777, e.g. '0644'.",
        )


def check_account(name: str, field: str) -> Iterable[Finding]:
    """The user or group that owns a file."""
    if not _ACCOUNT.fullmatch(name):
        yield Finding(
            rule="F007",
            field=field,
            message=f"{name!r} is not the name of a user or group.",
            remedy="Use lower case letters, digits, dashes and underscores, at most 32; or a number.",
        )


def check_owner(owner: str, group: str, mode: str, place: str = "") -> Iterable[Finding]:
    """Owner, group and mode of a file; ``place`` stands before the fields' names."""
    yield from check_account(owner, f"{place}owner")
    yield from check_account(group, f"{place}group")
    yield from check_mode(mode, f"{place}mode")


def check_package(name: str, field: str) -> Iterable[Finding]:
    """The name of a package of Debian's or Red Hat's family."""
    if not _PACKAGE.fullmatch(name):
        yield Finding(
            rule="F008",
            field=field,
            message=f"{name!r} is not the name of a package.",
            remedy="Write the name as 'apt list' or 'dnf list' shows it: letters, digits and + - . _ alone.",
        )


def check_constraints(text: str, field: str) -> Iterable[Finding]:
    """Comma-separated constraints on the version of a package."""
    for part in text.split(","):
        constraint = part.replace(" ", "")
        if constraint and not _CONSTRAINT.fullmatch(constraint):
            yield Finding(rule="F005", field=field, message=f"{constraint!r} is not a constraint.", remedy="Write e.g. >=4.3,<5.")
