# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The deny-list: plugin versions that are neither installed, nor enabled, nor run; an admin adds to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from stoker.db.plugin_denials import drop_denial, read_denials, write_denial
from stoker.db.plugins import installed_versions
from stoker.domain import actor
from stoker.domain.plugin_denial import Denial, check_versions
from stoker.errors import ConflictError, InvalidInputError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext

DRAIN_SECONDS: Final = 5.0
"""How long code that is at work may go on after it was denied."""


class DenialView(Denial, frozen=True, kw_only=True):
    """A denial, and what it meets."""

    installed: list[str]
    """Installed versions that it covers: they stay, their code does not run, and nobody enables them anew."""


def list_all(context: ServerContext) -> list[DenialView]:
    """All denials, those of Stoker first."""
    with context.database.read() as connection:
        installed = installed_versions(connection)
        return [_view(denial, installed) for denial in read_denials(connection)]


def deny(context: ServerContext, name: str, versions: str, reason: str) -> DenialView:
    """Deny versions of a plugin; what is enabled stays enabled, and its code stops.

    Raises:
        InvalidInputError: the versions are no specifier, or there is no reason.
        ConflictError: Stoker itself denies the same versions.
    """
    if not reason.strip():
        raise InvalidInputError(f"plugin {name} is denied without a reason.", remedy="Say why, for those who will ask.")
    denial = Denial(name=name, versions=check_versions(versions), reason=reason.strip(), by=actor.current().name, at=time.time())
    with context.database.transaction() as connection:
        before = _find(read_denials(connection), name, denial.versions)
        if before is not None and before.built_in:
            raise ConflictError(f"{before} is denied by Stoker itself: {before.reason}", remedy="There is nothing to do.")
        write_denial(connection, denial)
        audit.record(connection, "plugin.deny", name, name, before=_audited(before), after=_audited(denial))
        view = _view(denial, installed_versions(connection))
    if context.workers is not None:
        for version in view.installed:
            context.wait(context.workers.stop(name, version, drain=DRAIN_SECONDS))
    return view


def allow(context: ServerContext, name: str, versions: str) -> None:
    """Take a denial back.

    Raises:
        NotFoundError: there is no denial of exactly these versions.
        ConflictError: it came with Stoker.
    """
    versions = check_versions(versions)
    with context.database.transaction() as connection:
        denials = read_denials(connection)
        found = _find(denials, name, versions)
        if found is None:
            own = [str(denial) for denial in denials if denial.name == name]
            remedy = f"There is: {', '.join(own)}." if own else "'stoker plugins denied' lists what is."
            raise NotFoundError(f"{name} {versions}".rstrip() + " is not denied in these words.", remedy=remedy)
        if found.built_in:
            raise ConflictError(f"{found} is denied by Stoker itself: {found.reason}", remedy="Use another version.")
        drop_denial(connection, name, versions)
        audit.record(connection, "plugin.allow", name, name, before=_audited(found))


def _find(denials: Sequence[Denial], name: str, versions: str) -> Denial | None:
    return next((denial for denial in denials if (denial.name, denial.versions) == (name, versions)), None)


def _audited(denial: Denial | None) -> dict[str, str] | None:
    return None if denial is None else {"versions": denial.versions, "reason": denial.reason}


def _view(denial: Denial, installed: Sequence[tuple[str, str]]) -> DenialView:
    met = sorted(version for name, version in installed if denial.covers(name, version))
    return DenialView(**msgspec.structs.asdict(denial), installed=met)
