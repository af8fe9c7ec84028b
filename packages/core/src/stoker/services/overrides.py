# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Operator's overrides: given, taken back and listed; what cannot take effect is refused when it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection, Row
from stoker_sdk.extension_points.config_files import Option
from stoker_sdk.model.finding import Finding

from stoker.db.environments import bump_revision, find_environment
from stoker.db.overrides import StoredOverride, drop_override, read_overrides, write_override
from stoker.domain import actor
from stoker.domain.snapshot import OverrideInput, OverrideValue, Snapshot
from stoker.errors import ConflictError, InvalidInputError, NotFoundError
from stoker.plugin_host import planning_process
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.enablement import plugin_inputs
from stoker.services.tags import refuse_outdated, tag

_TRIES: Final = 3
_MAX_TEXT: Final = 64 * 1024
_Text = Annotated[str, msgspec.Meta(max_length=1024)]


class NewOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An override to give."""

    path: _Text
    """The file on the nodes: one that an enabled plugin declares."""
    section: _Text = ""
    """The section (``ini``), the dotted path (``yaml``); empty for the top."""
    key: _Text
    """The option's name."""
    value: OverrideValue
    """What it shall be; a list takes the place of the whole list, null leaves the option out."""
    roles: list[_Text] = msgspec.field(default_factory=lambda: ["*"])
    """Only nodes with one of these roles get it; ``*`` for all."""


class OverrideView(msgspec.Struct, frozen=True, kw_only=True):
    """An override that the operator gave."""

    path: str
    section: str
    key: str
    value: OverrideValue
    roles: list[str]
    by: str
    """Who gave it."""
    at: float
    """When."""


def list_all(context: ServerContext, environment: str) -> list[OverrideView]:
    """An environment's overrides, ordered by file, section and key. Raises NotFoundError."""
    with context.database.read() as connection:
        return [view(item) for item in read_overrides(connection, find_environment(connection, environment).id)]


def view(stored: StoredOverride) -> OverrideView:
    """An override as the API shows it."""
    return OverrideView(**{name: getattr(stored.override, name) for name in OverrideInput.__struct_fields__}, at=stored.at)


def give(context: ServerContext, environment: str, new: NewOverride, *, if_match: str = "") -> OverrideView:
    """Give an override, or change the one of the same place and roles.

    Raises:
        NotFoundError: there is no such environment.
        InvalidInputError: no enabled plugin declares the file, one writes it as a whole, a role is not known, or the place holds
            a secret.
        ConflictError: others change the environment all the time.
        OutdatedEditError: the overrides are others than ``if_match`` names.
    """
    override = checked(new, actor.current().name)
    for _ in range(_TRIES):
        with context.database.read() as connection:
            home = find_environment(connection, environment)
            snapshot = _with(context, connection, home, [override])
        refuse_unfit(context, snapshot)
        with context.database.transaction() as connection:
            if find_environment(connection, home.id).revision != home.revision:
                continue  # somebody changed the environment while we checked: check again
            _refuse_outdated(connection, if_match, home)
            before = _find(read_overrides(connection, home.id), override)
            if before is not None and _same(before.override, override):
                return view(before)
            write_override(connection, home.id, override)
            bump_revision(connection, home.id)
            after = _find(read_overrides(connection, home.id), override)
            assert after is not None  # it was written a line ago
            note(connection, home, override, before, after)
            return view(after)
    raise ConflictError(f"environment {environment} is changed by others all the time.", remedy="Try again in a moment.")


def take_back(
    context: ServerContext, environment: str, path: str, section: str, key: str, roles: Sequence[str], *, if_match: str = ""
) -> OverrideView:
    """Take an override back: what plugins give counts again.

    Raises:
        NotFoundError: there is no such environment or override.
        OutdatedEditError: the overrides are others than ``if_match`` names.
    """
    place = OverrideInput(path=path, section=section, key=key, roles=sorted(set(roles)) or ["*"])
    with context.database.transaction() as connection:
        home = find_environment(connection, environment)
        _refuse_outdated(connection, if_match, home)
        known = read_overrides(connection, home.id)
        before = _find(known, place)
        if before is None:
            there = [item.override for item in known if (item.override.path, item.override.key) == (path, key)]
            also = f"; there is: {'; '.join(_words(item) for item in there)}" if there else ""
            raise NotFoundError(
                f"environment {home.name} has no override of {_words(place)}{also}.",
                remedy=f"'stoker env override list {home.name}' shows them.",
            )
        drop_override(connection, home.id, place)
        bump_revision(connection, home.id)
        note(connection, home, place, before, None)
        return view(before)


def _refuse_outdated(connection: Connection, if_match: str, home: Row[tuple[object, ...]]) -> None:
    if if_match:
        present = tag([view(item) for item in read_overrides(connection, home.id)])
        what = f"what the operator overrides in environment {home.name}"
        refuse_outdated(connection, if_match, present, what, kind="override", identity="", environment=home.name)


def note(
    connection: Connection,
    home: Row[tuple[object, ...]],
    override: OverrideInput,
    before: StoredOverride | None,
    after: StoredOverride | None,
) -> None:
    """Write a changed override to the audit log."""
    audit.record(
        connection,
        "override.unset" if after is None else "override.set",
        _words(override),
        _words(override),
        environment=home.name,
        before=None if before is None else view(before),
        after=None if after is None else view(after),
    )


def checked(new: NewOverride, by: str) -> OverrideInput:
    """An override whose texts can stand in a file. Raises InvalidInputError."""
    roles = sorted(set(new.roles)) or ["*"]
    if "*" in roles:
        roles = ["*"]
    override = OverrideInput(path=new.path, section=new.section, key=new.key, value=new.value, roles=roles, by=by)
    findings = list(Option(path=new.path, section=new.section, key=new.key, value=None).check())
    if any("," in role or not role.strip() for role in roles):
        findings.append(_finding(override, "roles", "a role's name is empty or has a comma.", "Give each role on its own."))
    texts = [item for item in (new.value if isinstance(new.value, list) else [new.value]) if isinstance(item, str)]
    if any("\0" in text or len(text) > _MAX_TEXT for text in texts):
        findings.append(_finding(override, "value", "the value is too long, or has a null byte.", "Give a shorter text."))
    if findings:
        raise InvalidInputError(
            f"the override of {_words(override)} does not fit: {findings[0].message}",
            remedy=findings[0].remedy,
            findings=findings,
        )
    return override


def _finding(override: OverrideInput, field: str, message: str, remedy: str) -> Finding:
    return Finding(rule="O007", field=field, file=override.path, message=message, remedy=remedy)


def refuse_unfit(context: ServerContext, snapshot: Snapshot) -> None:
    """Raise InvalidInputError if overrides cannot take effect beside the snapshot's plugins."""
    findings = unfit(context, snapshot)
    if findings:
        raise InvalidInputError(
            f"environment {snapshot.environment_name}: {'; '.join(finding.message for finding in findings[:5])}",
            remedy=findings[0].remedy,
            findings=findings,
        )


def unfit(context: ServerContext, snapshot: Snapshot) -> list[Finding]:
    """A finding for each override that cannot take effect beside the snapshot's plugins."""
    limits = planning_process.Limits(memory_bytes=context.config.planning_memory_bytes, seconds=context.config.planning_seconds)
    answer = context.wait(planning_process.run_in_process("overrides", msgspec.json.encode(snapshot), limits))
    return msgspec.json.decode(answer, type=list[Finding])


def _with(
    context: ServerContext, connection: Connection, home: Row[tuple[object, ...]], overrides: list[OverrideInput]
) -> Snapshot:
    return Snapshot(
        environment_id=home.id,
        environment_name=home.name,
        plugins=plugin_inputs(context, connection, home.id),
        nodes=[],
        marker="override",
        overrides=overrides,
    )


def _find(known: Sequence[StoredOverride], place: OverrideInput) -> StoredOverride | None:
    wanted = (place.path, place.section, place.key, place.roles)
    found = (
        item for item in known if (item.override.path, item.override.section, item.override.key, item.override.roles) == wanted
    )
    return next(found, None)


def _same(one: OverrideInput, two: OverrideInput) -> bool:
    return msgspec.json.encode(one.value) == msgspec.json.encode(two.value)


def _words(override: OverrideInput) -> str:
    section = f"[{override.section}] " if override.section else ""
    roles = "" if "*" in override.roles else f" for {', '.join(override.roles)}"
    return f"{override.path} {section}{override.key}{roles}"
